"""The picture: drawn for every shape of scores, without a warning, with what it must show."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from support.calibrating import calibrated, frames_of

from edge_ad_calibration.pages.plots import draw_calibration
from edge_ad_calibration.thresholds.methods import ByFixed, ByMad, ByTail, Method

LIMIT_BGR = (43, 57, 192)


def drawn(scores: NDArray[np.float64], peaks: NDArray[np.float64] | None = None, *, alpha: float = 0.1) -> bytes:
    observations = frames_of(scores, peaks)
    return draw_calibration(calibrated(observations, alpha=alpha), observations, "tests")


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
    columns = limit_columns(drawn(scores, alpha=alpha))
    assert columns.size > 0
    assert np.ptp(columns) <= 6


def test_maps_have_their_own_column_and_threshold() -> None:
    scores = np.random.default_rng(1).normal(size=300)
    peaks = 3 * scores + 1
    columns = limit_columns(drawn(scores, peaks))
    assert np.sum(np.diff(columns) > 100) == 1


def test_drawing_leaves_no_figure_behind() -> None:
    from matplotlib import pyplot as plt

    drawn(np.arange(50.0))
    assert plt.get_fignums() == []


def test_the_callers_peaks_are_not_reordered() -> None:
    peaks = np.arange(50.0)[::-1].copy()
    drawn(peaks, peaks)
    assert peaks[0] == 49


@pytest.mark.parametrize(
    "method",
    [
        pytest.param(ByFixed(2.0), id="fixed"),
        pytest.param(ByFixed(99.0), id="fixed, far above all"),
        pytest.param(ByMad(3.0), id="mad"),
        pytest.param(ByTail(), id="gpd"),
    ],
)
def test_every_method_is_drawn(method: Method) -> None:
    observations = frames_of(np.random.default_rng(3).normal(size=600))
    columns = limit_columns(draw_calibration(calibrated(observations, method, alpha=0.001), observations, "tests"))
    assert columns.size > 0
