"""A roll-out to 10,000 devices on paper: what it costs, what it finds, and when it stops.

Each device has the next version replayed on its golden frames, and then watches how many of its first parts it rejects.
The fleet looks at all devices after each wave and goes on, or stops and takes the old version back everywhere. The
figures are a simulation's: they hold under the hypotheses, which are assumptions and were not measured on any fleet.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

Counts = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Hypotheses:
    """What is assumed. Each field is printed with its value, so that another fleet can put in its own."""

    devices: int = 10_000
    link_mbit_s: float = 10.0  # the median device's link; others differ by a lognormal factor
    link_spread: float = 0.8  # standard deviation of the logarithm
    server_mbit_s: float = 1_000.0
    cuts_per_day: float = 1.0  # how often a box is switched off without being shut down
    damage: float = 1e-5  # the odds that one writing ends a storage's life
    parts_per_hour: float = 1_200.0
    watched_parts: int = 2_000
    reject_rate: float = 0.01  # of the old version, known from the counters of each line
    line_spread: float = 0.15  # from day to day, standard deviation of the logarithm
    slack: float = 1.25  # a rate that differs by less is taken for a change of the parts
    device_alpha: float = 1e-4  # the odds that a device returns from a version that is as good as the old one
    fleet_alpha: float = 0.01  # the same for the whole roll-out, shared by its looks and rules
    tolerated_returns: float = 0.01  # share of devices
    tolerated_losses: float = 0.001  # share of devices that need a visit
    small_stage: int = 10  # up to here a single return or loss stops the roll-out
    wave_share: float = 0.1  # of the fleet, when it is everybody's turn
    wave_hours: float = 24.0  # each shift has seen it


@dataclass(frozen=True)
class Update:
    """What is sent to a device. ``write_s``: from the last byte to the next verdict."""

    name: str
    megabytes: float
    write_s: float


@dataclass(frozen=True)
class Plan:
    """How many devices have the next version after each stage; the rest of the fleet follows in waves."""

    name: str
    stages: tuple[int, ...]

    def waves(self, hypotheses: Hypotheses) -> list[int]:
        """How many devices each wave adds."""
        total, sizes, done = hypotheses.devices, [], 0
        for stage in self.stages:
            sizes.append(min(stage, total) - done)
            done = min(stage, total)
        wave = math.ceil(total * hypotheses.wave_share) if self.stages else total
        while done < total:
            sizes.append(min(wave, total - done))
            done += sizes[-1]
        return sizes


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """What is wrong with the next version, on a share of the devices: they reject ``factor`` times as many parts."""

    name: str
    share: float = 1.0
    factor: float = 1.0
    golden: float = 0.0  # the odds that golden frames or challenge set refuse it there
    loss: float = 0.0  # the odds that such a device needs a visit


@dataclass(frozen=True)
class Outcome:
    """One roll-out. ``reason``: why it stopped, or ``None``. ``bad_parts``: how many a bad version has judged."""

    reason: str | None
    waves: int
    updated: int
    returned: int
    lost: int
    bad_parts: float
    hours: float


MODEL = Update("a model", 12.0, 60.0)
SYSTEM = Update("a system", 250.0, 300.0)
PLANS = (Plan("all at once", ()), Plan("1, 10, all", (1, 10)), Plan("1, 10, 300, all", (1, 10, 300)))
TROUBLES = (
    Trouble(name="nothing wrong", share=0.0),
    Trouble(name="golden frames differ on all devices", golden=1.0),
    Trouble(name="3 times the rejects, on all", factor=3.0),
    Trouble(name="1.5 times the rejects, on all", factor=1.5),
    Trouble(name="half of the rejects (defects missed), on all", factor=0.5),
    Trouble(name="3 times the rejects, on 5 % of the devices", share=0.05, factor=3.0),
    Trouble(name="3 times the rejects, on 0.5 % of the devices", share=0.005, factor=3.0),
    Trouble(name="half of the rejects, on 5 % of the devices", share=0.05, factor=0.5),
    Trouble(name="1 % of the devices do not come back", share=0.01, loss=1.0),
)


def too_many(count: int, chance: float, alpha: float) -> int:
    """The smallest number of ``count`` whose odds, it or more, are at most ``alpha`` at this chance of each."""
    found = int(binom.isf(alpha, count, min(chance, 1.0))) + 1
    return found if binom.sf(found - 1, count, min(chance, 1.0)) <= alpha else found + 1


def too_few(count: int, chance: float, alpha: float) -> int:
    """The largest number of ``count`` whose odds, it or fewer, are at most ``alpha``; -1 if there is none."""
    found = int(binom.ppf(alpha, count, chance))
    while found >= 0 and binom.cdf(found, count, chance) > alpha:
        found -= 1
    return found


def devices_to_show(share: float, confidence: float) -> int:
    """How many devices without a failure show, with this confidence, that fewer than ``share`` of them fail."""
    return math.ceil(math.log(1 - confidence) / math.log(1 - share))


def cut_odds(seconds: NDArray[np.float64] | float, hypotheses: Hypotheses) -> NDArray[np.float64]:
    """The odds that a power cut falls into so many seconds."""
    return np.asarray(1 - np.exp(-np.asarray(seconds) * hypotheses.cuts_per_day / 86_400))


@dataclass(frozen=True)
class Costs:
    """What an update costs the whole fleet."""

    gigabytes: float
    server_hours: float
    median_s: float
    slowest_s: float
    cuts: int
    damaged: int


def cost_of(update: Update, hypotheses: Hypotheses, rng: np.random.Generator) -> Costs:
    """Sends an update to every device until each has it; a power cut makes a device begin again from the first byte."""
    factor = np.exp(rng.normal(0, hypotheses.link_spread, hypotheses.devices))
    seconds = update.megabytes * 8 / (hypotheses.link_mbit_s * factor) + update.write_s
    cuts = rng.geometric(1 - cut_odds(seconds, hypotheses)) - 1
    tries = hypotheses.devices + int(cuts.sum())
    return Costs(
        gigabytes=tries * update.megabytes / 1000,
        server_hours=tries * update.megabytes * 8 / hypotheses.server_mbit_s / 3600,
        median_s=float(np.median(seconds)),
        slowest_s=float(seconds.max()),
        cuts=int(cuts.sum()),
        damaged=int(rng.binomial(tries, hypotheses.damage)),
    )


class Fleet:
    """The devices that were updated so far, wave by wave."""

    def __init__(self, trouble: Trouble, hypotheses: Hypotheses, rng: np.random.Generator) -> None:
        self._trouble, self._hypotheses, self._rng = trouble, hypotheses, rng
        self._limit = too_many(
            hypotheses.watched_parts, hypotheses.reject_rate * hypotheses.slack, hypotheses.device_alpha
        )
        self.updated = self.returned = self.lost = self.watching = self.rejects = 0
        self.bad_parts, self._bad_devices = 0.0, 0

    def update(self, count: int) -> None:
        """Gives the next version to more devices, and lets a wave's time pass."""
        trouble, hypotheses, rng = self._trouble, self._hypotheses, self._rng
        is_bad = rng.random(count) < trouble.share
        is_lost = rng.random(count) < np.where(is_bad, trouble.loss, 0.0) + hypotheses.damage
        is_refused = ~is_lost & is_bad & (rng.random(count) < trouble.golden)
        runs = ~is_lost & ~is_refused
        day = np.exp(rng.normal(0, hypotheses.line_spread, count))
        rates = hypotheses.reject_rate * np.where(is_bad, trouble.factor, 1.0) * day
        rejects = rng.binomial(hypotheses.watched_parts, np.minimum(rates, 1.0))
        comes_back = runs & (rejects >= self._limit)
        parts = hypotheses.parts_per_hour * hypotheses.wave_hours
        self.bad_parts += self._bad_devices * parts
        self.bad_parts += float((runs & is_bad & comes_back).sum()) * hypotheses.watched_parts
        self.bad_parts += float((runs & is_bad & ~comes_back).sum()) * parts
        self._bad_devices += int((runs & is_bad & ~comes_back).sum())
        self.updated += count
        self.lost += int(is_lost.sum())
        self.returned += int((is_refused | comes_back).sum())
        self.watching += int(runs.sum())
        self.rejects += int(rejects[runs].sum())

    def stops(self, alpha: float) -> str | None:
        """Why the roll-out has to stop now; ``alpha``: the odds of an error of each rule at this look."""
        hypotheses = self._hypotheses
        if self.updated <= hypotheses.small_stage:
            losses, returns = 1, 1
        else:
            losses = too_many(self.updated, hypotheses.tolerated_losses, alpha)
            returns = too_many(self.updated, hypotheses.tolerated_returns, alpha)
        parts = self.watching * hypotheses.watched_parts
        if self.lost >= losses:
            return "losses"
        if self.returned >= returns:
            return "returns"
        if parts and self.rejects >= too_many(parts, hypotheses.reject_rate * hypotheses.slack, alpha):
            return "more rejects"
        if parts and self.rejects <= too_few(parts, hypotheses.reject_rate / hypotheses.slack, alpha):
            return "fewer rejects"
        return None


