"""The promise itself, over thousands of calibrations, against the law it is derived from."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import beta, binom, kstest

from edge_ad_calibration.order_statistic import attained_confidence, largest_rank, threshold

CALIBRATIONS = 10_000
CHANCE = 1e-6  # that a test of a true statement fails; the seed is fixed, so it fails always or never

CASES = [
    pytest.param(59, 0.05, 0.95, id="5 %, 95 %, r=1"),
    pytest.param(181, 0.05, 0.95, id="5 %, 95 %, r=5"),
    pytest.param(299, 0.01, 0.95, id="1 %, 95 %, r=1"),
    pytest.param(700, 0.01, 0.95, id="1 %, 95 %, r=3"),
    pytest.param(459, 0.01, 0.99, id="1 %, 99 %, r=1"),
    pytest.param(14, 0.2, 0.9, id="20 %, 90 %, r=1"),
]


def uniform_rates(n: int, alpha: float, confidence: float) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """True false-reject rates of calibrations on uniform scores: P(U > t) = 1 - t."""
    random = np.random.default_rng(20260101)
    return np.array([1 - threshold(random.random(n), alpha, confidence).threshold for _ in range(CALIBRATIONS)])


@pytest.mark.slow
@pytest.mark.parametrize(("n", "alpha", "confidence"), CASES)
def test_the_rate_is_exceeded_as_seldom_as_promised_and_no_less(n: int, alpha: float, confidence: float) -> None:
    broken = int(np.sum(uniform_rates(n, alpha, confidence) > alpha))
    reached = attained_confidence(threshold(np.arange(float(n)), alpha, confidence), alpha)
    assert reached >= confidence
    assert broken <= binom.isf(CHANCE, CALIBRATIONS, 1 - confidence)
    assert binom.ppf(CHANCE, CALIBRATIONS, 1 - reached) <= broken
    assert broken <= binom.isf(CHANCE, CALIBRATIONS, 1 - reached)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "alpha", "confidence"), CASES)
def test_the_rate_has_the_beta_law(n: int, alpha: float, confidence: float) -> None:
    rank = largest_rank(n, alpha, confidence)
    assert kstest(uniform_rates(n, alpha, confidence), beta(rank, n + 1 - rank).cdf).pvalue > CHANCE


@pytest.mark.slow
@pytest.mark.parametrize("levels", [pytest.param(4, id="4 levels"), pytest.param(150, id="150 levels")])
@pytest.mark.parametrize(("n", "alpha", "confidence"), CASES)
def test_ties_keep_the_promise(n: int, alpha: float, confidence: float, levels: int) -> None:
    random = np.random.default_rng(7)
    broken = 0
    for _ in range(CALIBRATIONS):
        limit = threshold(random.integers(0, levels, n), alpha, confidence).threshold
        broken += (levels - 1 - limit) / levels > alpha
    assert broken <= binom.isf(CHANCE, CALIBRATIONS, 1 - confidence)


@pytest.mark.slow
def test_an_interpolated_quantile_would_break_it() -> None:
    random = np.random.default_rng(1)
    limits = np.quantile(random.random((CALIBRATIONS, 299)), 0.99, axis=1)
    broken = int(np.sum(1 - limits > 0.01))
    assert broken > binom.isf(CHANCE, CALIBRATIONS, 0.05)


@pytest.mark.slow
def test_counting_copies_would_break_it() -> None:
    random = np.random.default_rng(2)
    broken = 0
    for _ in range(CALIBRATIONS):
        limit = threshold(np.repeat(random.random(100), 3), 0.01, 0.95).threshold
        broken += 1 - limit > 0.01
    assert broken > binom.isf(CHANCE, CALIBRATIONS, 0.05)
