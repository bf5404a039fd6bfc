"""The record of a calibration: thresholds, how they were found, and what is promised of them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Annotated, Final, Literal

import msgspec

from edge_ad.bundle.fields import Identifier, Probability, Record, Sha256, Sha256Start
from edge_ad.bundle.frame_limits import FrameLimits

__all__ = [
    "CALIBRATION_FORMAT",
    "DEFAULT_STATION",
    "AnyCalibration",
    "Calibration",
    "CalibrationRecord",
    "EngineRecord",
    "Exclusion",
    "FixedCalibration",
    "FixedThreshold",
    "FrameReference",
    "MadCalibration",
    "MadThreshold",
    "OrderStatistic",
    "RankCalibration",
    "TailCalibration",
    "TailThreshold",
    "Threshold",
    "conformal_p_value",
]

CALIBRATION_FORMAT: Final = "edge-ad-calibration/1"
DEFAULT_STATION: Final = "default"


class Threshold(Record, frozen=True, kw_only=True):
    """A threshold, and from how many observations it was taken. The rule is ``score > threshold -> reject``."""

    threshold: float
    n: Annotated[int, msgspec.Meta(ge=1)]


class OrderStatistic(Threshold, frozen=True, kw_only=True):
    """A threshold that is the ``rank``-th largest of ``n`` held-out normal scores (1 = the largest).

    Normals outside the limits of frames count as the largest.

    ``P(false-reject rate <= alpha) >= confidence``, whatever the scores' distribution.
    """

    rank: Annotated[int, msgspec.Meta(ge=1)]


class TailThreshold(Threshold, frozen=True, kw_only=True):
    """A threshold beyond what the normals can promise: from a generalized Pareto law fitted to their upper tail.

    The law has ``shape`` and ``scale`` and describes the ``exceedances`` scores above ``start``. ``estimate`` is its
    score that a share ``alpha`` of normals exceeds; ``threshold`` is the upper end of the estimate's
    profile-likelihood interval. ``fit_p_value``: of the goodness-of-fit test.
    """

    start: float
    exceedances: Annotated[int, msgspec.Meta(ge=1)]
    shape: float
    scale: Annotated[float, msgspec.Meta(gt=0)]
    estimate: float
    fit_p_value: Annotated[float, msgspec.Meta(ge=0, le=1)]


class FixedThreshold(Threshold, frozen=True, kw_only=True):
    """A threshold that a person chose; ``above`` of the ``n`` normals exceed it, or lie outside the limits of frames.

    ``bound``: the false-reject rate is at most this with the calibration's confidence (Clopper and Pearson 1934).
    """

    above: Annotated[int, msgspec.Meta(ge=0)]
    bound: Annotated[float, msgspec.Meta(ge=0, le=1)]


class MadThreshold(Threshold, frozen=True, kw_only=True):
    """``median + k * mad`` of the normals' scores, ``mad`` being scaled to the standard deviation of a normal law."""

    median: float
    mad: Annotated[float, msgspec.Meta(gt=0)]


class FrameReference(Record, frozen=True, kw_only=True):
    """How the calibration's normals looked: values of ``edge_ad.drift.frame_statistics``, each ascending."""

    brightness: tuple[float, ...]
    contrast: tuple[float, ...]
    sharpness: tuple[float, ...]


class Exclusion(Record, frozen=True, kw_only=True):
    """An image that was taken out of the normals, and why. ``score``: what it scored.

    ``by``: a person who looked at it, or the check for repeated training images, which looks at no score.
    """

    image: str
    pixel_sha256: Sha256
    score: float
    reason: Annotated[str, msgspec.Meta(min_length=1)]
    by: Literal["person", "leak-check"]


class EngineRecord(Record, frozen=True, kw_only=True):
    """The engine that measured the normals. ``threads`` is ``None`` where the engine chose their number itself."""

    name: str
    version: str
    device: str
    precision: str
    threads: int | None


