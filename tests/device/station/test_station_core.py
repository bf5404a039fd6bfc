"""What the station decides, without a process or a clock."""

from __future__ import annotations

import pytest
from support.station_files import (
    MS,
    a_frame,
    a_verdict,
    at,
    events,
    of,
    opened_core,
    refusals,
    results,
    score_all,
    state_of,
    station_file,
)

from edge_ad.cameras import CameraState, CameraStatus
from edge_ad.link import messages
from edge_ad.link.messages import StationState
from edge_ad.station.actions import (
    AnswerClient,
    HandedIn,
    KillScorer,
    PartDone,
    ReturnFrame,
    ScoreFrame,
    StartScorer,
    TriggerCamera,
)
from edge_ad.station.core import StationCore
from edge_ad.station.parts import Asker
from edge_ad.verdict import State

BY_LINK = {"station": {"name": "trial", "trigger": "link", "deadline_ms": 100}, "link": {}}
BUNDLE = {"camera": "top", "bundle": "bundle"}


class TestStarting:
    def test_ready_when_cameras_stream_and_scorers_have_verified(self) -> None:
        core = StationCore(station_file())
        assert of(core.actions(), StartScorer) == [StartScorer(1, "default", "top")]
        core.camera_status("top", CameraStatus(state=CameraState.STREAMING))
        assert state_of(core) is StationState.STARTING
        core.scorer_ready(1, at(0))
        assert state_of(core) is StationState.READY

    def test_a_bundle_that_is_refused_is_a_fault_until_it_verifies(self) -> None:
        core = StationCore(station_file())
        core.camera_status("top", CameraStatus(state=CameraState.STREAMING))
        core.scorer_refused(1, "model.onnx was changed")
        assert state_of(core) is StationState.FAULT
        assert core.condition.cause == "scorer top does not start: model.onnx was changed"
        core.scorer_ready(1, at(5))
        assert state_of(core) is StationState.READY


