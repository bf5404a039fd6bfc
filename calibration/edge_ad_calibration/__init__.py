"""Thresholds from held-out normals alone, with a finite-sample guarantee. A workstation package.

Names are loaded when they are first used: the command line asks this package for its command, and must
not load scipy and matplotlib for that.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_ad.thresholds.order_statistic import largest_rank, smallest_alpha, smallest_n, threshold
    from edge_ad_calibration.calibrate import (
        CalibrationRequest,
        CalibrationResult,
        calibrate_bundle,
        calibrate_stations,
    )

__all__ = [
    "CalibrationRequest",
    "CalibrationResult",
    "calibrate_bundle",
    "calibrate_stations",
    "largest_rank",
    "smallest_alpha",
    "smallest_n",
    "threshold",
]

_CALIBRATE, _STATISTIC = "edge_ad_calibration.calibrate", "edge_ad.thresholds.order_statistic"
_HOMES = {
    "CalibrationRequest": _CALIBRATE,
    "CalibrationResult": _CALIBRATE,
    "calibrate_bundle": _CALIBRATE,
    "calibrate_stations": _CALIBRATE,
    "largest_rank": _STATISTIC,
    "smallest_alpha": _STATISTIC,
    "smallest_n": _STATISTIC,
    "threshold": _STATISTIC,
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'edge_ad_calibration' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
