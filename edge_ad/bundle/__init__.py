"""The bundle: what travels from the workstation to the device."""

from edge_ad.bundle.frame_limits import FrameLimit, FrameLimits
from edge_ad.bundle.reader import MANIFEST, Bundle, calibration_name
from edge_ad.bundle.records import DEFAULT_STATION, FORMAT, Calibration, CalibrationRecord, Manifest, Variant
from edge_ad.bundle.seal import UNSEALED
from edge_ad.bundle.writer import BundleWriter, pack, unpack, write_calibration, write_calibrations

__all__ = [
    "DEFAULT_STATION",
    "FORMAT",
    "MANIFEST",
    "UNSEALED",
    "Bundle",
    "BundleWriter",
    "Calibration",
    "CalibrationRecord",
    "FrameLimit",
    "FrameLimits",
    "Manifest",
    "Variant",
    "calibration_name",
    "pack",
    "unpack",
    "write_calibration",
    "write_calibrations",
]