class TestEveryFrameIsAPart:
    def test_a_frame_is_lent_scored_returned_and_has_its_result(self) -> None:
        core = opened_core(station_file())
        core.frame("top", 1, a_frame(0), at(1))
        (lent,) = of(core.actions(), ScoreFrame)
        assert state_of(core) is StationState.BUSY
        core.scored(lent.job, a_verdict(), at(9))
        actions = core.actions()
        assert [one.frame for one in of(actions, ReturnFrame)] == [lent.frame]
        (part,) = results(actions)
        assert (part.state, part.part_id, part.latency_ms) == (State.ACCEPT, "1", 8.0)
        assert state_of(core) is StationState.READY

    def test_a_scorer_has_one_frame_at_a_time(self) -> None:
        core = opened_core(station_file())
        for slot in range(3):
            core.frame("top", 1, a_frame(slot, slot=slot), at(slot))
        (first,) = of(core.actions(), ScoreFrame)
        core.scored(first.job, a_verdict(), at(5))
        (second,) = of(core.actions(), ScoreFrame)
        assert (first.part_id, second.part_id) == ("1", "2")

    def test_a_damaged_frame_is_invalid_and_costs_no_scorer(self) -> None:
        core = opened_core(station_file())
        core.frame("top", 1, a_frame(0, damaged="premature end"), at(1))
        actions = core.actions()
        (part,) = results(actions)
        assert (part.state, part.reason, part.detail) == (State.INVALID, "unreadable", "premature end")
        assert not of(actions, ScoreFrame)
        assert len(of(actions, ReturnFrame)) == 1

    def test_an_old_frame_is_stale(self) -> None:
        core = opened_core(station_file(camera={"top": {"source": "0", "stale_after_s": 0.05}}))
        core.frame("top", 1, a_frame(0), at(51))
        (part,) = results(core.actions())
        assert (part.state, part.reason) == (State.INVALID, "stale")

    def test_the_same_pixels_again_are_frozen(self) -> None:
        core = opened_core(station_file())
        core.frame("top", 1, a_frame(0, digest=7), at(0))
        score_all(core, core.actions(), at(0))
        core.actions()
        core.frame("top", 1, a_frame(0, slot=1, digest=7), at(1))
        (part,) = results(core.actions())
        assert (part.state, part.reason) == (State.INVALID, "frozen")

    def test_lost_frames_were_parts_too(self) -> None:
        core = opened_core(station_file())
        core.frame("top", 1, a_frame(0, lost_before=2), at(1))
        assert [(one.part_id, one.state, one.reason) for one in results(core.actions())] == [
            ("1", State.INVALID, "dropped"),
            ("2", State.INVALID, "dropped"),
        ]
        assert core.counters.lost_frames == 2

    def test_more_open_parts_than_allowed_are_invalid(self) -> None:
        core = opened_core(station_file(station={"name": "trial", "max_open_parts": 1}))
        core.frame("top", 1, a_frame(0), at(0))
        core.frame("top", 1, a_frame(1, slot=1), at(1))
        (part,) = results(core.actions())
        assert (part.state, part.reason) == (State.INVALID, "dropped")

    def test_the_latest_frame_takes_the_place_of_those_that_wait(self) -> None:
        core = opened_core(station_file(camera={"top": {"source": "0", "queue": "latest"}}))
        for slot in range(3):
            core.frame("top", 1, a_frame(slot, slot=slot), at(slot))
        actions = core.actions()
        assert [(one.part_id, one.reason) for one in results(actions)] == [("2", "dropped")]
        assert sorted(core.parts) == [1, 3]

    def test_a_picture_of_a_file_waits_for_the_result_of_the_one_before(self) -> None:
        core = opened_core(station_file(camera={"top": {"source": "images/", "pace": "fast"}}))
        for slot in range(3):
            core.frame("top", 1, a_frame(slot, slot=slot, name=f"{slot}.png"), at(slot))
        order = []
        for ms in (10, 20, 30):
            (lent,) = of(core.actions(), ScoreFrame)
            order.append(lent.part_id)
            core.scored(lent.job, a_verdict(), at(ms))
            core.frame("top", 1, a_frame(ms, slot=ms, name=f"{ms}.png"), at(ms))
            core.tick(at(ms))
        assert order == ["0.png", "1.png", "2.png"]

    def test_files_wait_until_the_station_is_ready_again(self) -> None:
        core = opened_core(station_file(camera={"top": {"source": "images/", "pace": "fast"}}))
        core.scorer_lost(1, "SIGKILL", at(0))
        core.frame("top", 1, a_frame(0), at(1))
        assert not results(core.actions())
        core.scorer_ready(1, at(2))
        core.tick(at(2))
        score_all(core, core.actions(), at(3))
        assert [one.state for one in results(core.actions())] == [State.ACCEPT]


