"""Detects drift: tests on the device whether the calibration still holds, with a stated rate of false alarms."""

from edge_ad.drift.keep import KeepLimits, KeepSink
from edge_ad.drift.kept import CONFIRMED, KeptFrame, read_kept
from edge_ad.drift.monitor import DriftMonitor
from edge_ad.drift.watch import DriftWatch
from edge_ad.drift.watched_values import DriftSettings
from edge_ad.scoring.frame_statistics import frame_reference, frame_statistics

__all__ = [
    "CONFIRMED",
    "DriftMonitor",
    "DriftSettings",
    "DriftWatch",
    "KeepLimits",
    "KeepSink",
    "KeptFrame",
    "frame_reference",
    "frame_statistics",
    "read_kept",
]
