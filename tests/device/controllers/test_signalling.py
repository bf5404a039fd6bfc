"""A controller's signals: what they bring about and what is shown, without a socket and without a clock."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from edge_ad.controllers import FaultCode, Inputs, Outputs, RefusalCode, ResultCode, SignalSettings, TriggerRefusal
from edge_ad.controllers.handshake import SHOWN, TABLES, HandshakeEvent, SignalState, draw_handshake
from edge_ad.controllers.signalling import AskPart, AskRecipe, Command, ResetCounters, ResetFault, Signalling
from edge_ad.controllers.view import StationView
from edge_ad.link import ExposureComplete, PartResult, RecipeChanged, StationState
from edge_ad.verdict import State

MS = 1_000_000


class Line:
    """A controller, and a station that answers when it is told to."""

    def __init__(self, **settings: Any) -> None:
        self.view = StationView(is_connected=True, state=StationState.READY, recipes=("small", "large"), recipe="small")
        self.ns = 0
        self.inputs = Inputs()
        self.signalling = Signalling(SignalSettings(protocol="test", **settings), self.view, 0)

    @property
    def outputs(self) -> Outputs:
        return self.signalling.outputs

    def write(self, **signals: Any) -> list[Command]:
        self.inputs = msgspec.structs.replace(self.inputs, **signals)
        return self.signalling.read(self.inputs, self.ns)

    def pass_time(self, ms: int) -> None:
        self.ns += ms * MS
        self.signalling.tick(self.ns)

    def trigger(self, number: int) -> None:
        """One part up to its acceptance and exposure."""
        (command,) = self.write(trigger=True, part_number=number)
        assert isinstance(command, AskPart)
        self.signalling.part_accepted(command.part, number, self.ns)
        self.signalling.hear(ExposureComplete(trigger=number), self.ns)
        self.write(trigger=False)

    def judge(self, number: int, state: State = State.ACCEPT) -> None:
        self.signalling.hear(PartResult(trigger=number, state=state, part_id=str(number), latency_ms=1), self.ns)

    def take_result(self) -> None:
        self.write(result_ack=self.outputs.result_valid)


def shown(line: Line, *signals: str) -> tuple[bool, ...]:
    return tuple(getattr(line.outputs, name) for name in signals)


def test_a_part_from_trigger_to_result() -> None:
    line = Line()
    assert shown(line, "ready") == (True,)
    (command,) = line.write(trigger=True, part_number=17)
    assert isinstance(command, AskPart)
    assert command.part.part_id == "17"
    assert shown(line, "trigger_ack", "ready") == (False, False)
    line.signalling.part_accepted(command.part, 1, line.ns)
    assert (line.outputs.trigger_ack, line.outputs.busy, line.outputs.exposure_complete) == (True, True, False)
    assert line.outputs.trigger_part_number == 17
    line.write(trigger=False)
    assert shown(line, "trigger_ack", "ready") == (False, False)
    line.signalling.hear(ExposureComplete(trigger=1), line.ns)
    assert shown(line, "exposure_complete", "ready") == (True, True)
    valid = line.outputs.result_valid
    line.judge(1)
    assert line.outputs.result_valid is not valid
    assert (line.outputs.ok, line.outputs.ng, line.outputs.error) == (True, False, False)
    assert (line.outputs.result_part_number, line.outputs.result_code) == (17, ResultCode.ACCEPT)
    assert not line.outputs.busy


@pytest.mark.parametrize(("state", "ng", "error"), [(State.REJECT, True, False), (State.INVALID, True, True)])
def test_everything_but_accept_is_ng(state: State, ng: bool, error: bool) -> None:
    line = Line()
    line.trigger(1)
    line.judge(1, state)
    assert (line.outputs.ok, line.outputs.ng, line.outputs.error) == (False, ng, error)


def test_two_equal_results_are_told_apart_and_wait_for_each_other() -> None:
    line = Line()
    line.trigger(1)
    line.trigger(2)
    line.judge(1)
    first = line.outputs
    line.judge(2)
    assert line.outputs.result_part_number == 1
    line.take_result()
    assert line.outputs.result_part_number == 2
    assert line.outputs.result_valid is not first.result_valid


def test_an_accept_that_waited_longer_than_its_window_is_no_accept_any_more() -> None:
    line = Line(window_ms=100, acknowledge_ms=600_000)
    line.trigger(1)
    line.trigger(2)
    line.judge(1)
    line.judge(2)
    line.pass_time(100)
    line.take_result()
    assert (line.outputs.result_part_number, line.outputs.ok) == (2, False)
    assert line.outputs.result_code == ResultCode.NO_RESULT


def test_a_result_that_is_not_taken_is_a_fault_until_it_is() -> None:
    line = Line(acknowledge_ms=50)
    line.trigger(1)
    line.judge(1)
    assert line.outputs.ok
    line.pass_time(50)
    assert (line.outputs.fault_code, line.outputs.ok, line.outputs.ng) == (FaultCode.RESULT_NOT_TAKEN, False, True)
    line.take_result()
    assert line.outputs.fault_code == FaultCode.NONE
    assert not line.outputs.ok


def test_without_acknowledgement_the_next_result_follows_at_once() -> None:
    line = Line(acknowledge=False)
    for number in (1, 2, 3):
        line.trigger(number)
        line.judge(number)
        assert line.outputs.result_part_number == number
    line.pass_time(10_000)
    assert line.outputs.fault_code == FaultCode.NONE


def test_a_trigger_before_the_exposure_is_complete_is_refused() -> None:
    line = Line()
    (command,) = line.write(trigger=True, part_number=1)
    assert isinstance(command, AskPart)
    line.signalling.part_accepted(command.part, 1, 0)
    line.write(trigger=False)
    assert line.write(trigger=True, part_number=2) == []
    assert (line.outputs.trigger_error, line.outputs.refusal_code) == (True, RefusalCode.TOO_EARLY)
    line.write(trigger=False)
    assert (line.outputs.trigger_error, line.outputs.refusal_code) == (False, RefusalCode.NONE)


def test_what_the_station_refuses_is_a_trigger_error_with_its_code() -> None:
    line = Line()
    (command,) = line.write(trigger=True, part_number=1)
    assert isinstance(command, AskPart)
    line.signalling.part_refused(command.part, TriggerRefusal("too_many_open", ""), 0)
    assert (line.outputs.trigger_error, line.outputs.refusal_code) == (True, RefusalCode.TOO_MANY_OPEN)


def test_a_trigger_that_was_withdrawn_before_its_answer_still_has_its_result() -> None:
    line = Line()
    (command,) = line.write(trigger=True, part_number=1)
    assert isinstance(command, AskPart)
    line.write(trigger=False)
    assert line.write(trigger=True, part_number=2) == []
    assert line.outputs.refusal_code == RefusalCode.TOO_EARLY
    line.signalling.part_accepted(command.part, 1, 0)
    assert not line.outputs.trigger_ack
    line.judge(1)
    assert line.outputs.result_part_number == 1


def test_a_lost_station_rejects_what_is_open_and_what_stands() -> None:
    line = Line()
    line.trigger(1)
    line.judge(1)
    line.take_result()
    line.trigger(2)
    line.view.lost()
    line.signalling.changed(line.ns)
    assert (line.outputs.fault_code, line.outputs.ok, line.outputs.ng) == (FaultCode.STATION_AWAY, False, True)
    assert (line.outputs.result_part_number, line.outputs.result_code) == (2, ResultCode.STATION_AWAY)
    assert line.write(trigger=True, part_number=3) == []
    assert line.outputs.refusal_code == RefusalCode.STATION_AWAY


def test_the_cause_of_a_fault_has_its_number() -> None:
    line = Line()
    line.view.state, line.view.causes = StationState.FAULT, ("scorer top", "camera top")
    line.signalling.changed(0)
    assert (line.outputs.fault, line.outputs.fault_code) == (True, FaultCode.CAMERA)
    assert line.write(fault_reset=True) == [ResetFault()]
    assert line.write(fault_reset=True) == []


def test_a_controller_without_heartbeat_is_a_fault_and_its_return_ends_it() -> None:
    line = Line(controller_silent_ms=100)
    line.pass_time(99)
    assert not line.outputs.fault
    line.pass_time(1)
    assert line.outputs.fault_code == FaultCode.CONTROLLER_SILENT
    assert line.write(trigger=True, part_number=1) == []
    line.write(heartbeat=1)
    assert not line.outputs.fault


def test_our_heartbeat_counts_and_starts_again_at_zero() -> None:
    line = Line(heartbeat_ms=10)
    beats = []
    for _ in range(65_540):
        line.pass_time(10)
        beats.append(line.outputs.heartbeat)
    assert beats[:2] == [1, 2]
    assert beats[65_534:65_537] == [65_535, 0, 1]


def test_a_recipe_is_asked_for_active_and_acknowledged() -> None:
    line = Line()
    assert line.write(recipe=2) == [AskRecipe("large")]
    assert not line.outputs.ready
    assert line.write(trigger=True, part_number=1) == []
    assert line.outputs.refusal_code == RefusalCode.RECIPE_PENDING
    event = RecipeChanged(requested="large", active="large")
    line.view.hear(event)
    line.signalling.hear(event, 0)
    assert (line.outputs.recipe_ack, line.outputs.recipe_active, line.outputs.ready) == (True, 2, True)


def test_a_recipe_number_that_is_taken_back_before_the_change_is_over_locks_nothing() -> None:
    line = Line()
    line.write(recipe=2)
    line.write(recipe=0)
    assert not line.outputs.ready
    event = RecipeChanged(requested="large", active="large")
    line.view.hear(event)
    line.signalling.hear(event, 0)
    assert (line.outputs.recipe_active, line.outputs.ready) == (2, True)


@pytest.mark.parametrize("number", [3, 65_535])
def test_a_recipe_that_does_not_exist_is_an_error_and_nothing_is_inspected(number: int) -> None:
    line = Line()
    assert line.write(recipe=number) == []
    assert (line.outputs.recipe_error, line.outputs.ready) == (True, False)
    assert line.write(trigger=True, part_number=1) == []
    line.write(recipe=0, trigger=False)
    assert (line.outputs.recipe_error, line.outputs.ready) == (False, True)


def test_a_recipe_that_does_not_verify_is_an_error() -> None:
    line = Line()
    line.write(recipe=2)
    line.signalling.hear(RecipeChanged(requested="large", active="small", error="damaged"), 0)
    assert (line.outputs.recipe_error, line.outputs.recipe_active) == (True, 1)


def test_counters_are_set_back_once_for_each_rise() -> None:
    line = Line()
    assert line.write(counter_reset=True) == [ResetCounters()]
    assert line.write(heartbeat=5) == []


@pytest.mark.parametrize("name", sorted(TABLES))
def test_the_tables_name_signals_that_exist_and_can_be_drawn(name: str) -> None:
    table: dict[tuple[SignalState, HandshakeEvent], SignalState] = dict(TABLES[name])  # type: ignore[call-overload]
    states = {state for (before, _), after in table.items() for state in (before, after)}
    assert {one for state in states for one in SHOWN.get(state, ())} <= set(Outputs.__struct_fields__)
    assert draw_handshake(name).count("-->") == len(table) + 1


def test_results_that_nobody_acknowledges_come_one_after_the_other_at_once() -> None:
    line = Line(acknowledge=False)
    line.trigger(1)
    line.trigger(2)
    line.view.lost()
    line.signalling.changed(line.ns)
    assert line.outputs.result_part_number == 1
    assert line.signalling.next_tick_ns() == 0
    line.pass_time(0)
    assert line.outputs.result_part_number == 2


def test_a_controller_that_is_gone_is_a_fault_until_it_is_read_again() -> None:
    line = Line()
    line.trigger(1)
    line.judge(1)
    assert line.outputs.ok
    line.signalling.controller_gone(line.ns)
    assert (line.outputs.fault_code, line.outputs.ok, line.outputs.ready) == (FaultCode.CONTROLLER_SILENT, False, False)
    line.write()
    assert (line.outputs.fault_code, line.outputs.ok) == (FaultCode.NONE, False)
    assert (line.outputs.result_code, line.outputs.ready) == (ResultCode.FAULT, True)


def test_a_recipe_that_somebody_else_has_changed_is_told_and_nothing_is_inspected_by_it() -> None:
    line = Line()
    line.write(recipe=1)
    assert shown(line, "recipe_ack", "ready") == (True, True)
    line.view.recipe = "large"
    line.signalling.hear(RecipeChanged(requested="large", active="large", acknowledged=True), line.ns)
    assert shown(line, "recipe_ack", "recipe_error", "ready") == (False, True, False)
    assert line.write(trigger=True, part_number=7) == []
    assert line.outputs.refusal_code == RefusalCode.RECIPE_PENDING
    line.write(trigger=False)
    line.view.recipe = "small"
    line.signalling.hear(RecipeChanged(requested="small", active="small", acknowledged=True), line.ns)
    assert shown(line, "recipe_ack", "recipe_error", "ready") == (True, False, True)


def test_a_recipe_that_is_wanted_before_the_station_is_there_is_acknowledged_only_if_it_is_the_active_one() -> None:
    for active, told in (("small", (True, False, True)), ("large", (False, True, False))):
        line = Line()
        line.view.recipes, line.view.recipe, line.view.is_connected = (), None, False
        line.signalling.changed(0)
        assert line.write(recipe=1) == []
        assert shown(line, "recipe_ack", "recipe_error") == (False, True)
        line.view.recipes, line.view.recipe, line.view.is_connected = ("small", "large"), active, True
        line.signalling.changed(0)
        assert shown(line, "recipe_ack", "recipe_error", "ready") == told


def test_a_station_that_goes_in_the_middle_of_a_change_leaves_no_request_open() -> None:
    line = Line()
    assert line.write(recipe=2) == [AskRecipe("large")]
    line.view.is_connected = False
    line.signalling.changed(0)
    line.view.is_connected = True
    line.signalling.changed(0)
    assert shown(line, "recipe_error", "ready") == (True, False)
    assert line.write(recipe=0) == []
    assert line.write(recipe=2) == [AskRecipe("large")]


def test_an_accept_by_another_recipe_than_the_wanted_one_does_not_pass() -> None:
    line = Line()
    line.write(recipe=1)
    for number, recipe in ((1, "small"), (2, "large"), (3, None)):
        line.trigger(number)
        result = PartResult(trigger=number, state=State.ACCEPT, part_id=str(number), latency_ms=1, recipe=recipe)
        line.signalling.hear(result, line.ns)
        assert line.outputs.ok is (recipe == "small")
        assert line.outputs.ng is (recipe != "small")
        assert line.outputs.result_part_number == number
        line.take_result()


def test_a_controller_that_never_takes_a_result_is_refused_and_costs_no_memory() -> None:
    line = Line(max_open=4, acknowledge_ms=600_000)
    refused = []
    for number in range(1, 100):
        command = line.write(trigger=True, part_number=number)
        for one in command:
            assert isinstance(one, AskPart)
            line.signalling.part_accepted(one.part, number, line.ns)
            line.signalling.hear(ExposureComplete(trigger=number), line.ns)
            line.judge(number)
        refused += [] if command else [line.outputs.refusal_code]
        line.write(trigger=False)
    assert set(refused) == {RefusalCode.TOO_MANY_OPEN}
    assert len(refused) == 94
    line.pass_time(600_000)
    line.write(trigger=True, part_number=1_000)
    assert (line.outputs.fault_code, line.outputs.refusal_code) == (FaultCode.RESULT_NOT_TAKEN, RefusalCode.FAULT)
