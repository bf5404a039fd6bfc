"""When a camera counts as lost and when it is tried again, told by a clock that the test sets."""

from __future__ import annotations

import itertools

import pytest

from edge_ad.cameras import CameraState, CameraStatus
from edge_ad.cameras.healing import TABLE, Action, Event, Healing, Patience

S = 1_000_000_000
CONNECTING, STREAMING, LOST, REFUSED = CameraState


def healing(*, needs_frame: bool = True, silence_s: float | None = 2.0) -> Healing:
    return Healing(Patience(open_s=30, hang_s=10, silence_s=silence_s), needs_frame)


def working(now_ns: int = 0) -> Healing:
    """A camera that was started, opened and gave a frame at this time."""
    one = healing()
    one.started(now_ns)
    one.opened({}, now_ns)
    one.frame(now_ns)
    return one


def test_the_table_has_every_state_and_event() -> None:
    assert set(TABLE) == set(itertools.product(CameraState, Event))


def test_a_new_camera_is_started_at_once() -> None:
    one = healing()
    assert (one.action(0), one.state) == (Action.START, CONNECTING)
    one.started(0)
    assert (one.action(0), one.due_ns()) == (Action.NOTHING, 30 * S)


@pytest.mark.parametrize(
    ("needs_frame", "at_opening", "at_frame"),
    [
        pytest.param(True, None, CameraStatus(state=STREAMING, settings={"gain": 2.0}), id="free"),
        pytest.param(False, CameraStatus(state=STREAMING, settings={"gain": 2.0}), None, id="triggered"),
    ],
)
def test_when_it_works_and_what_was_read_back(
    needs_frame: bool, at_opening: CameraStatus | None, at_frame: CameraStatus | None
) -> None:
    one = healing(needs_frame=needs_frame)
    one.started(0)
    assert one.opened({"gain": 2.0}, S) == at_opening
    assert one.frame(S) == at_frame
    assert one.frame(2 * S) is None
    assert one.state is STREAMING


@pytest.mark.parametrize(
    ("prepare", "now_s", "cause"),
    [
        pytest.param([], 29.9, None, id="opening-takes-its-time"),
        pytest.param([], 30, "did not open within 30 s", id="opening-hangs"),
        pytest.param(["opened"], 1.9, None, id="first-frame-not-due"),
        pytest.param(["opened"], 2, "no frame for 2 s", id="no-first-frame"),
        pytest.param(["opened", "frame"], 2, "no frame for 2 s", id="silent"),
    ],
)
def test_a_capture_that_is_of_no_use_is_ended(prepare: list[str], now_s: float, cause: str | None) -> None:
    one = healing()
    one.started(0)
    for step in prepare:
        {"opened": lambda: one.opened({}, 0), "frame": lambda: one.frame(0)}[step]()
    now_ns = round(now_s * S)
    assert one.action(now_ns) is (Action.KILL if cause else Action.NOTHING)
    assert str(cause) in str(one.hung(now_ns))


@pytest.mark.parametrize("silence_s", [None, 60.0], ids=["triggered", "slow"])
def test_only_a_turn_of_the_loop_keeps_a_capture_alive(silence_s: float | None) -> None:
    one = healing(needs_frame=False, silence_s=silence_s)
    one.started(0)
    one.opened({}, 0)
    for second in range(0, 50, 9):
        one.turned(second * S)
        assert one.action((second + 9) * S) is Action.NOTHING
    assert one.due_ns() == 55 * S
    assert one.action(55 * S) is Action.KILL
    assert "hangs" in str(one.hung(55 * S))


def waits(one: Healing, failures: int, *, is_refusal: bool) -> list[float]:
    """The seconds until each new attempt, of attempts that fail at once."""
    now_ns, found = 0, []
    for _ in range(failures):
        one.failed("why", now_ns, is_refusal=is_refusal)
        due_ns = one.due_ns()
        assert due_ns is not None
        assert (one.action(due_ns - 1), one.action(due_ns)) == (Action.NOTHING, Action.START)
        found.append((due_ns - now_ns) / S)
        now_ns = due_ns
        one.started(now_ns)
    return found


def test_a_refusal_waits_longer_than_a_loss() -> None:
    assert waits(working(), 7, is_refusal=False) == [0.25, 0.5, 1, 2, 4, 5, 5]
    assert waits(working(), 6, is_refusal=True) == [5, 10, 20, 40, 60, 60]


@pytest.mark.parametrize(("lived_s", "wait_s"), [(9.9, 8 * 0.25), (10, 0.25)], ids=["not-settled", "settled"])
def test_the_waits_begin_again_only_after_a_camera_went_well_for_a_while(lived_s: float, wait_s: float) -> None:
    one = working()
    waits(one, 3, is_refusal=False)
    one.started(100 * S)
    one.opened({}, 100 * S)
    one.frame(100 * S)
    failed_ns = round((100 + lived_s) * S)
    one.failed("why", failed_ns, is_refusal=False)
    assert one.due_ns() == failed_ns + round(wait_s * S)


def test_each_failure_is_told_once_and_so_is_the_recovery() -> None:
    one = working()
    told = [one.failed("unplugged", 0, is_refusal=False) for _ in range(3)]
    assert told == [CameraStatus(state=LOST, detail="unplugged"), None, None]
    assert one.failed("busy", 0, is_refusal=True) == CameraStatus(state=REFUSED, detail="busy")
    assert one.failed("busy", 0, is_refusal=True) is None
    assert one.failed("no permission", 0, is_refusal=True) == CameraStatus(state=REFUSED, detail="no permission")
    one.started(0)
    assert one.opened({"gain": 1.0}, 0) is None
    assert one.frame(0) == CameraStatus(state=STREAMING, settings={"gain": 1.0})
    assert one.frame(0) is None
    assert one.failed("unplugged", 0, is_refusal=False) == CameraStatus(state=LOST, detail="unplugged")


def test_a_process_that_dies_twice_before_it_works_counts_as_a_refusal() -> None:
    one = working()
    assert one.died("SIGABRT after 7 frames", 0) == CameraStatus(state=LOST, detail="SIGABRT after 7 frames")
    states = []
    for _ in range(3):
        one.started(0)
        one.died("SIGABRT after 0 frames", 0)
        states.append(one.state)
    assert states == [LOST, REFUSED, REFUSED]


def test_a_source_that_came_to_its_end_is_left_alone() -> None:
    one = working()
    one.ended()
    assert (one.due_ns(), one.action(10**18), one.state) == (None, Action.NOTHING, STREAMING)


def test_a_capture_that_is_gone_reports_nothing_any_more() -> None:
    one = working()
    one.failed("unplugged", 0, is_refusal=False)
    assert (one.opened({"gain": 1.0}, S), one.frame(S)) == (None, None)
    one.turned(S)
    assert (one.state, one.settings) == (LOST, {})
