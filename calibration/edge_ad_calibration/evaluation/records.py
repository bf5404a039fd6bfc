"""The result of an evaluation, as in its JSON. Rates are fractions; ``None`` stands for what cannot be computed."""

from __future__ import annotations

from itertools import groupby

import msgspec

from edge_ad.thresholds.wording import percent
from edge_ad_metrics.ranking import Estimate, OperatingPoint, RatePoint

__all__ = [
    "Delay",
    "Evaluation",
    "PixelMetrics",
    "ScoredRow",
    "TypeMetrics",
    "VideoMetrics",
    "figure",
    "rate_groups",
    "share",
    "with_interval",
]


class _Record(msgspec.Struct, frozen=True, kw_only=True):
    """Frozen."""


class PixelMetrics(_Record, frozen=True, kw_only=True):
    """Over ``images`` of which ``regions`` connected defects are marked.

    ``aupro``: up to a false-positive rate of 0.3, scaled to 0..1. ``aupimo``: mean over the anomalous images;
    ``None`` where the normal pixels cannot resolve false-positive rates of 1e-5.
    """

    images: int
    regions: int
    roc_auc: float
    aupro: float
    aupimo: Estimate | None


class TypeMetrics(_Record, frozen=True, kw_only=True):
    """One type of defect against all normals. ``recall``: at the calibrated threshold."""

    type: str
    count: int
    roc_auc: Estimate
    average_precision: Estimate
    recall: Estimate | None
    pixel: PixelMetrics | None


class Delay(_Record, frozen=True, kw_only=True):
    """From the first frame of an anomalous event to the first one that is rejected.

    ``median_frames`` and ``longest_frames`` are over the ``detected`` of ``events``; ``median_s`` where the clips'
    frame rates are known.
    """

    events: int
    detected: int
    median_frames: float | None
    longest_frames: int | None
    median_s: float | None


class VideoMetrics(_Record, frozen=True, kw_only=True):
    """``micro``: ROC-AUC over the frames of all clips together. ``macro``: mean over the ``clips_with_both`` clips
    that have frames of both classes. ``delay``: at the calibrated threshold."""

    clips: int
    clips_with_both: int
    roc_auc_micro: float
    roc_auc_macro: float | None
    delay: Delay | None


class ScoredRow(_Record, frozen=True, kw_only=True):
    """One image, or one frame of a clip, as it was scored; a row of the CSV file, but for the hash of its pixels."""

    path: str
    label: int
    type: str
    part: str | None
    score: float
    rejected: bool | None
    pixel_sha256: str


class Evaluation(_Record, frozen=True, kw_only=True):
    """The result. ``observation``: what was counted, image, part or frame.

    ``calibrated``: at the calibrated threshold, ``None`` for an uncalibrated bundle.
    ``best`` is the threshold with the highest F1 on these very labels: what no calibration can promise.
    ``promise``: what the calibration says of the false-positive rate; ``None`` where it gives no guarantee.
    ``normals_of_calibration``: how many of the normal images the calibration was made from, so that the false-reject
    rate here is too kind; ``None`` where that is not known. ``rates``: the share of anomalies that is caught at fixed
    false-reject rates. ``created``: when this was measured, ISO 8601.
    """

    created: str
    bundle: str
    variant: str
    station: str | None
    data: str
    layout: str
    observation: str
    normal: int
    anomalous: int
    normals_of_calibration: int | None
    roc_auc: Estimate
    average_precision: Estimate
    rates: tuple[RatePoint, ...]
    best: OperatingPoint
    calibrated: OperatingPoint | None
    promise: str | None
    pixel: PixelMetrics | None
    types: tuple[TypeMetrics, ...]
    video: VideoMetrics | None
    notes: tuple[str, ...]


def figure(value: float | None) -> str:
    """Four digits, or a dash for ``None``."""
    return "-" if value is None else f"{value:.4f}"


def share(count: int, total: int) -> str:
    """A count with what it is out of, and as a percentage: ``24 of 160 (15.0 %)``."""
    return f"{count:,} of {total:,} ({100 * count / total:.1f} %)"


def rate_groups(result: Evaluation) -> list[tuple[str, RatePoint]]:
    """The rates in words, such as ``0.1 % to 2 %`` where few normals give the same threshold for all of these, and
    what is caught at the highest of them."""
    groups = [list(group) for _, group in groupby(result.rates, key=lambda one: one.threshold)]
    return [
        (" to ".join(percent(one.rate) for one in dict.fromkeys((group[0], group[-1]))), group[-1]) for group in groups
    ]


def with_interval(estimate: Estimate | None) -> str:
    """A figure and its interval."""
    return "-" if estimate is None else f"{estimate.value:.4f} ({estimate.low:.4f} to {estimate.high:.4f})"
