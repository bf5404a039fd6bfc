"""The rank rule: known answers, the inequality it promises, what it refuses."""

from __future__ import annotations

from fractions import Fraction
from math import comb

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from edge_ad.errors import InputError, NotEnoughNormalsError
from edge_ad.thresholds.order_statistic import (
    attained_confidence,
    largest_rank,
    smallest_alpha,
    smallest_n,
    threshold,
)

rates = st.floats(0.001, 0.999)
confidences = st.floats(0.01, 0.9999)
finite = st.floats(-1e9, 1e9)

SMALLEST_N = [
    pytest.param(0.05, 0.95, 1, 59, id="5 %, r=1"),
    pytest.param(0.05, 0.95, 2, 93, id="5 %, r=2"),
    pytest.param(0.05, 0.95, 3, 124, id="5 %, r=3"),
    pytest.param(0.05, 0.95, 5, 181, id="5 %, r=5"),
    pytest.param(0.01, 0.95, 1, 299, id="1 %, r=1"),
    pytest.param(0.01, 0.95, 2, 473, id="1 %, r=2"),
    pytest.param(0.01, 0.95, 3, 628, id="1 %, r=3"),
    pytest.param(0.01, 0.95, 5, 913, id="1 %, r=5"),
    pytest.param(0.005, 0.95, 1, 598, id="0.5 %, r=1"),
    pytest.param(0.005, 0.95, 2, 947, id="0.5 %, r=2"),
    pytest.param(0.005, 0.95, 3, 1258, id="0.5 %, r=3"),
    pytest.param(0.005, 0.95, 5, 1829, id="0.5 %, r=5"),
    pytest.param(0.001, 0.95, 1, 2995, id="0.1 %, r=1"),
    pytest.param(0.001, 0.95, 2, 4742, id="0.1 %, r=2"),
    pytest.param(0.001, 0.95, 3, 6294, id="0.1 %, r=3"),
    pytest.param(0.001, 0.95, 5, 9151, id="0.1 %, r=5"),
    pytest.param(0.05, 0.99, 1, 90, id="5 %, r=1, 99 % confidence"),
    pytest.param(0.01, 0.99, 1, 459, id="1 %, r=1, 99 % confidence"),
    pytest.param(0.005, 0.99, 1, 919, id="0.5 %, r=1, 99 % confidence"),
    pytest.param(0.001, 0.99, 1, 4603, id="0.1 %, r=1, 99 % confidence"),
]


def exact_tail(n: int, rank: int, alpha: float) -> Fraction:
    """P(Bin(n, alpha) >= rank) in rational numbers, alpha read as the decimal that a user types."""
    a = Fraction(repr(alpha))
    return sum((comb(n, k) * a**k * (1 - a) ** (n - k) for k in range(rank, n + 1)), Fraction(0))


@pytest.mark.parametrize(("alpha", "confidence", "rank", "expected"), SMALLEST_N)
def test_smallest_n_is_the_published_table(alpha: float, confidence: float, rank: int, expected: int) -> None:
    assert smallest_n(alpha, confidence, rank) == expected


@pytest.mark.parametrize(("alpha", "confidence", "rank", "n"), SMALLEST_N)
def test_one_normal_fewer_loses_the_rank(alpha: float, confidence: float, rank: int, n: int) -> None:
    assert largest_rank(n, alpha, confidence) == rank
    assert largest_rank(n - 1, alpha, confidence) == rank - 1


