"""The promise itself, over thousands of calibrations, against the law it is derived from."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import beta, binom, kstest
from support.calibrating import normals_of

from edge_ad.thresholds.order_statistic import (
    attained_confidence,
    confidence_with_excluded,
    largest_rank,
    threshold,
)
from edge_ad_calibration.normals.parts import group_parts, parse_part_by
from edge_ad_calibration.thresholds.methods import fixed_threshold

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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "alpha", "confidence", "rank"),
    [
        pytest.param(93, 0.05, 0.95, 2, id="5 %, 95 %, the fewest for r=2"),
        pytest.param(300, 0.05, 0.95, 5, id="5 %, 95 %, r=5 of more"),
        pytest.param(628, 0.01, 0.95, 3, id="1 %, 95 %, the fewest for r=3"),
        pytest.param(90, 0.05, 0.99, 1, id="5 %, 99 %, r=1"),
    ],
)
def test_the_asked_rank_keeps_the_promise(n: int, alpha: float, confidence: float, rank: int) -> None:
    random = np.random.default_rng(11)
    limits = [threshold(random.random(n), alpha, confidence, rank=rank).threshold for _ in range(CALIBRATIONS)]
    broken = int(np.sum(1 - np.array(limits) > alpha))
    reached = beta(rank, n + 1 - rank).cdf(alpha)
    assert reached >= confidence - 1e-9
    assert binom.ppf(CHANCE, CALIBRATIONS, 1 - reached) <= broken <= binom.isf(CHANCE, CALIBRATIONS, 1 - reached)


@pytest.mark.slow
@pytest.mark.parametrize("excluded", [pytest.param(1, id="1"), pytest.param(3, id="3")])
def test_good_parts_that_were_excluded_for_their_scores_cost_what_is_said(excluded: int) -> None:
    random = np.random.default_rng(12)
    broken = 0
    for _ in range(CALIBRATIONS):
        found = threshold(np.sort(random.random(181 + excluded))[:181], 0.05, 0.95)
        broken += 1 - found.threshold > 0.05
    said = confidence_with_excluded(found, 0.05, excluded)
    assert said < 0.95
    assert binom.ppf(CHANCE, CALIBRATIONS, 1 - said) <= broken <= binom.isf(CHANCE, CALIBRATIONS, 1 - said)


PARTS, FRAMES, DIP = 100, 3, 1e-3
PART_NAMES = [f"p{part:03d}_{frame}.png" for part in range(PARTS) for frame in range(FRAMES)]


def frames_of_parts(random: np.random.Generator) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Frame scores of parts: one frame of each, whichever, shows all of the part's score, the others a little less."""
    scores = np.repeat(random.random((PARTS, 1)) - DIP, FRAMES, axis=1)
    scores[np.arange(PARTS), random.integers(0, FRAMES, PARTS)] += DIP
    return scores.ravel()


@pytest.mark.slow
def test_parts_keep_the_promise_that_counting_their_frames_breaks() -> None:
    random, calibrations = np.random.default_rng(13), 3_000
    by_part, by_frame = 0, 0
    part_by = parse_part_by(r"^p(\d+)_")
    for _ in range(calibrations):
        normals = normals_of(frames_of_parts(random), names=PART_NAMES)
        parts = group_parts(normals, part_by)
        assert parts.scores.size == PARTS
        by_part += 1 - threshold(parts.scores, 0.03, 0.95).threshold > 0.03
        # 299 frames would promise 1 %; here are 300 of 100 parts.
        limit = threshold(group_parts(normals, None).scores, 0.01, 0.95).threshold
        by_frame += 1 - limit - DIP * (FRAMES - 1) / FRAMES > 0.01
    assert by_part <= binom.isf(CHANCE, calibrations, 0.05)
    assert by_frame > 3 * binom.isf(CHANCE, calibrations, 0.05)


@pytest.mark.slow
def test_a_guarantee_for_each_group_holds_where_the_pooled_one_fails() -> None:
    random, calibrations, shift = np.random.default_rng(14), 5_000, 0.03
    each, pooled, worse_group = 0, 0, 0
    for _ in range(calibrations):
        second = random.random(300) < 0.5
        scores = random.random(300) + shift * second
        limit = threshold(scores, 0.05, 0.95).threshold
        rates = np.clip([1 - limit, 1 + shift - limit], 0, 1)
        pooled += rates.mean() > 0.05
        worse_group += rates[1] > 0.05
        own = threshold(scores[second], 0.05, 0.95).threshold
        each += 1 + shift - own > 0.05
    assert pooled <= binom.isf(CHANCE, calibrations, 0.05)
    assert each <= binom.isf(CHANCE, calibrations, 0.05)
    assert worse_group > 3 * binom.isf(CHANCE, calibrations, 0.05)


@pytest.mark.slow
@pytest.mark.parametrize("rate", [pytest.param(0.003, id="0.3 %"), pytest.param(0.04, id="4 %")])
def test_the_bound_of_a_fixed_threshold_covers_the_rate(rate: float) -> None:
    random, calibrations = np.random.default_rng(15), 2_000
    missed = sum(fixed_threshold(random.random(250), 1 - rate, 0.95).bound < rate for _ in range(calibrations))
    assert missed <= binom.isf(CHANCE, calibrations, 0.05)
