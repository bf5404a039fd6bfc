"""The picture: drawn for every shape of scores, without a warning, with what it must show."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from support.calibrating import calibrated, frames_of

from edge_ad_calibration.pages.plots import draw_calibration
from edge_ad_calibration.thresholds.methods import ByFixed, ByMad, ByTail, Method

LIMIT_BGR, NORMAL_BGR, FAINT_BGR, REJECTED_BGR = (122, 69, 200), (192, 131, 47), (152, 143, 138), (246, 242, 251)


def drawn(scores: NDArray[np.float64], peaks: NDArray[np.float64] | None = None, *, alpha: float = 0.1) -> bytes:
    observations = frames_of(scores, peaks)
    return draw_calibration(calibrated(observations, alpha=alpha), observations, "tests")


def coloured(png: bytes, bgr: tuple[int, int, int], tolerance: int = 20) -> NDArray[np.bool_]:
    """Which pixels of the picture have this colour: bool ``(H, W)``."""
    image = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    near: NDArray[np.bool_] = np.all(np.abs(image.astype(int) - bgr) < tolerance, axis=2)
    return near


def long_columns(pixels: NDArray[np.bool_]) -> NDArray[np.intp]:
    """The columns that are marked over a third of the picture's height."""
    return np.flatnonzero(pixels.sum(axis=0) > pixels.shape[0] // 3)


def limit_columns(png: bytes) -> NDArray[np.intp]:
    return long_columns(coloured(png, LIMIT_BGR))


def bar_count(png: bytes) -> int:
    """How many bars stand in the upper half of the picture, told apart by the gaps between them."""
    pixels = coloured(png, NORMAL_BGR)
    filled = pixels[: pixels.shape[0] // 2].any(axis=0)
    return int(np.sum(np.diff(filled.astype(int)) == 1))


def expected_column(png: bytes, scores: NDArray[np.float64], limit: float) -> float:
    """The column in which the threshold must stand, by the limits of the axis and the place of the axis."""
    median = float(np.median(scores))
    reach = 2 * abs(limit - median)
    low, high = max(scores.min(), median - reach), min(max(scores.max(), limit), median + reach)
    margin = 0.04 * (high - low)
    left, right = low - margin, max(high, limit + margin) + margin
    first = long_columns(coloured(png, FAINT_BGR)).min()
    last = np.flatnonzero(coloured(png, REJECTED_BGR, 3).any(axis=0)).max()
    return float(first + (limit - left) / (right - left) * (last - first))


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
    png = drawn(scores, alpha=alpha)
    columns = limit_columns(png)
    assert columns.size > 0
    assert np.ptp(columns) <= 6
    assert bar_count(png) >= 1


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
    ("method", "bars"),
    [
        pytest.param(ByFixed(2.0), 10, id="fixed"),
        pytest.param(ByFixed(99.0), 2, id="fixed, far above all"),
        pytest.param(ByMad(3.0), 10, id="mad"),
        pytest.param(ByTail(), 10, id="gpd"),
    ],
)
def test_every_method_is_drawn(method: Method, bars: int) -> None:
    observations = frames_of(np.random.default_rng(3).normal(size=600))
    made = calibrated(observations, method, alpha=0.001)
    png = draw_calibration(made, observations, "tests")
    column = expected_column(png, observations.scores, made.image.threshold)
    assert limit_columns(png).mean() == pytest.approx(column, abs=3)
    assert bar_count(png) >= bars


def test_every_bin_of_the_histogram_has_its_bar() -> None:
    assert bar_count(drawn(np.arange(100.0))) == 19


@pytest.mark.parametrize(("shift", "panels"), [(0.0, 1), (0.5, 2)], ids=["the scores", "other values"])
def test_map_values_are_drawn_where_they_are_not_the_scores(shift: float, panels: int) -> None:
    scores = np.random.default_rng(1).normal(size=60)
    image = cv2.imdecode(np.frombuffer(drawn(scores, scores + shift), np.uint8), cv2.IMREAD_COLOR)
    alone = cv2.imdecode(np.frombuffer(drawn(scores), np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    assert alone is not None
    assert (image.shape[1] > alone.shape[1]) == (panels == 2)
