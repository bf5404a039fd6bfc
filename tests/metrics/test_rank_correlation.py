"""The rank correlation and the lower end of its interval."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import spearmanr

from edge_ad_metrics.rank_correlation import _weighted, spearman, spearman_low

VALUES = arrays(np.float64, 12, elements=st.integers(-3, 3).map(float))


@given(VALUES, VALUES, arrays(np.int64, 12, elements=st.integers(0, 3)))
def test_a_resample_has_scipys_correlation(
    first: np.ndarray[tuple[int], np.dtype[np.float64]],
    second: np.ndarray[tuple[int], np.dtype[np.float64]],
    drawn: np.ndarray[tuple[int], np.dtype[np.int64]],
) -> None:
    places = np.repeat(np.arange(12), drawn)
    assume(places.size > 1 and np.ptp(first[places]) > 0 and np.ptp(second[places]) > 0)

    (found,) = _weighted(drawn[None].astype(np.float64), first, second)

    assert found == pytest.approx(spearmanr(first[places], second[places]).statistic, abs=1e-9)


def scores(count: int, noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    reference = random.normal(size=count)
    return reference + noise * random.normal(size=count), reference


def test_more_images_are_more_certain() -> None:
    gaps = [spearman(*scores(n, 0.1)) - spearman_low(*scores(n, 0.1)) for n in (20, 80, 320)]

    assert gaps[0] > 2 * gaps[1] > 4 * gaps[2] > 0


def test_images_of_one_part_count_as_one() -> None:
    found, reference = (np.repeat(one, 4) for one in scores(30, 0.1))
    parts = np.repeat(np.arange(30), 4)

    assert spearman_low(found, reference, parts) < spearman_low(found, reference) - 0.005


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param([1, 2, 3, 4, 5], 1.0, id="the-same-order"),
        pytest.param([7, 7, 7, 7, 7], 0.0, id="all-the-same"),
        pytest.param([1, 2, np.nan, 4, 5], np.nan, id="nan"),
    ],
)
def test_what_needs_no_interval(found: list[float], expected: float) -> None:
    low = spearman_low(np.array(found, np.float64), np.arange(5.0))
    assert low == pytest.approx(expected, nan_ok=True)


def test_one_part_alone_has_no_interval() -> None:
    assert spearman_low(np.array([2.0, 1.0, 3.0]), np.arange(3.0), np.zeros(3, np.intp)) == 0.5


@pytest.mark.slow
def test_the_true_correlation_is_above_the_lower_end_as_often_as_promised() -> None:
    true = spearmanr(*scores(400_000, 0.12)).statistic
    held = [spearman_low(*scores(60, 0.12, seed)) <= true for seed in range(300)]

    assert np.mean(held) >= 0.92
