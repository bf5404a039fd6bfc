"""A deployed bundle on trial: parts go on, each is judged by one bundle alone, and what is no good goes back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.station_files import MS, a_frame, at, events, of, opened_core, refusals, state_of, station_file

from edge_ad.link import messages
from edge_ad.link.messages import StationState, UpdateChanged
from edge_ad.station.actions import Action, NoteUpdate, ScoreFrame, StartScorer, StopScorer, WantedUpdate
from edge_ad.station.core import StationCore
from edge_ad.station.parts import Asker
from edge_ad.verdict import Drift, DriftState, Latency, Reason, State, Verdict

WANTED = WantedUpdate(key="part-1", slot=2, title="part@2", old="bundle", new="slots/2")
ASKER = Asker(1, "u")
UPDATE: dict[str, Any] = {"folder": "updates", "watch_parts": 3, "latency_ms": 50, "allowed_percent": 0}


def a_core(**tables: Any) -> StationCore:
    given: dict[str, Any] = {"station": {"name": "trial", "trigger": "link"}, "link": {}, "update": UPDATE}
    return opened_core(station_file(**{**given, **tables}))


def verdict(state: State = State.ACCEPT, *, ms: float = 1.0, drift: str | None = None, reason: Any = None) -> Verdict:
    took = Latency(geometry=0.0, engine=ms, decision=0.0, total=ms)
    said = (
        None
        if drift is None
        else Drift(state=DriftState(drift), causes=("sharpness",), evidence=1, since=1, frames=9, rejects=0)
    )
    return Verdict(state=state, reason=reason, captured_at=0.0, bundle="b@1", variant="v", latency_ms=took, drift=said)


def write_down(core: StationCore, error: str | None = None) -> list[Action]:
    """Says of every step that it was written down; all actions until there is none to write."""
    seen: list[Action] = []
    while True:
        actions = core.actions()
        seen += actions
        for one in of(actions, NoteUpdate):
            core.update_noted(one, error)
        if not of(actions, NoteUpdate):
            return seen


def on_trial(**tables: Any) -> StationCore:
    """A station that inspects with the new bundle in scorer 2, and watches it."""
    core = a_core(**tables)
    core.request_update(ASKER, WANTED)
    core.scorer_ready(2, at(1))
    write_down(core)
    return core


def inspect(core: StationCore, ms: int, said: Verdict) -> list[int]:
    """Brings one part, and answers for its scorers; which they were."""
    core.trigger(None, None, at(ms))
    core.frame("top", 1, a_frame(ms * MS), at(ms))
    jobs = of(core.actions(), ScoreFrame)
    for job in jobs:
        core.scored(job.job, said, at(ms + 1))
    return [one.scorer for one in jobs]


def steps(actions: list[Action]) -> list[tuple[str, str | None]]:
    return [(one.step, one.reason) for one in events(actions, UpdateChanged)]


def test_a_bundle_is_opened_beside_the_other_taken_for_the_next_part_and_kept() -> None:
    core = a_core()
    core.trigger(None, "A", at(0))
    core.request_update(ASKER, WANTED)
    started = of(core.actions(), StartScorer)
    assert started == [StartScorer(2, "default", "top", "slots/2", is_trial=True)]
    core.scorer_ready(2, at(1))
    assert steps(write_down(core)) == [("SWITCHED", None)]
    core.trigger(None, "B", at(2))
    core.frame("top", 1, a_frame(3 * MS), at(3))
    core.frame("top", 1, a_frame(4 * MS), at(4))
    jobs = of(core.actions(), ScoreFrame)
    assert [(one.part_id, one.scorer) for one in jobs] == [("A", 1), ("B", 2)]
    for job in jobs:
        core.scored(job.job, verdict(), at(5))
    assert [inspect(core, ms, verdict()) for ms in (10, 20)] == [[2], [2]]
    core.tick(at(30))
    assert of(core.actions(), StopScorer) == []
    inspect_after = write_down_after(core)
    assert steps(inspect_after) == [("WATCHED", "3 parts, 0 INVALID, 0 slow"), ("KEPT", None)]
    core.tick(at(31))
    assert of(core.actions(), StopScorer) == [StopScorer(1)]
    assert core.counters.refused == {}
    assert inspect(core, 40, verdict()) == [2]


def write_down_after(core: StationCore) -> list[Action]:
    """What is told when the trial's last part has come: the notes were among the actions that were taken already."""
    wanted = [NoteUpdate(WANTED, "WATCHED", "3 parts, 0 INVALID, 0 slow"), NoteUpdate(WANTED, "KEPT")]
    for one in wanted:
        core.update_noted(one, None)
    return core.actions()


