"""Normals, observations and calibrations out of bare scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_ad.bundle.records import AnyCalibration, OrderStatistic, Threshold
from edge_ad.verdict import FrameStatistics
from edge_ad_calibration.normals.measured import Normals
from edge_ad_calibration.normals.parts import Observations, group_parts
from edge_ad_calibration.thresholds.methods import ByRank, Method, calibration_by

LOOKS = FrameStatistics(100.0, 0.5, 0.1)


def normals_of(scores: ArrayLike, peaks: ArrayLike | None = None, names: Sequence[str] | None = None) -> Normals:
    """Normals with these scores and no pictures behind them."""
    values: NDArray[np.float64] = np.asarray(scores, np.float64)
    named = [f"{index:04d}.png" for index in range(values.size)] if names is None else names
    return Normals(
        names=tuple(named),
        pixel_sha256=tuple(f"{index:064x}" for index in range(values.size)),
        scores=values,
        peaks=None if peaks is None else np.asarray(peaks, np.float64),
        statistics=(LOOKS,) * values.size,
    )


def frames_of(scores: ArrayLike, peaks: ArrayLike | None = None) -> Observations:
    """Every score an observation."""
    return group_parts(normals_of(scores, peaks), None)


def calibrated(
    observations: Observations, method: Method | None = None, *, alpha: float = 0.1, confidence: float = 0.9
) -> AnyCalibration:
    """The calibration of these observations."""
    return calibration_by(method or ByRank(), observations, alpha, confidence, images_sha256="0" * 64)


def ranked(found: Threshold | None) -> OrderStatistic:
    """The threshold as an order statistic, which it must be."""
    assert isinstance(found, OrderStatistic)
    return found
