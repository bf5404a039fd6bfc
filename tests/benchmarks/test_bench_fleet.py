"""The arithmetic of the roll-out on paper, against closed forms."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom, binomtest
from support.paths import ROOT

from benchmarks.fleet import (
    PLANS,
    TROUBLES,
    Fleet,
    Hypotheses,
    Plan,
    Trouble,
    Update,
    cost_of,
    cut_odds,
    devices_to_show,
    roll_out,
    said,
    too_few,
    too_many,
)

ALIKE = Hypotheses(link_spread=0.0, line_spread=0.0, damage=0.0)


def at_least(count: int, chance: float, least: int) -> float:
    """The odds of so many or more, as a sum."""
    return sum(math.comb(count, one) * chance**one * (1 - chance) ** (count - one) for one in range(least, count + 1))


@pytest.mark.parametrize(
    ("count", "chance", "alpha"), [(30, 0.1, 0.01), (11, 0.01, 0.02), (60, 0.5, 1e-4), (5, 0.9, 0.5)]
)
def test_the_limits_are_the_exact_ones(count: int, chance: float, alpha: float) -> None:
    many, few = too_many(count, chance, alpha), too_few(count, 1 - chance, alpha)
    assert at_least(count, chance, many) <= alpha < at_least(count, chance, many - 1)
    assert few == count - many  # the same question about the others


def test_no_count_is_too_few_where_none_is_unlikely() -> None:
    assert too_few(10, 0.01, 0.05) == -1


@pytest.mark.parametrize("share", [0.26, 0.01, 0.001])
def test_devices_without_a_failure_show_what_clopper_and_pearson_say(share: float) -> None:
    count = devices_to_show(share, 0.95)
    bounds = [binomtest(0, n, alternative="less").proportion_ci(0.95, "exact").high for n in (count - 1, count)]
    assert bounds[1] <= share < bounds[0]


def test_what_an_update_costs() -> None:
    update, hypotheses = Update("trial", 100.0, 20.0), replace(ALIKE, cuts_per_day=200.0)
    one = cost_of(update, hypotheses, np.random.default_rng(0))
    assert one.median_s == one.slowest_s == 100 * 8 / 10 + 20
    odds = 1 - math.exp(-100 * 200 / 86_400)
    assert cut_odds(100.0, hypotheses) == pytest.approx(odds)
    expected = hypotheses.devices * odds / (1 - odds)
    deviation = math.sqrt(hypotheses.devices * odds) / (1 - odds)
    assert abs(one.cuts - expected) < 5 * deviation
    assert one.gigabytes == pytest.approx((hypotheses.devices + one.cuts) * 0.1)
    assert one.server_hours == pytest.approx(one.gigabytes * 8 / 3600)


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.name)
def test_the_waves_reach_every_device(plan: Plan) -> None:
    waves = plan.waves(Hypotheses())
    assert sum(waves) == 10_000
    assert tuple(np.cumsum(waves)[: len(plan.stages)]) == plan.stages


def test_so_many_devices_return_as_the_binomial_says() -> None:
    trouble = Trouble(name="trial", share=0.5, factor=1.8)
    fleet = Fleet(trouble, ALIKE, np.random.default_rng(0))
    fleet.update(10_000)
    odds = [binom.sf(too_many(2_000, 0.0125, 1e-4) - 1, 2_000, rate) for rate in (0.01, 0.018)]
    expected = 5_000 * sum(odds)
    assert 100 < expected < 9_900
    assert abs(fleet.returned - expected) < 5 * math.sqrt(expected)
    assert abs(fleet.rejects / (2_000 * 10_000) - 0.014) < 5e-4


def test_parts_of_a_bad_version_count_until_it_is_taken_back() -> None:
    fleet = Fleet(Trouble(name="trial"), ALIKE, np.random.default_rng(0))
    for count in (2, 3):
        fleet.update(count)
    assert (fleet.updated, fleet.returned, fleet.lost) == (5, 0, 0)
    assert fleet.bad_parts == (2 + 2 + 3) * 24 * 1_200


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        (Trouble(name="refused", golden=1.0), "returns"),
        (Trouble(name="dead", loss=1.0), "losses"),
        (Trouble(name="rejects all", factor=100.0), "returns"),
        (Trouble(name="rejects nothing", factor=0.0), "fewer rejects"),
    ],
    ids=lambda one: getattr(one, "name", ""),
)
def test_what_is_wrong_on_every_device_stops_at_the_first(trouble: Trouble, reason: str) -> None:
    outcome = roll_out(PLANS[1], trouble, ALIKE, np.random.default_rng(0))
    assert (outcome.reason, outcome.updated) == (reason, 1)


def test_a_version_that_is_as_good_comes_through() -> None:
    outcome = roll_out(PLANS[1], TROUBLES[0], ALIKE, np.random.default_rng(0))
    assert (outcome.reason, outcome.updated, outcome.hours) == (None, 10_000, 12 * 24)


def test_the_notes_show_what_is_assumed_and_every_case() -> None:
    page = (ROOT / "firmware_notes/fleet.md").read_text(encoding="utf-8")
    missing = [one for one in (said(Hypotheses()), *(x.name for x in (*PLANS, *TROUBLES))) if one not in page]
    assert missing == []
