"""Thresholds from held-out normals alone, with a finite-sample guarantee. A workstation package.

Names are loaded when they are first used: the command line asks this package for its command, and must
not load scipy and matplotlib for that.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_ad_calibration.calibrate import (
        CalibrationRequest,
        CalibrationResult,
        calibrate_bundle,
        calibrate_stations,
    )
    from edge_ad_calibration.thresholds.order_statistic import largest_rank, smallest_alpha, smallest_n, threshold

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

_HOMES = {
    "CalibrationRequest": "calibrate",
    "CalibrationResult": "calibrate",
    "calibrate_bundle": "calibrate",
    "calibrate_stations": "calibrate",
    "largest_rank": "thresholds.order_statistic",
    "smallest_alpha": "thresholds.order_statistic",
    "smallest_n": "thresholds.order_statistic",
    "threshold": "thresholds.order_statistic",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'edge_ad_calibration' has no attribute {name!r}")
    return getattr(importlib.import_module(f"edge_ad_calibration.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
