"""The ways to a threshold, and from observations by one of them to a calibration."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, TypedDict

import numpy as np

import edge_ad
from edge_ad.bundle.records import FixedCalibration, MadCalibration, RankCalibration, TailCalibration
from edge_ad.errors import InputError
from edge_ad_calibration.order_statistic import check_enough, threshold
from edge_ad_calibration.plain import fixed_threshold, mad_threshold
from edge_ad_calibration.tail import tail_threshold

if TYPE_CHECKING:
    from typing import Literal

    from numpy.typing import NDArray

    from edge_ad.bundle.records import AnyCalibration
    from edge_ad_calibration.parts import Observations

__all__ = [
    "MOST_SCORES",
    "ByFixed",
    "ByMad",
    "ByRank",
    "ByTail",
    "Method",
    "calibration_by",
    "check_number",
    "kept_scores",
]

MOST_SCORES = 100_000
"""How many scores a record keeps."""

_PEAK = "largest map value"


@dataclass(frozen=True, slots=True)
class ByRank:
    """An order statistic, with a guarantee. ``rank``: ``None`` is the highest that keeps the promise."""

    rank: int | None = None

    def __post_init__(self) -> None:
        if self.rank is not None and self.rank < 1:
            raise InputError(f"the rank must be 1 (the largest score) or more, found {self.rank}")


@dataclass(frozen=True, slots=True)
class ByTail:
    """A generalized Pareto tail: for rates that the normals cannot promise. As good as its model."""


@dataclass(frozen=True, slots=True)
class ByFixed:
    """Thresholds that a person chose. ``pixel``: ``None`` for no regions."""

    image: float
    pixel: float | None = None


@dataclass(frozen=True, slots=True)
class ByMad:
    """``k`` robust standard deviations above the median: for a first look."""

    k: float


Method = ByRank | ByTail | ByFixed | ByMad


class _Evidence(TypedDict):
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


def calibration_by(
    method: Method, seen: Observations, alpha: float, confidence: float, *, images_sha256: str
) -> AnyCalibration:
    """Finds the thresholds. What else a record holds is for the caller to add.

    Raises:
        InputError: the scores cannot be used in this way.
        NotEnoughNormalsError: there are too few observations; says the number needed.
    """
    scores, peaks = seen.scores, seen.peaks
    check_number(method, scores.size, alpha, confidence, kind=seen.kind)
    evidence = _Evidence(
        scores=kept_scores(scores),
        observation=seen.kind,
        images_sha256=images_sha256,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        producer=f"edge-ad {edge_ad.__version__}",
    )
    match method:
        case ByRank(rank):
            image = threshold(scores, alpha, confidence, rank=rank)
            pixel = None if peaks is None else threshold(peaks, alpha, confidence, rank=rank, what=_PEAK)
            return RankCalibration(alpha=alpha, confidence=confidence, image=image, pixel=pixel, **evidence)
        case ByTail():
            tail = tail_threshold(scores, alpha, confidence)
            spot = None if peaks is None else tail_threshold(peaks, alpha, confidence, what=_PEAK)
            return TailCalibration(alpha=alpha, confidence=confidence, image=tail, pixel=spot, **evidence)
        case ByFixed(value, at):
            return FixedCalibration(
                confidence=confidence,
                image=fixed_threshold(scores, value, confidence),
                pixel=None if peaks is None or at is None else fixed_threshold(peaks, at, confidence, what=_PEAK),
                **evidence,
            )
        case ByMad(k):
            return MadCalibration(
                k=k,
                image=mad_threshold(scores, k),
                pixel=None if peaks is None else mad_threshold(peaks, k, what=_PEAK),
                **evidence,
            )


def kept_scores(scores: NDArray[np.float64], most: int = MOST_SCORES) -> tuple[float, ...]:
    """The scores that a record keeps, ascending: all of them, or every m-th counted from the largest.

    With m the smallest step that leaves ``most`` or fewer, ``floor(n / m)`` are kept, each standing for itself and
    the m - 1 next lower ones. Of c scores that are as high as a frame's, ``ceil(c / m)`` are kept, and
    ``(1 + ceil(c / m)) / (1 + floor(n / m)) >= (1 + c) / (1 + n)``: a p-value from them is valid, only coarser.
    """
    ascending = np.sort(scores)
    step = -(-ascending.size // most)
    kept = ascending[::-1][::step][: ascending.size // step]
    return tuple(kept[::-1].tolist())