@pytest.mark.parametrize(
    ("happens", "why"),
    [
        (
            lambda core: inspect(core, 10, verdict(State.INVALID, reason=Reason.ENGINE_FAILED)),
            "1 of 1 parts are INVALID",
        ),
        (lambda core: inspect(core, 10, verdict(ms=51)), "1 of 1 parts took longer than latency_ms = 50"),
        (lambda core: inspect(core, 10, verdict(drift="RECALIBRATE")), "drift says RECALIBRATE: sharpness"),
        (lambda core: core.scorer_lost(2, "SIGSEGV", at(10)), "top: its scorer ended: SIGSEGV"),
        (lambda core: core.scorer_refused(2, "golden"), "top: golden"),
    ],
    ids=["invalid", "slow", "drift", "died", "refused"],
)
def test_what_is_no_good_goes_back_at_once(happens: Callable[[StationCore], object], why: str) -> None:
    core = on_trial()
    happens(core)
    actions = core.actions()
    noted = of(actions, NoteUpdate)
    assert [(one.step, (one.reason or "")[: len(why)]) for one in noted] == [("RETURNED", why)]
    assert "update" in core.condition.alarms
    core.update_noted(noted[0], None)
    assert steps(core.actions()) == [("RETURNED", noted[0].reason)]
    assert (state_of(core), core.counters.faults) == (StationState.READY, 0)
    core.condition.acknowledge("update")
    core.tick(at(19))
    assert StopScorer(2) in core.actions()
    assert inspect(core, 20, verdict()) == [1]


@pytest.mark.parametrize(
    ("fails", "why"),
    [
        (lambda core: core.scorer_refused(2, "not calibrated"), "top: not calibrated"),
        (lambda core: core.scorer_lost(2, "SIGSEGV", at(1)), "top: its scorer ended: SIGSEGV"),
    ],
    ids=["refused", "died"],
)
def test_a_bundle_that_does_not_open_is_given_back_and_no_part_is_refused(
    fails: Callable[[StationCore], None], why: str
) -> None:
    core = a_core()
    core.request_update(ASKER, WANTED)
    core.actions()
    assert inspect(core, 0, verdict()) == [1]
    fails(core)
    assert steps(write_down(core)) == [("RETURNED", why)]
    assert inspect(core, 10, verdict()) == [1]


def test_frames_that_are_lost_say_nothing_of_the_bundle() -> None:
    core = on_trial()
    core.trigger(None, "A", at(10))
    core.tick(at(5_000))
    assert steps(write_down(core)) == []
    assert core.trials.wanted == WANTED


def test_a_change_of_recipe_comes_first() -> None:
    core = on_trial(recipe={"a": {}, "b": {"inspect": {"top": {"bundle": "blue"}}}})
    core.request_recipe(Asker(1, "r"), "b")
    actions = write_down(core)
    assert steps(actions) == [("RETURNED", "the recipe changes to b")]
    assert of(actions, StartScorer) == [StartScorer(3, "b", "top")]


def test_a_stop_rule_that_fires_sends_it_back() -> None:
    core = on_trial(stop={"row": {"count": 1, "state": "REJECT"}})
    inspect(core, 10, verdict(State.REJECT))
    assert steps(write_down(core)) == [("RETURNED", "stop rule row: 1 parts in a row were rejected")]


def test_what_cannot_be_written_down_is_not_done() -> None:
    core = a_core()
    core.request_update(ASKER, WANTED)
    core.scorer_ready(2, at(1))
    ((step, reason),) = steps(write_down(core, "the disk is full"))
    assert (step, "the disk is full" in str(reason)) == ("RETURNED", True)
    assert inspect(core, 10, verdict()) == [1]


def test_a_second_update_and_one_during_a_change_of_recipe_are_refused() -> None:
    core = on_trial(recipe={"a": {}, "b": {"inspect": {"top": {"bundle": "blue"}}}})
    core.request_update(Asker(1, "v"), WANTED)
    assert refusals(core.actions()) == ["update_pending"]
    core.request_recipe(Asker(1, "r"), "b")
    core.request_update(Asker(1, "w"), WANTED)
    assert refusals(core.actions()) == ["recipe_pending"]


def test_the_next_recipe_uses_the_kept_bundle_wherever_the_old_one_was() -> None:
    recipes = {"a": {}, "b": {"inspect": {"top": {"variant": "other"}}}}
    core = on_trial(recipe=recipes, update={**UPDATE, "watch_parts": 0})
    core.request_recipe(Asker(1, "r"), "b")
    assert of(core.actions(), StartScorer) == [StartScorer(3, "b", "top", "slots/2")]


def test_a_bundle_that_the_active_recipe_does_not_use_is_kept_at_once() -> None:
    core = a_core(recipe={"a": {}, "b": {"inspect": {"top": {"bundle": "blue"}}}})
    core.request_update(ASKER, WantedUpdate(key="blue-1", slot=1, title="blue@2", old="blue", new="slots/1"))
    actions = write_down(core)
    assert [step for step, _ in steps(actions)] == ["SWITCHED", "WATCHED", "KEPT"]
    core.request_recipe(Asker(1, "r"), "b")
    assert of(core.actions(), StartScorer) == [StartScorer(2, "b", "top", "slots/1")]


def test_a_station_whose_own_bundle_is_broken_takes_a_good_one() -> None:
    core = a_core()
    core.scorer_refused(1, "damaged")
    core.request_update(ASKER, WANTED)
    core.scorer_ready(2, at(1))
    core.scorer_refused(1, "damaged")
    write_down(core)
    assert state_of(core) is StationState.READY
    assert inspect(core, 10, verdict()) == [2]
    assert not events(core.actions(), messages.FaultRaised)
