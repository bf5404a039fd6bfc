"""The bundle: what travels from the workstation to the device."""

from edge_ad.bundle.calibration_files import (
    EarlierCalibration,
    WrittenCalibration,
    list_earlier,
    restore_calibration,
    write_calibration,
    write_calibrations,
)
from edge_ad.bundle.frame_limits import FrameLimit, FrameLimits
from edge_ad.bundle.reader import MANIFEST, Bundle, calibration_name
from edge_ad.bundle.records import DEFAULT_STATION, FORMAT, Calibration, CalibrationRecord, Manifest, Variant
from edge_ad.bundle.seal import UNSEALED
from edge_ad.bundle.signature import SignedBundle, TrustStore
from edge_ad.bundle.writer import BundleWriter, pack, unpack

__all__ = [
    "DEFAULT_STATION",
    "FORMAT",
    "MANIFEST",
    "UNSEALED",
    "Bundle",
    "BundleWriter",
    "Calibration",
    "CalibrationRecord",
    "EarlierCalibration",
    "FrameLimit",
    "FrameLimits",
    "Manifest",
    "SignedBundle",
    "TrustStore",
    "Variant",
    "WrittenCalibration",
    "calibration_name",
    "list_earlier",
    "pack",
    "restore_calibration",
    "unpack",
    "write_calibration",
    "write_calibrations",
]
