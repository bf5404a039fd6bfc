"""How well a station tells good parts from bad ones: an attribute measurement-system analysis.

After the Automotive Industry Action Group, *Measurement Systems Analysis*, 4th edition (2010), chapter III, section C:
labelled parts are inspected several times, and each decision is compared with the label. The station is the one
appraiser, and the label is the reference.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

import msgspec

from edge_ad.page.rates import Rate, observed_rate

__all__ = ["LIMITS", "Grade", "LabelledRun", "Limits", "MeasurementSystem", "analyse_measurement_system", "kappa_of"]

_EACH_SIDE = 0.975
"""Both limits together hold with 95 %, as in the book's tables."""


class Grade(str, Enum):
    """What the book says of a figure."""

    ACCEPTABLE = "acceptable"
    MARGINAL = "marginal"
    UNACCEPTABLE = "unacceptable"
    UNKNOWN = "unknown"


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Of one figure, from 0 to 1: ``acceptable`` and ``marginal`` are still allowed. ``is_least``: else the most."""

    acceptable: float
    marginal: float
    is_least: bool = False

    def grade(self, value: float) -> Grade:
        """What this value is."""
        sign = -1 if self.is_least else 1
        if sign * value <= sign * self.acceptable:
            return Grade.ACCEPTABLE
        return Grade.MARGINAL if sign * value <= sign * self.marginal else Grade.UNACCEPTABLE


LIMITS = {
    "effectiveness": Limits(acceptable=0.90, marginal=0.80, is_least=True),
    "miss_rate": Limits(acceptable=0.02, marginal=0.05),
    "false_alarm_rate": Limits(acceptable=0.05, marginal=0.10),
}
"""The book's table of effectiveness, miss rate and false-alarm rate."""


class LabelledRun(msgspec.Struct, frozen=True, kw_only=True):
    """One inspection of a labelled part. ``is_accepted``: INVALID is not accepted, as the line rejects it."""

    part: str
    is_bad: bool
    is_accepted: bool


class MeasurementSystem(msgspec.Struct, frozen=True, kw_only=True):
    """``effectiveness``: parts whose every run agrees with the label, of all parts. A part whose runs disagree with
    each other does not count there. ``repeatable``: parts whose runs agree with each other, right or wrong.
    ``misses``: runs of bad parts that were accepted, of all of them. ``false_alarms``: runs of good ones that were not.

    The limits of all four rates are exact (Clopper and Pearson) and hold with 95 % together. Runs of one part are not
    independent of each other, so those of the runs, ``misses`` and ``false_alarms``, are narrower than they should be.
    ``kappa``: of Cohen, decisions against labels; ``None`` where it has no value, as all labels are the same.
    ``grades``: by figure, as observed; ``shown``: whether the limit of the figure, too, is within ``acceptable``.
    """

    parts: int
    bad_parts: int
    runs: int
    effectiveness: Rate
    repeatable: Rate
    misses: Rate
    false_alarms: Rate
    kappa: float | None
    grades: dict[str, Grade]
    shown: dict[str, bool]

    @property
    def grade(self) -> Grade:
        """The worst of the three."""
        worst = [Grade.UNACCEPTABLE, Grade.UNKNOWN, Grade.MARGINAL, Grade.ACCEPTABLE]
        return min(self.grades.values(), key=worst.index)


def analyse_measurement_system(runs: Iterable[LabelledRun]) -> MeasurementSystem:
    """The figures of these runs. A name with both labels stands for two parts."""
    by_part: dict[tuple[str, bool], list[bool]] = {}
    for run in runs:
        by_part.setdefault((run.part, run.is_bad), []).append(run.is_accepted)
    right = sum(all(taken is not is_bad for taken in given) for (_, is_bad), given in by_part.items())
    alike = sum(len(set(given)) == 1 for given in by_part.values())
    bad = [taken for (_, is_bad), given in by_part.items() for taken in given if is_bad]
    good = [taken for (_, is_bad), given in by_part.items() for taken in given if not is_bad]
    rates = {
        "effectiveness": _rate(right, len(by_part)),
        "miss_rate": _rate(sum(bad), len(bad)),
        "false_alarm_rate": _rate(len(good) - sum(good), len(good)),
    }
    return MeasurementSystem(
        parts=len(by_part),
        bad_parts=sum(is_bad for _, is_bad in by_part),
        runs=len(bad) + len(good),
        effectiveness=rates["effectiveness"],
        repeatable=_rate(alike, len(by_part)),
        misses=rates["miss_rate"],
        false_alarms=rates["false_alarm_rate"],
        kappa=kappa_of(len(bad) - sum(bad), sum(bad), len(good) - sum(good), sum(good)),
        grades={name: _grade(LIMITS[name], rate) for name, rate in rates.items()},
        shown={name: _is_shown(LIMITS[name], rate) for name, rate in rates.items()},
    )


def kappa_of(bad_rejected: int, bad_accepted: int, good_rejected: int, good_accepted: int) -> float | None:
    """Cohen's kappa of this table of decisions against labels: (p_o - p_e) / (1 - p_e).

    ``None`` where nothing was counted, or one of the labels or decisions is missing on both sides (p_e = 1).
    """
    total = bad_rejected + bad_accepted + good_rejected + good_accepted
    if total == 0:
        return None
    rejected = bad_rejected + good_rejected
    expected = (bad_rejected + bad_accepted) * rejected + (good_rejected + good_accepted) * (total - rejected)
    if expected == total**2:
        return None
    observed = (bad_rejected + good_accepted) * total
    return (observed - expected) / (total**2 - expected)


def _rate(count: int, of: int) -> Rate:
    return observed_rate(count, of, _EACH_SIDE)


def _grade(limits: Limits, rate: Rate) -> Grade:
    return limits.grade(rate.count / rate.of) if rate.of else Grade.UNKNOWN


def _is_shown(limits: Limits, rate: Rate) -> bool:
    return limits.grade(rate.low if limits.is_least else rate.high) is Grade.ACCEPTABLE
