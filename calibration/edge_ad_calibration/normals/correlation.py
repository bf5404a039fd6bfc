"""Estimates how many independent frames the frames of a video are worth."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge_ad.sources.frame_name import FrameName

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

__all__ = ["SHORTEST", "Stream", "correlated_streams", "correlation_length", "has_streams"]

SHORTEST = 30
"""Fewer frames in a row do not tell whether neighbours score alike."""

_LENGTH_THAT_MATTERS = 1.5
# One in about a thousand streams of independent frames has neighbours as alike as this.
_STANDARD_ERRORS = 3.0


@dataclass(frozen=True, slots=True)
class Stream:
    """Frames of one video or one folder of numbered images. ``length``: over how many frames their scores are alike."""

    where: str
    frames: int
    length: float

    @property
    def every(self) -> int:
        """Every how many frames one is about independent of the one before."""
        return math.ceil(self.length)

    @property
    def worth(self) -> int:
        """About how many independent frames these are worth."""
        return max(1, int(self.frames / self.length))


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


def correlated_streams(names: Sequence[str], scores: NDArray[np.float64]) -> list[Stream]:
    """The videos and folders of numbered images whose neighbouring frames score alike.

    Args:
        names: the names of the images; the frames of one video follow one another in the order of time.
        scores: float64 ``(n,)``, raw, one for each name.
    """
    found = []
    for where, values in _streams(names, scores):
        alike = _autocorrelation(values)[1] * math.sqrt(values.size) > _STANDARD_ERRORS
        stream = Stream(where, values.size, correlation_length(values))
        if alike and stream.length > _LENGTH_THAT_MATTERS:
            found.append(stream)
    return found


def has_streams(names: Sequence[str], scores: NDArray[np.float64]) -> bool:
    """Whether any of the images form a stream that is long enough for :func:`correlated_streams`."""
    return any(True for _ in _streams(names, scores))


def _streams(names: Sequence[str], scores: NDArray[np.float64]) -> Iterator[tuple[str, NDArray[np.float64]]]:
    for where, group in groupby(range(len(names)), key=lambda k: _stream_of(names[k])):
        values = scores[list(group)]
        if where and values.size >= SHORTEST and values.min() < values.max():
            yield where, values


def _autocorrelation(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.signal import correlate
    from scipy.stats import rankdata

    ranks = rankdata(scores)
    ranks -= ranks.mean()
    rho: NDArray[np.float64] = correlate(ranks, ranks, method="fft")[ranks.size - 1 :]
    return rho / rho[0] if rho[0] > 0 else np.zeros_like(rho)


def _stream_of(name: str) -> str:
    """The video, or the folder of an image with a number in its name; empty for other images."""
    parts = FrameName.parse(name)
    file = Path(parts.file)
    if parts.index is not None:
        return str(file)
    return str(file.parent) if any(letter.isdigit() for letter in file.stem) else ""
