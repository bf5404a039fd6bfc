"""A threshold that a person sets: what it would change, and the bundle that has it."""

from __future__ import annotations

import math
from bisect import bisect_right
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

import edge_ad
from edge_ad.bundle import DEFAULT_STATION, Bundle, write_calibrations
from edge_ad.bundle.records import FixedCalibration, FixedThreshold, OrderStatistic
from edge_ad.errors import InputError
from edge_ad.teaching.derived import copy_bundle
from edge_ad.thresholds.binomial import exceedance_bound
from edge_ad.thresholds.wording import about_refused

if TYPE_CHECKING:
    from edge_ad.bundle.records import Calibration, Threshold

__all__ = ["ThresholdOrder", "fixed_by_hand", "normals_above", "set_threshold"]

_CONFIDENCE = 0.95


class ThresholdOrder(msgspec.Struct, frozen=True, kw_only=True):
    """``bundle``: the one in force. ``target``: where the new one goes. ``others``: variants that other inspections
    name, whose calibrations stay."""

    bundle: str
    variant: str | None
    calibration: str | None
    target: str
    value: float
    reason: str
    who: str
    others: tuple[str, ...] = ()


def set_threshold(order: ThresholdOrder) -> Bundle:
    """Writes a bundle with this threshold; nothing is promised of it.

    Raises:
        InputError: the bundle has no calibration, or the value is no threshold.
    """
    bundle = Bundle.open(order.bundle)
    variant, station = bundle.variant(order.variant, order.calibration), order.calibration or DEFAULT_STATION
    record = bundle.calibration(variant)
    before = None if record is None else record.stations.get(station)
    if before is None:
        raise InputError(
            "this inspection is not calibrated, so it has no threshold to change: teach it good parts first"
        )
    copy = copy_bundle(bundle, Path(order.target), keep=(variant.id, *order.others))
    write_calibrations(
        copy, copy.variant(variant.id), {station: fixed_by_hand(before, order.value, order.reason, order.who)}
    )
    return copy


def normals_above(calibration: Calibration, value: float) -> int:
    """How many of the calibration's observations a threshold rejects: above it, or outside the limits of frames."""
    kept, n = calibration.scores, calibration.image.n
    above = math.ceil((len(kept) - bisect_right(kept, value)) * n / len(kept)) if kept else 0
    outside = 0 if calibration.frame_limits is None else calibration.frame_limits.outside
    return min(n, above + outside)


def fixed_by_hand(before: Calibration, value: float, reason: str, who: str) -> FixedCalibration:
    """The calibration with another threshold. It was chosen with an eye on these scores, so nothing is promised."""
    if not math.isfinite(value):
        raise InputError(f"a threshold must be a finite number, found {value}")
    confidence = before.confidence or _CONFIDENCE
    above, n = normals_above(before, value), before.image.n
    doubt = f"The threshold was set by hand by {who}: {reason}"
    made = FixedCalibration(
        confidence=confidence,
        image=FixedThreshold(threshold=value, n=n, above=above, bound=_bound(above, n, confidence)),
        pixel=None if before.pixel is None else _same_pixel(before.pixel, confidence),
        scores=before.scores,
        observation=before.observation,
        images_sha256=before.images_sha256,
        images=before.images,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        producer=f"edge-ad {edge_ad.__version__} (set at the station)",
        frames=before.frames,
        part_by=before.part_by,
        min_area_px=before.min_area_px,
        warnings=before.warnings,
        doubt=doubt,
        not_checked=before.not_checked,
        exclusions=before.exclusions,
        engine=before.engine,
        frame_reference=before.frame_reference,
        frame_limits=before.frame_limits,
    )
    return msgspec.structs.replace(made, statements=(f"Nothing is promised. {doubt}", *about_refused(made)))


def _bound(above: int, n: int, confidence: float) -> float:
    return 1.0 if above >= n else exceedance_bound(above + 1, n, 1 - confidence)


def _same_pixel(before: Threshold, confidence: float) -> FixedThreshold:
    """The pixel threshold stays; how many maps exceed it is known of a rank only."""
    if isinstance(before, FixedThreshold):
        return before
    above = before.rank - 1 if isinstance(before, OrderStatistic) else before.n
    return FixedThreshold(
        threshold=before.threshold, n=before.n, above=above, bound=_bound(above, before.n, confidence)
    )
