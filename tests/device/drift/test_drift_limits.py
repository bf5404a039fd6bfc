"""The bound on how often a value of the calibration is exceeded, and the e-values of it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta

from edge_ad.drift.watched_values import (
    LEVELS,
    ODDS_RATIOS,
    Cutoff,
    Tail,
    WatchedValue,
    lower_tail,
    upper_tail,
)
from edge_ad.thresholds.binomial import exceedance_bound

FLOATS = st.floats(-1e6, 1e6)
VALUES = st.lists(FLOATS, min_size=1, max_size=60).map(sorted)


@pytest.mark.parametrize(
    ("rank", "n", "risk"),
    [
        pytest.param(1, 1, 0.05, id="one-value"),
        pytest.param(1, 59, 0.05, id="largest-of-59"),
        pytest.param(3, 300, 0.001, id="third-of-300"),
        pytest.param(150, 300, 0.001, id="median-of-300"),
        pytest.param(300, 300, 0.01, id="smallest-of-300"),
        pytest.param(50_000, 100_000, 1e-4, id="median-of-100000"),
    ],
)
def test_the_limit_is_the_quantile_of_the_beta_law(rank: int, n: int, risk: float) -> None:
    assert exceedance_bound(rank, n, risk) == pytest.approx(beta.isf(risk, rank, n + 1 - rank), rel=1e-9)


@given(n=st.integers(1, 400), data=st.data(), risk=st.floats(1e-6, 0.4))
@settings(deadline=None)
def test_limits_rise_with_the_rank_and_with_the_care_taken(n: int, data: st.DataObject, risk: float) -> None:
    rank = data.draw(st.integers(1, n))
    bound = exceedance_bound(rank, n, risk)
    assert 0 < bound < 1
    assert exceedance_bound(rank, n, risk / 2) > bound
    assert exceedance_bound(min(rank + 1, n), n, risk) >= bound


@given(bound=st.floats(1e-6, 1, exclude_max=True), odds=st.sampled_from(ODDS_RATIOS), share=st.floats(0, 1))
@settings(deadline=None)
def test_an_e_value_is_at_most_1_on_average_while_its_bound_holds(bound: float, odds: float, share: float) -> None:
    cutoff, chance = Cutoff(0.0, bound), share * bound
    mean = chance * cutoff.e_value(odds, beyond=True) + (1 - chance) * cutoff.e_value(odds, beyond=False)
    assert mean <= 1 + 1e-12
    fair = bound * cutoff.e_value(odds, beyond=True) + (1 - bound) * cutoff.e_value(odds, beyond=False)
    assert fair == pytest.approx(1)


@given(values=VALUES, value=FLOATS, data=st.data())
@settings(deadline=None)
def test_the_table_says_what_the_tails_say(values: list[float], value: float, data: st.DataObject) -> None:
    high, low = upper_tail("high", values, 0.01, 0.0), lower_tail("low", values, 0.01, 0.0)
    for asked in (value, data.draw(st.sampled_from(values))):
        expected = high.e_values(asked) + low.e_values(asked)
        assert WatchedValue(high, low).e_values(asked).tolist() == expected


@given(values=VALUES, pair=st.tuples(FLOATS, FLOATS).map(sorted))
@settings(deadline=None)
def test_a_higher_value_never_speaks_against_higher(values: list[float], pair: list[float]) -> None:
    high, low = upper_tail("high", values, 0.01, 0.0), lower_tail("low", values, 0.01, 0.0)
    below, above = pair
    assert all(a <= b for a, b in zip(high.e_values(below), high.e_values(above), strict=True))
    assert all(a >= b for a, b in zip(low.e_values(below), low.e_values(above), strict=True))


@given(values=VALUES, value=FLOATS)
@settings(deadline=None)
def test_beyond_a_cutoff_means_a_small_conformal_p_value(values: list[float], value: float) -> None:
    """Both ways of saying it: the value exceeds the r-th largest, and its p-value is at most r / (n + 1)."""
    p_value = (1 + sum(other >= value for other in values)) / (1 + len(values))
    ranks = sorted({max(1, int(level * (len(values) + 1))) for level in LEVELS})
    exceeds = [value > cutoff.value for cutoff in upper_tail("high", values, 0.01, 0.0).cutoffs]
    assert exceeds == [p_value <= rank / (len(values) + 1) for rank in ranks]


@given(value=FLOATS, n=st.integers(1, 50))
@settings(deadline=None)
def test_ties_speak_for_no_drift(value: float, n: int) -> None:
    values = [value] * n
    e_values = WatchedValue(upper_tail("high", values, 0.01, 0.0), lower_tail("low", values, 0.01, 0.0)).e_values(value)
    assert np.all(e_values < 1)


def test_real_defects_are_allowed_for() -> None:
    values = list(np.arange(100.0))
    strict, lenient = upper_tail("high", values, 0.01, 0.0), upper_tail("high", values, 0.01, 0.02)
    for without, with_allowance in zip(strict.cutoffs, lenient.cutoffs, strict=True):
        assert with_allowance.bound == pytest.approx(0.02 + 0.98 * without.bound)


def test_a_tail_counts_its_e_values() -> None:
    tail = Tail("more rejects", (Cutoff(1.0, 0.1),), above=True)
    assert tail.size == len(ODDS_RATIOS) == WatchedValue(tail).size
