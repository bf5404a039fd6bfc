"""The measurement-system figures beside the book's own example, and scipy's exact binomial.

AIAG, Measurement Systems Analysis, 4th edition, chapter III, section C: 50 parts, of which the reference calls 16 bad
(0) and 34 good (1), were inspected three times each by the appraisers A, B and C.

Decisions against the reference, out of 3 x 16 = 48 of bad and 3 x 34 = 102 of good parts:

    =============  =====  =====  =====
    appraiser        A      B      C
    =============  =====  =====  =====
    0, and bad       45     45     42
    1, and bad        3      3      6    missed
    0, and good       5      2      9    false alarm
    1, and good      97    100     93
    =============  =====  =====  =====

By hand, for A: miss rate 3 / 48 = 6.25 %, false-alarm rate 5 / 102 = 4.90 %; 8 parts were decided wrong once, so
effectiveness = 42 / 50 = 84 %. Kappa: p_o = (45 + 97) / 150 = 0.94667; 50 decisions were 0 and 100 were 1, so
p_e = (48 x 50 + 102 x 100) / 150^2 = 0.56; kappa = (0.94667 - 0.56) / (1 - 0.56) = 0.8788.
B: p_e = (48 x 47 + 102 x 103) / 150^2 = 0.5672; kappa = (145 / 150 - 0.5672) / 0.4328 = 0.9230.
C: p_e = (48 x 51 + 102 x 99) / 150^2 = 0.5576; kappa = (135 / 150 - 0.5576) / 0.4424 = 0.7740.

The book prints: effectiveness 84, 90 and 80 % with 95 % limits of 71 to 93, 78 to 97 and 66 to 90 %; miss rates of 6.3,
6.3 and 12.5 %; false-alarm rates of 4.9, 2.0 and 8.8 %; kappa of .88, .92 and .77.
"""

from __future__ import annotations

import pytest
from scipy.stats import binomtest

from edge_ad.page.measurement_system import Grade, LabelledRun, analyse_measurement_system, kappa_of
from edge_ad.page.rates import Rate

BAD, GOOD, TRIALS = 16, 34, 3


def runs_of(wrong_bad: tuple[int, ...], wrong_good: tuple[int, ...]) -> list[LabelledRun]:
    """Three runs of each part; of the first bad and good parts so many were decided wrong."""
    made = []
    for label, count, wrong in ((True, BAD, wrong_bad), (False, GOOD, wrong_good)):
        for number, errors in enumerate([*wrong, *[0] * (count - len(wrong))]):
            name = f"{'bad' if label else 'good'} {number}"
            made += [LabelledRun(part=name, is_bad=label, is_accepted=(run < errors) is label) for run in range(TRIALS)]
    return made


# How often each of the parts was decided wrong: the sums are the table's; which parts these were changes no figure.
APPRAISERS = {
    "A": ((1, 1, 1), (1, 1, 1, 1, 1)),
    "B": ((1, 1, 1), (1, 1)),
    "C": ((2, 2, 1, 1), (2, 2, 2, 1, 1, 1)),
}
PRINTED = {  # effectiveness with its limits, miss rate and false-alarm rate in percent, kappa
    "A": (84, 71, 93, 6.3, 4.9, 0.88),
    "B": (90, 78, 97, 6.3, 2.0, 0.92),
    "C": (80, 66, 90, 12.5, 8.8, 0.77),
}


def percent(rate: Rate) -> float:
    return 100 * rate.count / rate.of


@pytest.mark.parametrize("who", list(APPRAISERS))
def test_the_figures_are_those_of_the_book(who: str) -> None:
    made = analyse_measurement_system(runs_of(*APPRAISERS[who]))
    effectiveness, low, high, misses, false_alarms, kappa = PRINTED[who]
    assert (made.parts, made.bad_parts, made.runs) == (50, BAD, 150)
    assert percent(made.effectiveness) == pytest.approx(effectiveness)
    assert (round(100 * made.effectiveness.low), round(100 * made.effectiveness.high)) == (low, high)
    assert percent(made.misses) == pytest.approx(misses, abs=0.051)
    assert percent(made.false_alarms) == pytest.approx(false_alarms, abs=0.051)
    assert made.kappa == pytest.approx(kappa, abs=0.005)


def test_kappa_is_what_was_worked_out_by_hand() -> None:
    by_hand = [kappa_of(45, 3, 5, 97), kappa_of(45, 3, 2, 100), kappa_of(42, 6, 9, 93)]
    assert by_hand == pytest.approx([0.386667 / 0.44, 0.399467 / 0.4328, 0.3424 / 0.4424], rel=1e-5)


@pytest.mark.parametrize("who", list(APPRAISERS))
def test_both_limits_are_the_exact_binomial(who: str) -> None:
    made = analyse_measurement_system(runs_of(*APPRAISERS[who]))
    for rate in (made.effectiveness, made.repeatable, made.misses, made.false_alarms):
        exact = binomtest(rate.count, rate.of).proportion_ci(0.95, "exact")
        assert (rate.low, rate.high) == pytest.approx((float(exact.low), float(exact.high)), rel=1e-9, abs=1e-12)


def test_a_part_whose_runs_disagree_is_not_effective() -> None:
    runs = [LabelledRun(part="B-1", is_bad=True, is_accepted=taken) for taken in (False, True, False)]
    runs += [LabelledRun(part="G-1", is_bad=False, is_accepted=True)] * 3
    made = analyse_measurement_system(runs)
    assert (made.effectiveness.count, made.repeatable.count, made.effectiveness.of) == (1, 1, 2)
    assert (made.misses.count, made.misses.of) == (1, 3)


def test_runs_that_are_wrong_alike_are_repeatable() -> None:
    made = analyse_measurement_system([LabelledRun(part="B-1", is_bad=True, is_accepted=True)] * 3)
    assert (made.effectiveness.count, made.repeatable.count) == (0, 1)


@pytest.mark.parametrize(
    ("missed", "grade"), [(2, "acceptable"), (5, "marginal"), (6, "unacceptable")], ids=["2%", "5%", "6%"]
)
def test_the_limits_themselves_are_allowed(missed: int, grade: str) -> None:
    runs = [LabelledRun(part=str(number), is_bad=True, is_accepted=number < missed) for number in range(100)]
    made = analyse_measurement_system(runs)
    assert made.grades["miss_rate"].value == grade
    assert made.grades["false_alarm_rate"] is Grade.UNKNOWN
    assert not made.shown["miss_rate"]


def test_enough_parts_show_that_the_limits_are_kept() -> None:
    runs = [LabelledRun(part=str(n), is_bad=n < 200, is_accepted=n >= 200) for n in range(400)]
    made = analyse_measurement_system(runs)
    assert made.shown == {"effectiveness": True, "miss_rate": True, "false_alarm_rate": True}
    assert (made.grade, made.kappa) == (Grade.ACCEPTABLE, 1.0)


@pytest.mark.parametrize("runs", [[], [LabelledRun(part="G", is_bad=False, is_accepted=True)]], ids=["none", "good"])
def test_without_bad_parts_nothing_is_claimed(runs: list[LabelledRun]) -> None:
    made = analyse_measurement_system(runs)
    assert made.kappa is None
    assert made.grade is Grade.UNKNOWN
