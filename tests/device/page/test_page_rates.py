"""The observed rate and its limits, beside scipy's exact binomial."""

from __future__ import annotations

import pytest
from scipy.stats import binomtest

from edge_ad.page import observed_rate

TABLE = [(0, 0), (0, 1), (1, 1), (0, 300), (1, 300), (7, 300), (299, 300), (300, 300), (12, 100_000), (900, 40_000)]


@pytest.mark.parametrize(("count", "of"), TABLE, ids=str)
def test_limits_are_those_of_clopper_and_pearson(count: int, of: int) -> None:
    rate = observed_rate(count, of)
    # a two-sided interval of 90 % has the one-sided limits of 95 %; scipy asks for at least one trial
    exact = binomtest(count, of).proportion_ci(0.9, "exact") if of else None
    wanted = (0.0, 1.0) if exact is None else (float(exact.low), float(exact.high))
    assert (rate.low, rate.high) == pytest.approx(wanted, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(("count", "of"), [(-1, 3), (4, 3)], ids=["negative", "more-than-all"])
def test_counts_that_cannot_be_are_refused(count: int, of: int) -> None:
    with pytest.raises(ValueError, match=f"expected a count from 0 to 3, found {count}"):
        observed_rate(count, of)