@pytest.mark.parametrize(
    ("n", "alpha", "confidence", "expected"),
    [
        pytest.param(1, 0.5, 0.5, 1, id="one normal, a coin"),
        pytest.param(2, 0.1, 0.19, 1, id="1 - 0.9^2 is 0.19"),
        pytest.param(4, 0.2, 0.5904, 1, id="1 - 0.8^4 is 0.5904"),
        pytest.param(2, 0.9, 0.99, 1, id="1 - 0.1^2 is 0.99"),
        pytest.param(2, 0.9, 0.81, 2, id="0.9^2 is 0.81"),
        pytest.param(1001, 0.5, 0.5, 501, id="the median of an odd binomial"),
    ],
)
def test_a_tail_that_equals_the_confidence_counts(n: int, alpha: float, confidence: float, expected: int) -> None:
    assert exact_tail(n, expected, alpha) == Fraction(repr(confidence))
    assert largest_rank(n, alpha, confidence) == expected


@given(n=st.integers(0, 60), alpha=rates, confidence=confidences)
def test_the_promise_holds_at_the_rank_and_fails_at_the_next(n: int, alpha: float, confidence: float) -> None:
    rank = largest_rank(n, alpha, confidence)
    risk, slack = 1 - Fraction(confidence), Fraction(1, 10**8)
    assert 1 - exact_tail(n, rank, alpha) <= risk * (1 + slack)
    assert 1 - exact_tail(n, rank + 1, alpha) > risk * (1 - slack)


@given(n=st.integers(0, 100_000), more=st.integers(0, 1000), alpha=rates, confidence=confidences)
def test_more_normals_never_lower_the_rank(n: int, more: int, alpha: float, confidence: float) -> None:
    assert largest_rank(n, alpha, confidence) <= largest_rank(n + more, alpha, confidence)


@given(n=st.integers(0, 100_000), alphas=st.tuples(rates, rates), confidence=confidences)
def test_a_larger_rate_never_lowers_the_rank(n: int, alphas: tuple[float, float], confidence: float) -> None:
    assert largest_rank(n, min(alphas), confidence) <= largest_rank(n, max(alphas), confidence)


@given(n=st.integers(0, 100_000), alpha=rates, levels=st.tuples(confidences, confidences))
def test_more_confidence_never_raises_the_rank(n: int, alpha: float, levels: tuple[float, float]) -> None:
    assert largest_rank(n, alpha, max(levels)) <= largest_rank(n, alpha, min(levels))


@given(alpha=st.floats(1e-6, 0.999), confidence=confidences, rank=st.integers(1, 20))
def test_smallest_n_is_where_the_rank_begins(alpha: float, confidence: float, rank: int) -> None:
    n = smallest_n(alpha, confidence, rank)
    assert largest_rank(n, alpha, confidence) >= rank
    assert largest_rank(n - 1, alpha, confidence) < rank


@given(n=st.integers(1, 100_000), confidence=confidences)
def test_smallest_alpha_is_what_n_normals_carry(n: int, confidence: float) -> None:
    alpha = smallest_alpha(n, confidence)
    assume(1e-9 < alpha < 0.999)
    assert largest_rank(n, alpha, confidence) >= 1
    assert largest_rank(n, alpha * (1 - 1e-6), confidence) == 0


@given(scores=st.lists(finite, min_size=14, max_size=200, unique=True), random=st.randoms())
def test_threshold_is_one_of_the_scores_in_any_order(scores: list[float], random: object) -> None:
    statistic = threshold(scores, 0.2, 0.9)
    shuffled = sorted(scores, key=lambda _: random.random())  # type: ignore[attr-defined]
    assert statistic.threshold in scores
    assert threshold(shuffled, 0.2, 0.9) == statistic
    assert sum(score >= statistic.threshold for score in scores) == statistic.rank


@given(scores=st.lists(st.integers(0, 3), min_size=14, max_size=60))
def test_with_ties_at_most_rank_minus_one_normals_lie_above(scores: list[int]) -> None:
    assume(len(set(scores)) > 1)
    statistic = threshold(scores, 0.2, 0.9)
    assert sum(score > statistic.threshold for score in scores) <= statistic.rank - 1


def test_threshold_counts_from_the_top() -> None:
    statistic = threshold(np.arange(473.0), 0.01, 0.95)
    assert (statistic.rank, statistic.n, statistic.threshold) == (2, 473, 471.0)
    assert attained_confidence(statistic, 0.01) == pytest.approx(0.95, abs=1e-3)