class TestTriggeredByTheLink:
    def test_a_trigger_is_accepted_and_answered_once(self) -> None:
        core = opened_core(station_file(**BY_LINK))
        core.trigger(Asker(7, "a"), "A-17", at(0))
        core.frame("top", 1, a_frame(1 * MS), at(2))
        actions = core.actions()
        assert [(one.client, one.message) for one in of(actions, AnswerClient)] == [
            (7, messages.Accepted(id="a", trigger=1))
        ]
        assert events(actions, messages.ExposureComplete) == [messages.ExposureComplete(trigger=1, part_id="A-17")]
        score_all(core, actions, at(3), State.REJECT)
        (done,) = of(core.actions(), PartDone)
        assert (done.asker, done.part.state, done.part.part_id) == ((7, "a"), State.REJECT, "A-17")

    def test_a_frame_from_before_the_trigger_is_not_taken(self) -> None:
        core = opened_core(station_file(**BY_LINK))
        core.trigger(Asker(7, "a"), None, at(10))
        core.frame("top", 1, a_frame(9 * MS), at(11))
        assert not of(core.actions(), ScoreFrame)
        core.frame("top", 1, a_frame(12 * MS, slot=1), at(13))
        assert len(of(core.actions(), ScoreFrame)) == 1

    def test_software_triggered_cameras_answer_by_number(self) -> None:
        core = opened_core(station_file(**BY_LINK, camera={"top": {"source": "0", "trigger": "software"}}))
        core.trigger(None, None, at(0))
        core.trigger(None, None, at(1))
        assert of(core.actions(), TriggerCamera) == [TriggerCamera("top", 1), TriggerCamera("top", 2)]
        core.frame("top", 1, a_frame(2 * MS, trigger=2), at(3))
        (lent,) = of(core.actions(), ScoreFrame)
        assert lent.part_id == "2"

    def test_no_verdict_in_time_is_invalid_and_a_late_one_changes_nothing(self) -> None:
        core = opened_core(station_file(**BY_LINK))
        core.trigger(None, None, at(0))
        core.frame("top", 1, a_frame(1 * MS), at(2))
        (lent,) = of(core.actions(), ScoreFrame)
        assert core.next_tick_ns() == 100 * MS
        core.tick(at(100))
        (part,) = results(core.actions())
        assert (part.state, part.reason) == (State.INVALID, "late")
        core.scored(lent.job, a_verdict(), at(101))
        actions = core.actions()
        assert not results(actions)
        assert len(of(actions, ReturnFrame)) == 1

    def test_no_frame_in_time_is_invalid_and_names_the_camera(self) -> None:
        core = opened_core(station_file(**BY_LINK))
        core.trigger(None, None, at(0))
        core.tick(at(100))
        (part,) = results(core.actions())
        assert (part.reason, part.detail) == ("missing_frames", "no frame of top within 100 ms of the trigger")

    def test_a_picture_that_was_handed_in_is_scored(self) -> None:
        core = opened_core(station_file(**BY_LINK, camera={"top": {"source": "link"}}))
        frame = HandedIn("top", 3, 4, 4, 1)
        core.hand_in(Asker(7, "a"), "A", frame, at(0))
        actions = core.actions()
        assert [one.frame for one in of(actions, ScoreFrame)] == [frame]
        score_all(core, actions, at(1))
        actions = core.actions()
        assert of(actions, ReturnFrame) == [ReturnFrame(frame)]
        assert [one.state for one in results(actions)] == [State.ACCEPT]

    @pytest.mark.parametrize(
        ("part_id", "parts", "reason"),
        [("A", 8, "part_open"), ("B", 1, "too_many_open")],
        ids=["part-open", "too-many"],
    )
    def test_refused_while_a_part_is_open(self, part_id: str, parts: int, reason: str) -> None:
        settings = {"name": "trial", "trigger": "link", "max_open_parts": parts}
        core = opened_core(station_file(station=settings, link={}))
        core.trigger(None, "A", at(0))
        core.actions()
        assert core.trigger(Asker(1, "x"), part_id, at(1)) is None
        assert refusals(core.actions()) == [reason]
        assert core.counters.refused == {reason: 1}


class TestSeveralFrames:
    def test_two_cameras_make_one_verdict(self) -> None:
        file = station_file(
            **BY_LINK,
            camera={"top": {"source": "0"}, "side": {"source": "1"}},
            inspect={"top": BUNDLE, "side": {"camera": "side", "bundle": "other"}},
        )
        core = opened_core(file)
        core.trigger(None, None, at(0))
        core.frame("top", 1, a_frame(1 * MS), at(1))
        assert not events(core.actions(), messages.ExposureComplete)
        core.frame("side", 1, a_frame(1 * MS), at(1))
        actions = core.actions()
        assert len(events(actions, messages.ExposureComplete)) == 1
        (side,) = of(actions, ScoreFrame)
        core.scored(1, a_verdict(), at(2))
        assert not results(core.actions())
        core.scored(side.job, a_verdict(State.REJECT), at(3))
        (part,) = results(core.actions())
        assert part.state is State.REJECT
        assert [one.inspection for one in part.frames] == ["top", "side"]

    @pytest.mark.parametrize(
        ("states", "expected"),
        [
            ("AAA", State.ACCEPT),
            ("RAA", State.ACCEPT),
            ("RRA", State.REJECT),
            ("RRI", State.REJECT),
            ("RIA", State.INVALID),
            ("IAA", State.INVALID),
        ],
    )
    def test_two_of_three_frames_reject(self, states: str, expected: State) -> None:
        settings = {"name": "trial", "trigger": "link", "reject_from": 2}
        core = opened_core(station_file(station=settings, link={}, inspect={"top": {**BUNDLE, "frames": 3}}))
        core.trigger(None, None, at(0))
        named = {"A": State.ACCEPT, "R": State.REJECT, "I": State.INVALID}
        for slot, letter in enumerate(states):
            core.frame("top", 1, a_frame(slot * MS, slot=slot), at(slot))
            score_all(core, core.actions(), at(slot), named[letter])
        (part,) = results(core.actions())
        assert part.state is expected


