"""The tails of the binomial law, against another implementation and where numbers are large."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from edge_ad.thresholds.binomial import chance_below, chance_reached, count_at

COUNTS = st.integers(1, 3_000).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n + 1)))


@given(COUNTS, st.floats(1e-6, 1 - 1e-6))
def test_both_tails_are_those_of_scipy(given_: tuple[int, int], p: float) -> None:
    n, rank = given_
    assert chance_below(rank, n, p) == pytest.approx(float(binom.cdf(rank - 1, n, p)), rel=1e-9, abs=1e-14)
    assert chance_reached(rank, n, p) == pytest.approx(float(binom.sf(rank - 1, n, p)), rel=1e-9, abs=1e-14)


@pytest.mark.parametrize(("rank", "n", "p"), [(9_800, 1_000_000, 0.01), (500_000, 1_000_000, 0.5), (3, 10**9, 1e-9)])
def test_large_numbers_lose_no_digits(rank: int, n: int, p: float) -> None:
    assert chance_below(rank, n, p) == pytest.approx(float(binom.cdf(rank - 1, n, p)), rel=1e-9)


@pytest.mark.parametrize("p", [0.1, 0.25, 0.5])
@pytest.mark.parametrize("chance", [1e-9, 1e-4, 0.3, 1 - 1e-7])
@pytest.mark.parametrize("n", [22, 145, 1_000])
def test_a_quantile_is_that_of_scipy(chance: float, p: float, n: int) -> None:
    assert count_at(chance, n, p) == int(binom.ppf(chance, n, p))
