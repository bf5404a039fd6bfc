"""The methods that make a threshold, and the calibration record that one of them gives."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, TypedDict

import numpy as np

import edge_ad
from edge_ad.bundle.records import (
    FixedCalibration,
    FixedThreshold,
    MadCalibration,
    MadThreshold,
    RankCalibration,
    TailCalibration,
)
from edge_ad.errors import InputError
from edge_ad.thresholds.order_statistic import (
    check_enough,
    check_probability,
    check_scores,
    kept_scores,
    smallest_n,
    threshold,
)
from edge_ad_calibration.thresholds.pareto_tail import FEWEST_FOR_TAIL, tail_threshold

if TYPE_CHECKING:
    from typing import Literal

    from numpy.typing import ArrayLike, NDArray

    from edge_ad.bundle.records import AnyCalibration
    from edge_ad_calibration.normals.parts import Observations

__all__ = [
    "ByFixed",
    "ByMad",
    "ByRank",
    "ByTail",
    "Clock",
    "Method",
    "calibration_by",
    "check_number",
    "fewest_needed",
    "fixed_threshold",
    "mad_threshold",
    "utc_now",
]


_PEAK = "largest map value"


@dataclass(frozen=True, slots=True)
class ByRank:
    """The order statistic, with a guarantee.

    ``rank``: which of the largest scores is the threshold; ``None`` takes the highest rank that keeps the promise.

    Raises:
        InputError: the rank is below 1.
    """

    rank: int | None = None

    def __post_init__(self) -> None:
        if self.rank is not None and self.rank < 1:
            raise InputError(f"the rank must be 1 (the largest score) or more, found {self.rank}")


@dataclass(frozen=True, slots=True)
class ByTail:
    """A generalized Pareto tail, for rates that need more normals than there are. It gives no guarantee."""


@dataclass(frozen=True, slots=True)
class ByFixed:
    """Thresholds that a person chose, raw. ``pixel``: ``None`` marks no regions."""

    image: float
    pixel: float | None = None


@dataclass(frozen=True, slots=True)
class ByMad:
    """``k`` robust standard deviations above the median, for a first look. It gives no guarantee."""

    k: float


Method = ByRank | ByTail | ByFixed | ByMad


Clock = Callable[[], datetime]
"""Tells the time, with its time zone."""


def utc_now() -> datetime:
    """The time in UTC."""
    return datetime.fromtimestamp(time.time(), timezone.utc)


class _CommonFields(TypedDict):
    scores: tuple[float, ...]
    observation: Literal["frame", "part", "object"]
    images_sha256: str
    created: str
    producer: str


def check_number(
    method: Method, n: int, alpha: float, confidence: float, *, kind: Literal["frame", "part", "object"] = "frame"
) -> None:
    """Raises :class:`NotEnoughNormalsError` where ``n`` observations cannot be enough, before any is scored."""
    if isinstance(method, ByRank):
        things = "normal" if kind == "frame" else f"normal {kind}"
        check_enough(n, alpha, confidence, method.rank or 1, things=things)


def fewest_needed(method: Method, alpha: float, confidence: float) -> int:
    """The smallest number of observations that this method accepts."""
    if isinstance(method, ByRank):
        return smallest_n(alpha, confidence, method.rank or 1)
    return FEWEST_FOR_TAIL if isinstance(method, ByTail) else 1


def calibration_by(
    method: Method,
    observations: Observations,
    alpha: float,
    confidence: float,
    *,
    images_sha256: str,
    now: Clock = utc_now,
) -> AnyCalibration:
    """Makes the calibration of one station: its thresholds, and the scores that the device needs for p-values.

    The caller adds the other fields of the record, such as the engine and the warnings.

    Args:
        method: how the thresholds are found.
        observations: what is counted, with one raw score for each.
        alpha: the highest rate of false rejects, a fraction; only for :class:`ByRank` and :class:`ByTail`.
        confidence: the probability that this rate is kept; not for :class:`ByMad`.
        images_sha256: the hash over the pixels of all normal images, in hexadecimal digits.
        now: tells the time that the calibration records.

    Raises:
        InputError: the scores cannot be used with this method.
        NotEnoughNormalsError: there are too few observations; the message says how many are needed.
    """
    scores, peaks = observations.scores, observations.peaks
    check_number(method, scores.size, alpha, confidence, kind=observations.kind)
    common = _CommonFields(
        scores=kept_scores(scores),
        observation=observations.kind,
        images_sha256=images_sha256,
        created=now().isoformat(timespec="seconds"),
        producer=f"edge-ad {edge_ad.__version__}",
    )
    match method:
        case ByRank(rank):
            image = threshold(scores, alpha, confidence, rank=rank, outside=observations.outside)
            pixel = None if peaks is None else threshold(peaks, alpha, confidence, rank=rank, what=_PEAK)
            return RankCalibration(alpha=alpha, confidence=confidence, image=image, pixel=pixel, **common)
        case ByTail():
            tail = tail_threshold(scores, alpha, confidence)
            spot = None if peaks is None else tail_threshold(peaks, alpha, confidence, what=_PEAK)
            return TailCalibration(alpha=alpha, confidence=confidence, image=tail, pixel=spot, **common)
        case ByFixed(value, at):
            return FixedCalibration(
                confidence=confidence,
                image=fixed_threshold(scores, value, confidence, outside=observations.outside),
                pixel=None if peaks is None or at is None else fixed_threshold(peaks, at, confidence, what=_PEAK),
                **common,
            )
        case ByMad(k):
            return MadCalibration(
                k=k,
                image=mad_threshold(scores, k),
                pixel=None if peaks is None else mad_threshold(peaks, k, what=_PEAK),
                **common,
            )


def fixed_threshold(
    scores: ArrayLike,
    value: float,
    confidence: float,
    *,
    what: str = "score",
    outside: NDArray[np.bool_] | None = None,
) -> FixedThreshold:
    """A chosen threshold, with the exact upper bound on its false-reject rate that the normals give.

    The bound is that of Clopper and Pearson (Biometrika 26 (1934) 404-413). It holds where the threshold was chosen
    without these normals.

    ``scores``: ``(n,)``, raw, in any order. ``value``: the threshold, raw. ``confidence``: of the bound, a fraction.
    ``outside``: bool ``(n,)``, which normals are rejected whatever they score.

    Raises:
        InputError: the scores cannot be used, or ``value`` is not finite.
    """
    from scipy.stats import binomtest

    check_probability("confidence", confidence)
    if not math.isfinite(value):
        raise InputError(f"a fixed threshold must be a finite number, found {value}")
    checked = check_scores(scores, what)
    above = int(np.sum(checked > value if outside is None else (checked > value) | outside))
    interval = binomtest(above, checked.size, alternative="less").proportion_ci(confidence, method="exact")
    return FixedThreshold(threshold=value, n=checked.size, above=above, bound=float(interval.high))


def mad_threshold(scores: ArrayLike, k: float, *, what: str = "score") -> MadThreshold:
    """``median + k * MAD``, the median absolute deviation being scaled to a normal law's standard deviation.

    ``scores``: ``(n,)``, raw, in any order.

    Raises:
        InputError: the scores cannot be used, more than half of them are the same, or ``k`` is not above 0.
    """
    from scipy.stats import median_abs_deviation

    if not 0 < k < math.inf:
        raise InputError(f"--k must be a number above 0, such as 5, found {k:g}")
    checked = check_scores(scores, what)
    median, mad = float(np.median(checked)), float(median_abs_deviation(checked, scale="normal"))
    if mad <= 0:
        raise InputError(f"more than half of the {what}s are {median:g}: a deviation from their median says nothing")
    return MadThreshold(threshold=median + k * mad, n=checked.size, median=median, mad=mad)
