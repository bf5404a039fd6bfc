"""The rules from trigger to outcome, without a socket and without a clock."""

from __future__ import annotations

from typing import Any

import pytest

from edge_ad.controllers import Conversation, HandshakeSettings, Part, RefusalCode, ResultCode, TriggerRefusal
from edge_ad.link import ExposureComplete, FaultRaised, PartResult
from edge_ad.verdict import State

MS = 1_000_000


def conversation(*, one_at_a_time: bool = False, **settings: Any) -> Conversation:
    return Conversation(HandshakeSettings(protocol="test", **settings), one_at_a_time=one_at_a_time)


def asked(talk: Conversation, part_id: str | None, number: int | None = None, now_ns: int = 0) -> Part:
    part = talk.ask(part_id, number, now_ns)
    assert isinstance(part, Part), part
    return part


def begun(talk: Conversation, trigger: int, now_ns: int = 0, number: int | None = None) -> Part:
    part = asked(talk, f"P{trigger}", number, now_ns)
    assert talk.accepted(part, trigger, now_ns) == []
    return part


def refused(talk: Conversation, part_id: str | None, number: int | None = None) -> RefusalCode:
    refusal = talk.ask(part_id, number, 0)
    assert isinstance(refusal, TriggerRefusal)
    return refusal.code


def result(trigger: int, state: State = State.ACCEPT) -> PartResult:
    return PartResult(trigger=trigger, state=state, part_id=f"P{trigger}", latency_ms=5.0)


def code_of(parts: list[Part]) -> ResultCode:
    (part,) = parts
    assert part.outcome is not None
    return part.outcome.code


def test_a_part_has_the_result_of_its_own_trigger() -> None:
    talk = conversation()
    first, second = begun(talk, 1), begun(talk, 2)
    assert talk.hear(result(2, State.REJECT), MS) == [second]
    assert code_of([second]) is ResultCode.REJECT
    assert talk.open == [first]
    assert code_of(talk.hear(result(1), MS)) is ResultCode.ACCEPT
    assert talk.hear(result(1), MS) == []


def test_a_result_that_comes_before_the_answer_is_not_lost() -> None:
    talk = conversation()
    part = asked(talk, "P7")
    assert talk.hear(result(7), MS) == []
    assert talk.accepted(part, 7, 2 * MS) == [part]
    assert code_of([part]) is ResultCode.ACCEPT


def test_a_part_without_a_result_in_time_is_invalid_and_its_result_nobodys() -> None:
    talk = conversation(window_ms=100)
    begun(talk, 1)
    assert talk.next_tick_ns() == 100 * MS
    assert talk.tick(99 * MS) == []
    assert code_of(talk.tick(100 * MS)) is ResultCode.NO_RESULT
    assert talk.hear(result(1), 101 * MS) == []


def test_a_result_at_the_end_of_its_window_is_too_late_even_before_the_clock_rings() -> None:
    talk = conversation(window_ms=100)
    begun(talk, 1)
    assert code_of(talk.hear(result(1), 100 * MS)) is ResultCode.NO_RESULT


def test_three_late_results_in_a_row_are_a_fault_until_it_is_reset() -> None:
    talk = conversation(window_ms=100)
    for trigger in (1, 2, 3):
        begun(talk, trigger, trigger * MS)
        talk.tick(10_000 * MS)
    assert talk.is_late_fault
    assert refused(talk, "P4") is RefusalCode.FAULT
    talk.reset()
    begun(talk, 4, 20_000 * MS)


def test_one_result_in_time_ends_the_row_of_late_ones() -> None:
    talk = conversation(window_ms=100)
    for trigger, in_time in ((1, False), (2, False), (3, True), (4, False), (5, False)):
        begun(talk, trigger)
        if in_time:
            talk.hear(result(trigger), MS)
        talk.tick(10_000 * MS)
    assert not talk.is_late_fault


def test_the_same_part_twice_is_refused_open_or_done() -> None:
    talk = conversation()
    begun(talk, 1, number=17)
    assert refused(talk, "P1") is RefusalCode.DUPLICATE
    assert refused(talk, "other", 17) is RefusalCode.DUPLICATE
    talk.hear(result(1), MS)
    assert refused(talk, "P1") is RefusalCode.DUPLICATE
    talk.reset()
    asked(talk, "P1", 17)


def test_a_part_that_the_station_refused_may_come_again() -> None:
    talk = conversation()
    talk.refused(asked(talk, "P1", 1))
    asked(talk, "P1", 1)


@pytest.mark.parametrize(
    ("last", "number", "rises"),
    [(5, 6, True), (5, 900, True), (5, 4, False), (2**32 - 1, 0, True), (2**32 - 1, 3, True), (0, 2**32 - 1, False)],
)
def test_numbers_have_to_rise_where_they_are_ordered(last: int, number: int, rises: bool) -> None:
    talk = conversation(ordered=True)
    begun(talk, 1, number=last)
    answer = talk.ask("next", number, 0)
    assert isinstance(answer, Part) is rises
    if not rises:
        assert isinstance(answer, TriggerRefusal)
        assert answer.code is RefusalCode.OUT_OF_ORDER


def test_the_next_part_waits_until_this_one_is_exposed() -> None:
    talk = conversation(one_at_a_time=True)
    begun(talk, 1)
    assert refused(talk, "P2") is RefusalCode.TOO_EARLY
    talk.hear(ExposureComplete(trigger=1), MS)
    begun(talk, 2)


def test_a_fault_ends_the_parts_that_it_names_and_a_lost_station_all() -> None:
    talk = conversation()
    first, second = begun(talk, 1), begun(talk, 2)
    assert talk.hear(FaultRaised(cause="camera top", triggers=(1, 9)), MS) == [first]
    assert code_of([first]) is ResultCode.FAULT
    assert talk.away() == [second]
    assert code_of([second]) is ResultCode.STATION_AWAY
    assert talk.open == []
