"""Teaches a station what good parts look like: keeps the next parts, calibrates with them, and sets thresholds."""

from __future__ import annotations

from edge_ad.teaching.calibrating import CalibrateOrder, Proposal, RefusedCalibration, calibrate_taught
from edge_ad.teaching.collecting import TeachingWriter
from edge_ad.teaching.derived import is_version_of, regions_of
from edge_ad.teaching.session import (
    ChangedError,
    ExcludedPart,
    Regions,
    TaughtFrame,
    TeachingFolder,
    TeachingSession,
    TeachingSettings,
)
from edge_ad.teaching.setting import ThresholdOrder, normals_above, set_threshold

__all__ = [
    "CalibrateOrder",
    "ChangedError",
    "ExcludedPart",
    "Proposal",
    "RefusedCalibration",
    "Regions",
    "TaughtFrame",
    "TeachingFolder",
    "TeachingSession",
    "TeachingSettings",
    "TeachingWriter",
    "ThresholdOrder",
    "calibrate_taught",
    "is_version_of",
    "normals_above",
    "regions_of",
    "set_threshold",
]