def roll_out(plan: Plan, trouble: Trouble, hypotheses: Hypotheses, rng: np.random.Generator) -> Outcome:
    """One roll-out, until it is through or stops."""
    fleet = Fleet(trouble, hypotheses, rng)
    waves = plan.waves(hypotheses)
    reason, done = None, 0
    while reason is None and done < len(waves):
        fleet.update(waves[done])
        done += 1
        reason = fleet.stops(hypotheses.fleet_alpha / (4 * len(waves)))
    hours = done * hypotheses.wave_hours
    return Outcome(reason, done, fleet.updated, fleet.returned, fleet.lost, fleet.bad_parts, hours)


def said(hypotheses: Hypotheses) -> str:
    """The hypotheses, four on a line."""
    texts = [f"{one.name} = {getattr(hypotheses, one.name):g}" for one in fields(hypotheses)]
    lines = [", ".join(texts[at : at + 4]) for at in range(0, len(texts), 4)]
    return "Hypotheses: " + ",\n  ".join(lines)


def print_costs(hypotheses: Hypotheses, rng: np.random.Generator) -> None:
    print("What an update of every device costs")
    print(f"  {'':<10}{'MB':>6}{'all, GB':>9}{'server':>9}{'median':>9}{'slowest':>9}{'cuts':>7}{'damaged':>9}")
    for update in (MODEL, SYSTEM):
        one = cost_of(update, hypotheses, rng)
        print(
            f"  {update.name:<10}{update.megabytes:>6.0f}{one.gigabytes:>9.0f}{one.server_hours:>7.1f} h"
            f"{one.median_s:>7.0f} s{one.slowest_s / 60:>5.0f} min{one.cuts:>7}{one.damaged:>9}"
        )