class Calibration(Record, frozen=True, kw_only=True):
    """The thresholds of one station. The subclass says how they were found; its tag is the field ``method``.

    ``alpha``, ``confidence``: the guaranteed or intended rate and its confidence; ``None`` where the method has none.
    ``scores``: the normals' scores, one per observation, ascending. Of more than 100,000 every m-th is kept,
    counted from the largest: p-values from these are valid, only coarser.
    ``images_sha256``: over the pixels of all images. ``images``: of each by itself, ascending, at most 100,000; empty
    in a record of an earlier version.
    ``observation``: what was counted. A part's score is the largest of its frames', or of its objects; ``part_by`` says
    how they were told apart. ``frames``: how many images, or objects, were scored; ``None`` in a record of an earlier
    version.
    ``min_area_px``: a region of the map counts from this area on, in camera pixels.
    ``statements``: what is promised, in words. ``warnings``: what may speak against it.
    ``doubt``: why the guarantee is not shown although it was asked for; ``None`` if nothing was found against it.
    ``not_checked``: what could speak against it and was not checked, and how to have it checked.
    ``frame_limits``: outside of them a frame is refused; ``None`` of vectors, and in a record of an earlier version.
    """

    alpha: Probability | None = None
    confidence: Probability | None = None
    image: Threshold
    pixel: Threshold | None
    scores: tuple[float, ...]
    observation: Literal["frame", "part", "object"]
    images_sha256: Sha256
    images: tuple[Sha256Start, ...] = ()
    created: str
    producer: str
    frames: Annotated[int, msgspec.Meta(ge=1)] | None = None
    part_by: str | None = None
    min_area_px: Annotated[int, msgspec.Meta(ge=0)] = 0
    statements: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    doubt: str | None = None
    not_checked: tuple[str, ...] = ()
    exclusions: tuple[Exclusion, ...] = ()
    engine: EngineRecord | None = None
    frame_reference: FrameReference | None = None
    frame_limits: FrameLimits | None = None

    @property
    def method(self) -> str:
        """How the thresholds were found, as it stands in the file."""
        return str(self.__struct_config__.tag)


class RankCalibration(Calibration, frozen=True, kw_only=True, tag_field="method", tag="order-statistic"):
    """Order statistics: a guarantee without assumptions about the scores' distribution."""

    alpha: Probability
    confidence: Probability
    image: OrderStatistic
    pixel: OrderStatistic | None


class TailCalibration(Calibration, frozen=True, kw_only=True, tag_field="method", tag="gpd"):
    """Extrapolation by extreme-value theory: as good as its model, no guarantee."""

    alpha: Probability
    confidence: Probability
    image: TailThreshold
    pixel: TailThreshold | None


class FixedCalibration(Calibration, frozen=True, kw_only=True, tag_field="method", tag="fixed"):
    """Thresholds that a person chose; ``confidence`` is that of their bounds."""

    confidence: Probability
    image: FixedThreshold
    pixel: FixedThreshold | None


class MadCalibration(Calibration, frozen=True, kw_only=True, tag_field="method", tag="mad"):
    """``k`` robust standard deviations above the median: for a first look, no guarantee."""

    k: Annotated[float, msgspec.Meta(gt=0)]
    image: MadThreshold
    pixel: MadThreshold | None


AnyCalibration = RankCalibration | TailCalibration | FixedCalibration | MadCalibration
"""What a record may hold."""


class CalibrationRecord(Record, frozen=True, kw_only=True):
    """``variants/<id>/calibration.json``. Bound to the artefact and the geometry it was made through."""

    format: Literal["edge-ad-calibration/1"]
    seal: Sha256
    variant: Identifier
    artefact_sha256: Sha256
    geometry_sha256: Sha256
    stations: dict[Identifier, AnyCalibration]


def conformal_p_value(normals: Sequence[float], score: float) -> float:
    """The split-conformal p-value of a score: ``(1 + #{normals >= score}) / (n + 1)`` (Vovk et al. 2005).

    ``normals``: the scores of the held-out normals, ascending, as :attr:`Calibration.scores` holds them.
    """
    return (1 + len(normals) - bisect_left(normals, score)) / (1 + len(normals))
