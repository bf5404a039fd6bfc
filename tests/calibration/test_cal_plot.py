"""The picture: drawn for every shape of scores, without a warning, with what it must show."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge_ad.bundle.records import Calibration
from edge_ad_calibration.order_statistic import threshold
from edge_ad_calibration.plot import draw_calibration

LIMIT_BGR = (43, 57, 192)


def calibration(
    scores: NDArray[np.float64], peaks: NDArray[np.float64] | None = None, alpha: float = 0.1
) -> Calibration:
    return Calibration(
        method="order-statistic",
        alpha=alpha,
        confidence=0.9,
        image=threshold(scores, alpha, 0.9),
        pixel=None if peaks is None else threshold(peaks, alpha, 0.9),
        scores=tuple(np.sort(scores).tolist()),
        observation="frame",
        images_sha256="0" * 64,
        created="2026-01-01T00:00:00+00:00",
        producer="tests",
    )


def limit_columns(png: bytes) -> NDArray[np.intp]:
    """The columns of the picture that hold the threshold's colour over half of its height."""
    image = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    colour = np.all(np.abs(image.astype(int) - LIMIT_BGR) < 20, axis=2)
    return np.flatnonzero(colour.sum(axis=0) > image.shape[0] // 3)


RANDOM = np.random.default_rng(0)
SCORES = [
    pytest.param(RANDOM.normal(size=500), 0.1, id="many"),
    pytest.param(RANDOM.normal(size=25), 0.1, id="few"),
    pytest.param(np.append(RANDOM.normal(size=200), 1e9), 0.1, id="one far above"),
    pytest.param(np.append(RANDOM.normal(size=200), -1e9), 0.1, id="one far below"),
    pytest.param(RANDOM.integers(0, 2, 100).astype(float), 0.1, id="ties"),
    pytest.param(np.append(np.zeros(99), 1.0), 0.1, id="all but one the same"),
    pytest.param(np.array([0.25]), 0.95, id="a single normal"),
    pytest.param(1e-9 * RANDOM.normal(size=100), 0.1, id="tiny scores"),
]


@pytest.mark.parametrize(("scores", "alpha"), SCORES)
def test_the_threshold_is_drawn_once_for_scores_alone(scores: NDArray[np.float64], alpha: float) -> None:
    columns = limit_columns(draw_calibration(calibration(scores, alpha=alpha), None, "tests"))
    assert columns.size > 0
    assert np.ptp(columns) <= 6


def test_maps_have_their_own_column_and_threshold() -> None:
    scores = np.random.default_rng(1).normal(size=300)
    peaks = 3 * scores + 1
    columns = limit_columns(draw_calibration(calibration(scores, peaks), peaks, "tests"))
    assert np.sum(np.diff(columns) > 100) == 1


def test_drawing_leaves_no_figure_behind() -> None:
    from matplotlib import pyplot as plt

    draw_calibration(calibration(np.arange(50.0)), None, "tests")
    assert plt.get_fignums() == []


def test_the_callers_peaks_are_not_reordered() -> None:
    peaks = np.arange(50.0)[::-1].copy()
    draw_calibration(calibration(peaks, peaks), peaks, "tests")
    assert peaks[0] == 49