def print_plan(plan: Plan, hypotheses: Hypotheses, rng: np.random.Generator, runs: int) -> None:
    waves = plan.waves(hypotheses)
    print(f"\n{plan.name}: {len(waves)} waves, {len(waves) * hypotheses.wave_hours / 24:.0f} days")
    heads = f"{'stopped':>9}{'days':>6}{'updated':>9}{'at worst':>9}{'returned':>9}{'lost':>6}{'bad parts':>11}"
    print(f"  {'what is wrong':<46}{heads}  by")
    for trouble in TROUBLES:
        print(_row(trouble, [roll_out(plan, trouble, hypotheses, rng) for _ in range(runs)]))


def _row(trouble: Trouble, outcomes: Sequence[Outcome]) -> str:
    def median(values: Sequence[float]) -> float:
        return float(np.median(values))

    reasons = [one.reason for one in outcomes if one.reason]
    by = max(sorted(set(reasons)), key=reasons.count) if reasons else "-"
    updated = [one.updated for one in outcomes]
    return (
        f"  {trouble.name:<46}{len(reasons) / len(outcomes):>8.0%} {median([one.hours / 24 for one in outcomes]):>5.0f}"
        f"{median(updated):>9.0f}{max(updated):>9}{median([one.returned for one in outcomes]):>9.0f}"
        f"{median([one.lost for one in outcomes]):>6.0f}{median([one.bad_parts for one in outcomes]):>11.2g}  {by}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200, help="roll-outs for each row")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    hypotheses, rng = Hypotheses(), np.random.default_rng(given.seed)
    print(said(hypotheses))
    print(f"{given.runs} roll-outs for each row, seed {given.seed}\n")
    print_costs(hypotheses, rng)
    for plan in PLANS:
        print_plan(plan, hypotheses, rng, given.runs)
    print("\nDevices without a failure that show, with 95 % confidence, that fewer fail than")
    print("  " + ", ".join(f"{share:.1%}: {devices_to_show(share, 0.95)}" for share in (0.26, 0.05, 0.01, 0.001)))


if __name__ == "__main__":
    main()
