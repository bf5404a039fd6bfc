"""Thresholds with a finite-sample guarantee: the r-th largest of n held-out normal scores.

The rule is ``score > threshold -> reject``. With the r-th largest of ``n`` exchangeable, continuous normal
scores as the threshold, the rate at which normals to come are rejected is itself random, with the law
``Beta(r, n + 1 - r)`` whatever the scores' distribution. Hence::

    P(false-reject rate <= alpha) = I_alpha(r, n + 1 - r) = P(Bin(n, alpha) >= r)

Ties among the scores only make the true rate smaller: a score that equals the threshold is accepted.

Sources: S. S. Wilks, "Determination of sample sizes for setting tolerance limits", Annals of Mathematical
Statistics 12 (1941) 91-96; V. Vovk, "Conditional validity of inductive conformal predictors", ACML 2012
(PMLR 25, 475-490); the incomplete beta function as a binomial tail: NIST DLMF 8.17.5.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import TYPE_CHECKING

import numpy as np

from edge_ad.bundle.records import OrderStatistic
from edge_ad.errors import InputError, NotEnoughNormalsError
from edge_ad.thresholds.binomial import chance_below, chance_reached
from edge_ad.thresholds.wording import percent

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from edge_ad.bundle.records import RankCalibration

__all__ = [
    "MOST_SCORES",
    "USUAL_RATES",
    "attained_confidence",
    "check_enough",
    "check_probability",
    "check_scores",
    "confidence_with_excluded",
    "kept_scores",
    "largest_rank",
    "reached_confidence",
    "round_up",
    "smallest_alpha",
    "smallest_n",
    "threshold",
]

MOST_SCORES = 100_000
"""How many scores a record keeps."""

USUAL_RATES = (0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)
"""False-reject rates that people are offered, the largest first."""

# No set of normals shows a rate or a risk below one in a trillion; above it every integer here is exact.
_SMALLEST = 1e-12

# Less than an even chance is worth no promise.
_LEAST_CONFIDENCE = 0.5

# Relative. A tail that equals its bound in decimals (alpha 0.1, n 2, confidence 0.19) may miss it in binary.
# What this gives away, a billionth of the risk, is far below what any set of normals can tell.
_SLACK = 1e-9


def largest_rank(n: int, alpha: float, confidence: float) -> int:
    """The largest r with ``P(Bin(n, alpha) >= r) >= confidence``; 0 where there is none.

    Raises:
        InputError: ``n`` is negative, or ``alpha`` or ``confidence`` does not lie between 0 and 1.
    """
    _check_guarantee(alpha, confidence)
    if n < 0:
        raise InputError(f"the number of normals must not be negative, found {n}")
    return bisect_left(range(1, n + 1), True, key=lambda rank: not _holds(n, rank, alpha, confidence))


def smallest_n(alpha: float, confidence: float, rank: int = 1) -> int:
    """The smallest number of normals whose ``rank``-th largest score carries the guarantee.

    Raises:
        InputError: ``rank`` is below 1, or ``alpha`` or ``confidence`` does not lie between 0 and 1.
    """
    _check_guarantee(alpha, confidence)
    if rank < 1:
        raise InputError(f"the rank must be 1 or more, found {rank}")
    enough = rank
    while not _holds(enough, rank, alpha, confidence):
        enough *= 2
    candidates = range(rank, enough)
    return rank + bisect_left(candidates, True, key=lambda n: _holds(n, rank, alpha, confidence))


def smallest_alpha(n: int, confidence: float) -> float:
    """The smallest false-reject rate that ``n`` normals can promise: the largest score is the threshold.

    ``1 - (1 - confidence) ** (1 / n)``, from ``P(Bin(n, alpha) >= 1) = confidence``.

    Raises:
        InputError: ``n`` is below 1, or ``confidence`` does not lie between 0 and 1.
    """
    check_probability("confidence", confidence)
    if n < 1:
        raise InputError(f"the number of normals must be 1 or more, found {n}")
    return -math.expm1(math.log1p(-confidence) / n)


def attained_confidence(statistic: OrderStatistic, alpha: float) -> float:
    """``P(false-reject rate <= alpha)`` of this threshold: the confidence that was asked for, or more.

    Raises:
        InputError: ``alpha`` does not lie between 0 and 1.
    """
    check_probability("false-reject rate", alpha)
    return chance_reached(statistic.rank, statistic.n, alpha)


def reached_confidence(calibration: RankCalibration) -> float:
    """:func:`attained_confidence` of a calibration, less the risk that its limits of frames use."""
    limits = calibration.frame_limits
    return attained_confidence(calibration.image, calibration.alpha) - (limits.risk if limits else 0.0)


def confidence_with_excluded(statistic: OrderStatistic, alpha: float, excluded: int) -> float:
    """``P(false-reject rate <= alpha)`` if the normals that were taken out had been good parts after all.

    Whatever they scored, the threshold is then at least the ``(rank + excluded)``-th largest of all of them.

    Raises:
        InputError: ``alpha`` does not lie between 0 and 1.
    """
    check_probability("false-reject rate", alpha)
    return chance_reached(statistic.rank + excluded, statistic.n + excluded, alpha)


def threshold(
    scores: ArrayLike,
    alpha: float,
    confidence: float,
    *,
    rank: int | None = None,
    what: str = "score",
    outside: NDArray[np.bool_] | None = None,
) -> OrderStatistic:
    """The lowest of the scores that, as the threshold, keeps ``P(false-reject rate <= alpha) >= confidence``.

    Args:
        scores: ``(n,)``, one raw score per independent normal, in any order; ties are allowed.
        alpha: the rate of false rejects that must not be exceeded, a fraction.
        confidence: the chance, over draws of the normals, that the promise holds.
        rank: which of the scores, 1 being the largest; ``None``: the highest rank that keeps the promise. Up to
            ``rank - 1`` bad images among the normals cannot lift the threshold to their own scores.
        what: what one of the scores is called in messages.
        outside: bool ``(n,)``, which normals are rejected whatever they score; each counts as the largest score.

    Raises:
        InputError: the scores are not one-dimensional, are empty, not finite or all the same, ``rank`` or more normals
            are outside, or ``alpha`` or ``confidence`` does not lie between 0 and 1.
        NotEnoughNormalsError: not even the largest score, or not the ``rank`` asked for, carries the promise; says
            the number needed.
    """
    checked = check_scores(scores, what)
    n = checked.size
    check_enough(n, alpha, confidence, rank or 1)
    rank = rank or largest_rank(n, alpha, confidence)
    ascending = np.sort(checked if outside is None else checked[~outside])
    if n - ascending.size >= rank:
        raise InputError(f"{n - ascending.size} normals are rejected whatever they score, and the rank is {rank}")
    return OrderStatistic(threshold=float(ascending[n - rank]), rank=rank, n=n)


def check_enough(n: int, alpha: float, confidence: float, rank: int = 1, *, things: str = "normal") -> None:
    """Raises :class:`NotEnoughNormalsError` unless the ``rank``-th largest of ``n`` scores carries the promise.

    ``things``: what one of the observations is called in the message.
    """
    needed = smallest_n(alpha, confidence, rank)
    if n >= needed:
        return
    given = f"1 {things} was given" if n == 1 else f"{n:,} {things}s were given"
    message = (
        f"{given}; a false-reject rate of at most {percent(alpha)} with {percent(confidence)} confidence "
        f"needs at least {needed:,}{f' for rank {rank}' if rank > 1 else ''}: give {needed - n:,} more"
    )
    if rank > 1 and n >= smallest_n(alpha, confidence):
        raise NotEnoughNormalsError(needed, f"{message}, or ask for --rank {largest_rank(n, alpha, confidence)}")
    raise NotEnoughNormalsError(needed, f"{message}{_alternatives(n, alpha, confidence)}")


def _alternatives(n: int, alpha: float, confidence: float) -> str:
    """What can be had of as few normals, as options."""
    others = []
    rate = round_up(smallest_alpha(n, confidence))
    if rate < 1:
        others.append(f"a higher rate, --fpr {rate:g}")
    # Rounded down, so that what is recommended is also accepted.
    reachable = math.floor(-100 * math.expm1(n * math.log1p(-alpha))) / 100
    if reachable >= _LEAST_CONFIDENCE:
        others.append(f"less confidence, --confidence {reachable:g}")
    asked = f", or ask for {' or '.join(others)}" if others else ""
    return f"{asked}; --method mad gives a threshold for a first look, without any promise"


def check_probability(name: str, value: float) -> None:
    """Raises :class:`InputError` unless ``value`` lies between 0 and 1, neither included."""
    if not _SMALLEST <= value <= 1 - _SMALLEST:
        raise InputError(f"the {name} must be a fraction between 0 and 1 (1 % is 0.01), found {value:g}")


def _check_guarantee(alpha: float, confidence: float) -> None:
    check_probability("false-reject rate", alpha)
    check_probability("confidence", confidence)


def _holds(n: int, rank: int, alpha: float, confidence: float) -> bool:
    """Whether ``P(Bin(n, alpha) < rank) <= 1 - confidence``."""
    risk = 1 - confidence
    return chance_below(rank, n, alpha) <= risk + _SLACK * min(risk, confidence)


def check_scores(scores: ArrayLike, what: str = "score") -> NDArray[np.float64]:
    """The scores as float64 ``(n,)``. Raises :class:`InputError` unless they are finite and not all the same."""
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 1 or values.size == 0:
        raise InputError(f"expected one {what} per normal, (n,) with n >= 1; found the shape {values.shape}")
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        raise InputError(
            f"every {what} must be a finite number, found {bad.size} of {values.size} that are not, "
            f"the first at index {bad[0]}: check the model"
        )
    if values.size > 1 and values.min() == values.max():
        raise InputError(
            f"the {what} of all {values.size} normals is {values[0]:g}: the model does not respond to its "
            "input; check the model and the region of interest"
        )
    return values


def kept_scores(scores: NDArray[np.float64], most: int = MOST_SCORES) -> tuple[float, ...]:
    """The scores that a record keeps, ascending: all of them, or every m-th counted from the largest.

    ``scores``: float64 ``(n,)``, raw, in any order. ``most``: how many are kept at most.

    With m the smallest step that leaves ``most`` or fewer, ``floor(n / m)`` are kept, each standing for itself and
    the m - 1 next lower ones. Of c scores that are as high as a frame's, ``ceil(c / m)`` are kept, and
    ``(1 + ceil(c / m)) / (1 + floor(n / m)) >= (1 + c) / (1 + n)``: a p-value from them is valid, only coarser.
    """
    ascending = np.sort(scores)
    step = -(-ascending.size // most)
    kept = ascending[::-1][::step][: ascending.size // step]
    return tuple(kept[::-1].tolist())


def round_up(rate: float) -> float:
    """Rounds a rate up to two significant digits, so that a rate that is recommended is also accepted."""
    unit = 10.0 ** (math.floor(math.log10(rate)) - 1)
    return math.ceil(rate / unit) * unit
