"""What a calibration run says it has done."""

from __future__ import annotations

import msgspec

from edge_ad.bundle.records import Exclusion, Threshold
from edge_ad_calibration.normals.leaks import Leak
from edge_ad_calibration.normals.measured import Duplicate
from edge_ad_calibration.thresholds.groups import Difference

__all__ = ["CalibrationResult"]


class CalibrationResult(msgspec.Struct, frozen=True, kw_only=True):
    """What was calibrated and written for one station.

    ``confidence_reached``: the chance that the asked rate holds, which the exact rank raises above what was
    asked; ``None`` for a method without a guarantee. ``frames``: how many ``pictures``, images or objects, were scored.
    ``statements``: what is promised, in words. ``difference``:
    between the groups of a pooled calibration. ``uncalibrated``: the other variants of the bundle that have no
    thresholds for this station.
    """

    bundle: str
    variant: str
    station: str
    method: str
    alpha: float | None
    confidence: float | None
    confidence_reached: float | None
    observation: str
    frames: int
    pictures: str
    image: Threshold
    pixel: Threshold | None
    image_guarantee: str
    pixel_guarantee: str | None
    statements: tuple[str, ...]
    warnings: tuple[str, ...]
    duplicates: tuple[Duplicate, ...]
    leaks: tuple[Leak, ...]
    exclusions: tuple[Exclusion, ...]
    difference: Difference | None
    uncalibrated: tuple[str, ...]
    calibration: str
    plot: str
    report: str | None
    sheet: str | None
