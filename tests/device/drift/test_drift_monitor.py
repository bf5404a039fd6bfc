"""The state machine over the e-values: when it changes, when it stays, and that a restart changes nothing."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import repeat

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import drifting

from edge_ad.bundle.records import FixedCalibration, FixedThreshold, MadCalibration, MadThreshold
from edge_ad.drift import DriftMonitor, DriftSettings, frame_reference
from edge_ad.drift.monitor import WATCH, Memory
from edge_ad.drift.watched_values import Cutoff, Tail, watched_values
from edge_ad.errors import InputError
from edge_ad.verdict import DriftState, FrameStatistics

SCORES = np.random.default_rng(0).normal(size=300).tolist()
STATISTICS = [FrameStatistics(*row) for row in np.random.default_rng(1).normal(size=(300, 3)).tolist()]
CALIBRATION = drifting.calibration(SCORES, STATISTICS)
TAILS = ["more rejects"] + [
    f"{figure} {way}" for figure in ("score", "brightness", "contrast", "sharpness") for way in ("higher", "lower")
]
CALM = np.random.default_rng(2).normal(size=(2_000, 4)).tolist()
DARK = [0.0, -99.0, 0.0, 0.0]


def monitor(run_length: int = 1_000_000) -> DriftMonitor:
    chosen = DriftSettings(run_length=run_length)
    return DriftMonitor(watched_values(CALIBRATION, chosen), chosen.run_length)


def frames_until(watched: DriftMonitor, state: DriftState, stream: Iterable[list[float]]) -> int:
    return next(count for count, values in enumerate(stream, start=1) if watched.observe(values) is state)


def test_everything_is_watched_at_both_ends() -> None:
    assert monitor().possible_causes == tuple(TAILS)


@pytest.mark.parametrize("place", range(4), ids=["score", "brightness", "contrast", "sharpness"])
@pytest.mark.parametrize("value", [-99.0, 99.0], ids=["lower", "higher"])
def test_a_leap_is_seen_within_the_stated_delay_and_named(place: int, value: float) -> None:
    watched = monitor()
    assert {watched.observe(values) for values in CALM} == {DriftState.OK}
    moved = [0.0] * 4
    moved[place] = value
    cause = ("score", "brightness", "contrast", "sharpness")[place] + (" higher" if value > 0 else " lower")
    delay = frames_until(watched, DriftState.RECALIBRATE, repeat(moved))
    assert delay <= watched.delay(cause) <= 10
    assert cause in watched.causes
    # A score that leaps is a reject too.
    others = {"more rejects"} if place == 0 else set()
    assert set(watched.causes) <= {cause, *others}


@given(st.lists(st.lists(st.floats(-9, 9), min_size=4, max_size=4), max_size=80))
@settings(deadline=None, max_examples=50)
def test_no_past_can_put_an_alarm_off(past: list[list[float]]) -> None:
    watched = monitor()
    for values in past:
        watched.observe(values)
    states = {watched.observe(DARK) for _ in range(watched.delay("brightness lower"))}
    assert DriftState.RECALIBRATE in states


def test_states_come_in_turn_and_go_together() -> None:
    watched = monitor()
    assert frames_until(watched, DriftState.WATCH, repeat(DARK)) > 1
    assert WATCH <= watched.evidence < 1
    frames_until(watched, DriftState.RECALIBRATE, repeat(DARK))
    begun = watched.since
    assert begun == watched.frames
    states = [watched.observe(values) for values in CALM]
    # Not WATCH on the way back: it holds until the evidence is gone.
    assert list(dict.fromkeys(states)) == [DriftState.RECALIBRATE, DriftState.OK]
    assert watched.causes == ()
    assert watched.since == begun + 1 + states.index(DriftState.OK)


def test_it_goes_back_to_ok_in_reasonable_time_even_after_long_drift() -> None:
    watched = monitor()
    for _ in range(20_000):
        watched.observe([5.0, -99.0, 9.0, -9.0])
    assert frames_until(watched, DriftState.OK, CALM) < 1_000


def test_constant_frames_of_a_constant_calibration_are_no_drift() -> None:
    made = drifting.calibration([1.5] * 300, [FrameStatistics(9.0, 0.5, 0.1)] * 300)
    watched = DriftMonitor(watched_values(made, DriftSettings()), 1_000_000)
    assert {watched.observe([1.5, 9.0, 0.5, 0.1]) for _ in range(20_000)} == {DriftState.OK}


@given(
    st.lists(st.lists(st.floats(-4, 4), min_size=4, max_size=4), min_size=2, max_size=60),
    st.integers(0, 60),
)
@settings(deadline=None, max_examples=50)
def test_a_restart_changes_nothing(stream: list[list[float]], stop: int) -> None:
    whole, first, second = monitor(10_000), monitor(10_000), monitor(10_000)
    for values in stream:
        whole.observe(values)
    for values in stream[:stop]:
        first.observe(values)
    second.resume(first.memory)
    for values in stream[stop:]:
        second.observe(values)
    assert (second.memory, second.evidence, second.causes) == (whole.memory, whole.evidence, whole.causes)


def test_the_field_names_of_old_state_files_still_open() -> None:
    memory = msgspec.json.decode(b'{"bets":[1.5,0.0],"state":"WATCH","since":3,"frames":9}', type=Memory)
    assert memory == Memory(sums=(1.5, 0.0), state=DriftState.WATCH, since=3, frames=9)
    assert list(msgspec.to_builtins(memory)) == ["bets", "state", "since", "frames"]


def test_a_memory_of_other_tests_is_refused() -> None:
    few = DriftMonitor(watched_values(drifting.calibration(SCORES), DriftSettings()), 1_000)
    with pytest.raises(ValueError, match="sums"):
        monitor().resume(few.memory)


def test_parts_are_not_blamed_for_calm_frames() -> None:
    """A part's score is its worst frame's: that the other frames score less is no drift."""
    made = msgspec.structs.replace(CALIBRATION, observation="part", frame_reference=None)
    watched = DriftMonitor(watched_values(made, DriftSettings()), 1_000_000)
    assert watched.possible_causes == ("more rejects", "score higher")


def test_a_fixed_threshold_is_held_against_its_bound_and_mad_against_nothing() -> None:
    fields = {
        name: getattr(CALIBRATION, name) for name in ("scores", "observation", "images_sha256", "created", "producer")
    }
    fixed = FixedThreshold(threshold=2.0, n=300, above=5, bound=0.04)
    robust = MadThreshold(threshold=2.0, n=300, median=0.0, mad=0.5)
    settings = DriftSettings(defect_rate=0.0)
    (with_bound,) = watched_values(FixedCalibration(confidence=0.95, image=fixed, pixel=None, **fields), settings)
    (without,) = watched_values(MadCalibration(k=4.0, image=robust, pixel=None, **fields), settings)
    assert with_bound.tails[0] == Tail("more rejects", (Cutoff(2.0, 0.04),), above=True)
    assert [tail.name for tail in without.tails] == ["score higher", "score lower"]


@pytest.mark.parametrize(
    ("figures", "complaint"),
    [
        pytest.param({"run_length": 10}, "10000 or more", id="run-length"),
        pytest.param({"defect_rate": -0.1}, "found -0.1", id="negative-rate"),
        pytest.param({"defect_rate": 50}, "found 50", id="percent"),
        pytest.param({"defect_rate": float("nan")}, "found nan", id="nan"),
    ],
)
def test_settings_that_make_no_sense_are_refused(figures: dict[str, float], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        DriftSettings(**figures)  # type: ignore[arg-type]


def test_a_large_reference_is_thinned_evenly() -> None:
    frames = [FrameStatistics(float(k), 0.0, 0.0) for k in range(5_000)]
    kept = frame_reference(frames).brightness
    assert len(kept) == 1_667
    assert kept[:3] == (0.0, 3.0, 6.0)
