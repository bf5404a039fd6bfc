"""Whether neighbouring frames score alike, and how many independent ones they are then worth."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from edge_ad.thresholds.binomial import exceedance_bound

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["SHORTEST", "correlation_length", "matters", "rate_shown"]

SHORTEST = 30
"""Fewer frames in a row do not tell whether neighbours score alike."""

_LENGTH_THAT_MATTERS = 1.5
# One in about a thousand streams of independent frames has neighbours as alike as this.
_STANDARD_ERRORS = 3.0


def correlation_length(scores: NDArray[np.float64]) -> float:
    """The integrated autocorrelation time ``1 + 2 * (rho_1 + rho_2 + ...)`` of the scores' ranks, in frames; 1 or more.

    ``n`` frames estimate a mean, or a share above a threshold, about as well as ``n`` divided by this number of
    independent frames. The sum ends where the sum of two neighbouring terms is no longer positive (C. J. Geyer,
    "Practical Markov chain Monte Carlo", Statistical Science 7 (1992) 473-483). Ranks are used so that a single
    outlier does not count more than another frame.

    Args:
        scores: float64 ``(n,)``, raw, in the order of time.
    """
    rho = _autocorrelation(scores)
    total = 0.0
    for lag in range(1, rho.size - 1, 2):
        pair = float(rho[lag] + rho[lag + 1])
        if pair <= 0:
            break
        total += pair
    return max(1.0, 1 + 2 * total)


def matters(scores: NDArray[np.float64]) -> float | None:
    """The correlation length where neighbours score alike, as far as chance does not explain it; ``None`` otherwise.

    ``scores``: float64 ``(n,)``, raw, in the order of time.
    """
    if scores.size < SHORTEST or scores.min() >= scores.max():
        return None
    alike = _autocorrelation(scores)[1] * math.sqrt(scores.size) > _STANDARD_ERRORS
    length = correlation_length(scores)
    return length if alike and length > _LENGTH_THAT_MATTERS else None


def rate_shown(rank: int, n: int, independent: int, confidence: float) -> float:
    """The false-reject rate that the ``rank``-th largest of ``n`` scores keeps with this confidence, where they are
    worth ``independent`` ones only: the threshold is taken at the same share of these. 1.0 if nothing is shown."""
    equivalent = math.ceil(rank * independent / n)
    return exceedance_bound(equivalent, independent, 1 - confidence) if 0 < equivalent <= independent else 1.0


def _autocorrelation(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    ranks -= ranks.mean()
    spectrum = np.fft.rfft(ranks, 2 * ranks.size)
    rho: NDArray[np.float64] = np.fft.irfft(spectrum * spectrum.conj(), 2 * ranks.size)[: ranks.size]
    return rho / rho[0] if rho[0] > 0 else np.zeros_like(rho)