class TestFaults:
    def test_a_lost_camera_ends_open_parts_and_recovers_by_itself(self) -> None:
        core = opened_core(station_file(**BY_LINK))
        core.trigger(Asker(7, "a"), None, at(0))
        core.actions()
        core.camera_status("top", CameraStatus(state=CameraState.LOST, detail="unplugged"))
        actions = core.actions()
        assert events(actions, messages.FaultRaised) == [
            messages.FaultRaised(cause="camera top", triggers=(1,), detail="camera top is lost: unplugged")
        ]
        assert [(one.by_fault, one.part.state) for one in of(actions, PartDone)] == [(True, State.INVALID)]
        core.trigger(Asker(7, "b"), None, at(1))
        assert refusals(core.actions()) == ["not_ready"]
        core.camera_status("top", CameraStatus(state=CameraState.STREAMING))
        assert state_of(core) is StationState.READY

    def test_a_dead_scorer_costs_one_part_and_is_waited_for(self) -> None:
        core = opened_core(station_file(**BY_LINK))
        core.trigger(None, "A", at(0))
        core.frame("top", 1, a_frame(0), at(0))
        core.actions()
        core.scorer_lost(1, "SIGSEGV", at(1))
        (part,) = results(core.actions())
        assert (part.state, part.reason) == (State.INVALID, "scorer_lost")
        assert state_of(core) is StationState.STARTING
        core.scorer_ready(1, at(2))
        assert state_of(core) is StationState.READY

    def test_a_scorer_that_dies_again_and_again_is_a_fault(self) -> None:
        core = opened_core(station_file())
        for ms in range(3):
            core.scorer_lost(1, "SIGSEGV", at(ms))
        assert core.condition.cause == "scorer top ended again and again: SIGSEGV"
        core.scorer_ready(1, at(9))
        assert state_of(core) is StationState.READY

    def test_a_scorer_that_hangs_is_ended(self) -> None:
        core = opened_core(station_file(inspect={"top": {**BUNDLE, "hang_ms": 2000}}))
        core.frame("top", 1, a_frame(0), at(0))
        core.tick(at(1999))
        assert not of(core.actions(), KillScorer)
        core.tick(at(2000))
        core.tick(at(2001))
        assert of(core.actions(), KillScorer) == [KillScorer(1, "no answer for 2 s")]

    def test_a_stop_rule_is_a_fault_until_somebody_resets_it(self) -> None:
        rule = {"state": "REJECT", "count": 2, "of": 3}
        core = opened_core(station_file(stop={"many": rule}))
        for slot, state in enumerate((State.REJECT, State.ACCEPT, State.REJECT)):
            core.frame("top", 1, a_frame(slot, slot=slot), at(slot))
            score_all(core, core.actions(), at(slot), state)
        assert core.condition.cause == "stop rule many: 2 of the last 3 parts were rejected"
        core.scorer_ready(1, at(9))
        assert state_of(core) is StationState.FAULT
        core.reset(Asker(1, "r"))
        assert state_of(core) is StationState.READY

    def test_an_alarm_stops_nothing_and_is_acknowledged(self) -> None:
        rule = {"state": "NOT_ACCEPT", "count": 1, "action": "alarm"}
        core = opened_core(station_file(stop={"any": rule}))
        core.frame("top", 1, a_frame(0), at(0))
        score_all(core, core.actions(), at(0), State.REJECT)
        (alarm,) = events(core.actions(), messages.AlarmChanged)
        assert state_of(core) is StationState.READY
        core.acknowledge(Asker(1, "k"), alarm.alarm)
        assert not core.condition.alarms

    def test_stopping_finishes_what_is_open_and_takes_nothing_new(self) -> None:
        core = opened_core(station_file(**BY_LINK))
        core.trigger(None, "A", at(0))
        core.frame("top", 1, a_frame(0), at(0))
        core.stop()
        core.trigger(Asker(1, "x"), "B", at(1))
        actions = core.actions()
        assert refusals(actions) == ["not_ready"]
        score_all(core, actions, at(2))
        assert [one.state for one in results(core.actions())] == [State.ACCEPT]