def test_callers_scores_are_not_reordered() -> None:
    scores = np.array([3.0, 1.0, 2.0])
    threshold(scores, 0.9, 0.9)
    assert scores.tolist() == [3.0, 1.0, 2.0]


def test_too_few_normals_say_the_number_needed() -> None:
    with pytest.raises(NotEnoughNormalsError) as caught:
        threshold(np.arange(14.0), 0.001, 0.95)
    assert caught.value.needed == 2995
    assert str(caught.value) == (
        "14 normals were given; a false-reject rate of at most 0.1 % with 95 % confidence needs at least "
        "2,995: give 2,981 more, or ask for a higher rate, --fpr 0.2; --method mad gives a threshold for a first look, "
        "without any promise"
    )


@given(n=st.integers(2, 3000), confidence=st.floats(0.5, 0.999))
def test_the_rate_recommended_is_granted(n: int, confidence: float) -> None:
    scores = np.arange(float(n))
    with pytest.raises(NotEnoughNormalsError) as caught:
        threshold(scores, 1e-6, confidence)
    recommended = float(str(caught.value).partition("--fpr ")[2].partition(";")[0])
    assert threshold(scores, recommended, confidence).rank >= 1


@given(n=st.integers(80, 2000))
def test_the_confidence_recommended_is_granted(n: int) -> None:
    alpha = 1.2 / n  # so that between a half and 95 % can be had
    with pytest.raises(NotEnoughNormalsError) as caught:
        threshold(np.arange(float(n)), alpha, 0.95)
    recommended = float(str(caught.value).partition("--confidence ")[2].partition(";")[0])
    assert 0.5 <= recommended < 0.95
    assert threshold(np.arange(float(n)), alpha, recommended).rank >= 1


def test_one_normal_that_can_promise_nothing_gets_no_recommendation() -> None:
    with pytest.raises(
        NotEnoughNormalsError, match=r"needs at least 2: give 1 more, or ask for less confidence, --confidence 0.99; "
    ):
        threshold([0.5], 0.99, 0.999)


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        pytest.param([], "flat|\\(n,\\)", id="empty"),
        pytest.param([[1.0, 2.0]], "found the shape \\(1, 2\\)", id="two dimensions"),
        pytest.param([1.0, float("nan"), 2.0], "1 of 3 that are not, the first at index 1", id="nan"),
        pytest.param([1.0, 2.0, float("inf")], "1 of 3 that are not, the first at index 2", id="infinite"),
        pytest.param([0.25] * 100, "the score of all 100 normals is 0.25", id="constant"),
    ],
)
def test_unusable_scores_are_refused(scores: list[float], expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        threshold(scores, 0.5, 0.5)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(0.0, id="zero"),
        pytest.param(1.0, id="one"),
        pytest.param(-0.1, id="negative"),
        pytest.param(5.0, id="percent"),
        pytest.param(1e-13, id="below a trillionth"),
        pytest.param(float("nan"), id="nan"),
    ],
)
def test_rates_and_confidences_outside_0_and_1_are_refused(value: float) -> None:
    with pytest.raises(InputError, match="false-reject rate must be a fraction between 0 and 1"):
        largest_rank(10, value, 0.95)
    with pytest.raises(InputError, match="confidence must be a fraction between 0 and 1"):
        smallest_n(0.01, value)


def test_impossible_counts_are_refused() -> None:
    with pytest.raises(InputError, match="must not be negative, found -1"):
        largest_rank(-1, 0.1, 0.9)
    with pytest.raises(InputError, match="rank must be 1 or more, found 0"):
        smallest_n(0.1, 0.9, 0)
    with pytest.raises(InputError, match="must be 1 or more, found 0"):
        smallest_alpha(0, 0.9)
