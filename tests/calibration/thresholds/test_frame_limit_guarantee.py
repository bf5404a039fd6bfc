"""The promise with limits of frames: an INVALID frame counts as a reject, over thousands of calibrations."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binom
from support.calibrating import frames_of, normals_of

from edge_ad.bundle.records import FrameSize
from edge_ad.errors import InputError
from edge_ad.thresholds.frame_limits import LearnedLimits, learn_limits
from edge_ad.thresholds.order_statistic import threshold
from edge_ad.verdict import FrameStatistics
from edge_ad_calibration.normals.measured import Normals
from edge_ad_calibration.thresholds.limits_room import check_outside, largest_risk
from edge_ad_calibration.thresholds.methods import ByRank, ByTail

CALIBRATIONS = 2_000
TO_COME = 100_000
CHANCE = 1e-6  # that a test of a true statement fails; the seed is fixed, so it fails always or never

Drawn = NDArray[np.float64]
"""float64 ``(n, 5)``: score, brightness, contrast, sharpness, colour of each normal."""


def steady(random: np.random.Generator, n: int) -> Drawn:
    """A steady station."""
    noise = random.normal(size=(n, 5))
    looks = (110 + 5 * noise[:, 1], np.exp(0.1 * noise[:, 2] - 1), 0.3 + 0.02 * noise[:, 3], 0.2 + 0.01 * noise[:, 4])
    return np.column_stack([noise[:, 0], *looks])


def varied(random: np.random.Generator, n: int) -> Drawn:
    """Parts of several kinds, from dark to bright and from plain to patterned."""
    noise = random.normal(size=(n, 5))
    odds = np.exp(0.6 * noise[:, 1] - 0.3)
    exp = np.exp(0.35 * noise[:, 2:] - 1)
    looks = (255 * odds / (1 + odds), exp[:, 0], exp[:, 1], exp[:, 2] / 2)
    return np.column_stack([noise[:, 0], *looks])


def darker_scores_higher(random: np.random.Generator, n: int) -> Drawn:
    """The score and the look are two sides of one thing, and the lamp flickers far down."""
    light = np.exp(-0.8 * random.exponential(size=n))
    return np.column_stack([-light, 180 * light, 0.4 * light, 0.5 * light, 0.1 * light])


def heavy_tails(random: np.random.Generator, n: int) -> Drawn:
    """Looks so odd that limits which are built from the extremes would be of no use."""
    tails = np.exp(np.clip(random.standard_cauchy((n, 3)) / 3, -20, 20))
    looks = (np.clip(90 * tails[:, 0], 0, 255), tails[:, 1], np.full(n, 0.3), np.clip(0.05 * tails[:, 2], 0, 1))
    return np.column_stack([random.normal(size=n), *looks])


def few_values(random: np.random.Generator, n: int) -> Drawn:
    """Ties everywhere."""
    looks = (
        random.choice([60.0, 120.0], n),
        random.choice([0.1, 0.4], n),
        np.full(n, 0.2),
        random.choice([0.0, 1e-3], n),
    )
    return np.column_stack([random.integers(0, 12, n), *looks]).astype(np.float64)


def just_too_many(random: np.random.Generator, n: int) -> Drawn:
    """A little more than 5 % of the normals are black: a rate that must not be promised at 5 %."""
    drawn = steady(random, n)
    drawn[random.random(n) < 0.052, 1] = 0.0
    return drawn


def some_gray(random: np.random.Generator, n: int) -> Drawn:
    """A few of the parts are photographed in gray: a rate at which the choice of limits is closest."""
    drawn = steady(random, n)
    drawn[random.random(n) < 0.045, 4] = 0.0
    return drawn


def gray_and_colour(random: np.random.Generator, n: int) -> Drawn:
    """Half of the parts are gray, and these score higher."""
    drawn = steady(random, n)
    gray = random.random(n) < 0.5
    drawn[gray, 4] = 0.0
    drawn[gray, 0] += 1
    return drawn


Draw = Callable[[np.random.Generator, int], Drawn]
LAWS = [steady, varied, darker_scores_higher, heavy_tails, few_values, just_too_many, some_gray, gray_and_colour]


def normals(drawn: Drawn) -> Normals:
    made = normals_of(drawn[:, 0])
    looks = tuple(FrameStatistics(*row) for row in drawn[:, 1:].tolist())
    return Normals(names=made.names, pixel_sha256=made.pixel_sha256, scores=made.scores, peaks=None, statistics=looks)


def learn(drawn: Drawn, alpha: float, confidence: float) -> LearnedLimits:
    n = len(drawn)
    risk = largest_risk(ByRank(), n, alpha, confidence)
    learned = learn_limits(normals(drawn), range(n), risk, with_size=False)
    assert learned is not None
    return learned


def rejected(drawn: Drawn, limit: float, learned: LearnedLimits) -> float:
    """The share that is above the threshold or outside the limits."""
    bad = drawn[:, 0] > limit
    for name, column in zip(("brightness", "contrast", "sharpness", "colour"), drawn[:, 1:].T, strict=True):
        kept = learned.limits.values[name]  # type: ignore[index]
        bad |= column < (-np.inf if kept.lowest is None else kept.lowest)
        bad |= column > (np.inf if kept.highest is None else kept.highest)
    return float(bad.mean())


@pytest.mark.slow
@pytest.mark.parametrize("draw", LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize(
    ("n", "alpha", "confidence"),
    [
        pytest.param(59, 0.05, 0.95, id="5 %, r=1"),
        pytest.param(181, 0.05, 0.95, id="5 %, r=5"),
        pytest.param(29, 0.1, 0.95, id="10 %, r=1"),
    ],
)
def test_the_rate_of_all_rejects_is_kept(draw: Draw, n: int, alpha: float, confidence: float) -> None:
    random = np.random.default_rng(20260202)
    to_come = draw(np.random.default_rng(1), TO_COME)
    # What a share of 100,000 frames can be off by.
    tolerance = 4 * np.sqrt(alpha * (1 - alpha) / TO_COME)
    broken = 0
    for _ in range(CALIBRATIONS):
        drawn = draw(random, n)
        learned = learn(drawn, alpha, confidence)
        marked = frames_of(drawn[:, 0]).mark_outside(learned.outside)
        try:
            check_outside(ByRank(), marked, learned, normals(drawn), alpha, confidence)
        except InputError:
            continue  # refused, so nothing is promised
        limit = threshold(drawn[:, 0], alpha, confidence, outside=marked.outside).threshold
        broken += rejected(to_come, limit, learned) > alpha + tolerance
    assert broken <= binom.isf(CHANCE, CALIBRATIONS, 1 - confidence)


@pytest.mark.slow
def test_limits_at_the_extremes_would_break_it() -> None:
    random = np.random.default_rng(3)
    broken = 0
    for _ in range(CALIBRATIONS):
        drawn = random.random((59, 4))
        low, high = drawn[:, 1:].min(axis=0), drawn[:, 1:].max(axis=0)
        broken += 1 - drawn[:, 0].max() * float(np.prod(high - low)) > 0.05
    assert broken > binom.isf(CHANCE, CALIBRATIONS, 0.05)


@pytest.mark.slow
@pytest.mark.parametrize("draw", [steady, varied], ids=lambda law: law.__name__)
def test_ordinary_normals_are_hardly_ever_refused(draw: Draw) -> None:
    random = np.random.default_rng(4)
    outside = sum(learn(draw(random, 299), 0.01, 0.95).outside.any() for _ in range(300))
    assert outside <= 30


@pytest.mark.parametrize(
    ("n", "alpha", "confidence"), [(59, 0.05, 0.95), (299, 0.01, 0.95), (459, 0.01, 0.99), (2_995, 0.001, 0.95)]
)
def test_the_limits_need_no_further_normals(n: int, alpha: float, confidence: float) -> None:
    from edge_ad.bundle.records import OrderStatistic
    from edge_ad.thresholds.order_statistic import attained_confidence, largest_rank

    risk = largest_risk(ByRank(), n, alpha, confidence)
    rank = largest_rank(n, alpha, confidence)
    assert 0 < risk <= 1e-4 * (1 - confidence)
    assert attained_confidence(OrderStatistic(threshold=0.0, rank=rank, n=n), alpha) - risk >= confidence


def test_the_device_keeps_wider_limits_than_are_counted_with() -> None:
    drawn = steady(np.random.default_rng(5), 299)
    drawn[0, 1] = 24.0
    learned = learn(drawn, 0.01, 0.95)
    ((name, counted, which),) = learned.faults
    kept = learned.limits.values[name]
    assert (name, which.tolist()) == ("brightness", [0])
    assert kept.lowest is not None
    assert counted.lowest is not None
    assert kept.lowest < counted.lowest
    assert learned.outside.tolist() == [True] + [False] * 298


def test_clips_that_hold_an_odd_frame_count_as_rejected() -> None:
    drawn = steady(np.random.default_rng(6), 60)
    drawn[10, 1] = 0.0
    names = [f"{'a' if k < 30 else 'b'}.avi#{k % 30}" for k in range(60)]
    made = normals(drawn)
    renamed = Normals(
        names=tuple(names), pixel_sha256=made.pixel_sha256, scores=made.scores, peaks=None, statistics=made.statistics
    )
    learned = learn_limits(renamed, range(60), 1e-6, with_size=False, reach=3)
    assert learned is not None
    assert np.flatnonzero(learned.outside).tolist() == [10, 11, 12, 13]


def test_without_a_promise_odd_normals_are_counted_only() -> None:
    drawn = steady(np.random.default_rng(7), 60)
    drawn[:9, 1] = 0.0
    learned = learn(drawn, 0.01, 0.95)
    marked = frames_of(drawn[:, 0]).mark_outside(learned.outside)
    check_outside(ByTail(), marked, learned, normals(drawn), 0.01, 0.95)
    assert learned.counting(marked.outside).limits.outside == 9


def test_one_size_gets_limits_a_fixed_factor_away() -> None:
    drawn = steady(np.random.default_rng(8), 300)
    made = normals(drawn)
    sized = Normals(
        names=made.names,
        pixel_sha256=made.pixel_sha256,
        scores=made.scores,
        peaks=None,
        statistics=made.statistics,
        sizes=(FrameSize(width=640, height=480),) * 300,
    )
    learned = learn_limits(sized, range(300), 1e-6, with_size=True)
    assert learned is not None
    width, height = learned.limits.values["width"], learned.limits.values["height"]
    assert (width.lowest, width.highest) == pytest.approx((160, 2560))
    assert (height.lowest, height.highest) == pytest.approx((120, 1920))
    assert learned.limits.size_fault(640, 480) is None
    assert learned.limits.size_fault(2, 2) == "expected a width of 160 to 2560 pixels, found 2"
    assert learned.limits.size_fault(248, 1) == "expected a height of 120 to 1920 pixels, found 1"


def test_vectors_have_no_limits() -> None:
    made = normals_of([0.1, 0.2, 0.3])
    bare = Normals(names=made.names, pixel_sha256=made.pixel_sha256, scores=made.scores, peaks=None, statistics=None)
    assert learn_limits(bare, range(3), 1e-6, with_size=True) is None


def test_a_record_goes_to_json_and_back() -> None:
    limits = learn(steady(np.random.default_rng(9), 100), 0.05, 0.95).limits
    assert msgspec.json.decode(msgspec.json.encode(limits), type=type(limits)) == limits
