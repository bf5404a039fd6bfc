"""The moment of capture, of frames that take their time on the way."""

from __future__ import annotations

import pytest

from edge_ad.capture.arrival import ArrivalClock

MS = 1_000_000
ZERO = 5_000 * MS
PERIOD = 40 * MS


def ages(delays_ms: list[float], *, drift: float = 0.0, jump_at: int | None = None, jump_ms: int = 0) -> list[int]:
    """How old each frame is said to be when it arrives, in ms, of frames that took so long."""
    clock = ArrivalClock()
    found = []
    for index, delay_ms in enumerate(delays_ms):
        taken_ns = index * PERIOD
        jumped_ns = jump_ms * MS if jump_at is not None and index >= jump_at else 0
        stamp_ns = 10**12 + round(taken_ns * (1 + drift)) + jumped_ns
        arrival_ns = ZERO + taken_ns + round(delay_ms * MS)
        found.append(round((arrival_ns - clock.captured_ns(stamp_ns, arrival_ns)) / MS))
    return found


def test_frames_that_take_equally_long_are_new_when_they_arrive() -> None:
    assert ages([7, 7, 7, 7]) == [0, 0, 0, 0]


def test_a_frame_that_waited_is_as_old_as_its_wait() -> None:
    assert ages([7, 7, 1507, 1467, 7]) == [0, 0, 1500, 1460, 0]


def test_a_backlog_at_the_beginning_is_seen_once_it_is_gone() -> None:
    assert ages([900, 860, 7, 7, 300]) == [0, 0, 0, 0, 293]


@pytest.mark.parametrize("drift", [1e-4, -1e-4])
def test_a_camera_s_clock_may_go_a_little_wrong(drift: float) -> None:
    assert max(ages([7] * 90_000, drift=drift)) <= 1


@pytest.mark.parametrize("jump_ms", [3_600_000, -3_600_000], ids=["forward", "back"])
def test_a_clock_that_jumps_makes_no_frame_old(jump_ms: int) -> None:
    assert max(ages([7] * 50, jump_at=20, jump_ms=jump_ms)) == 0


def test_a_jump_that_looks_like_a_delay_is_found_out() -> None:
    clock = ArrivalClock()
    found = [clock.captured_ns(10**12, ZERO)]
    # The camera waited for a trigger for a minute, and its clock was set back by half a minute meanwhile.
    for index in range(30):
        arrival_ns = ZERO + 60_000 * MS + index * PERIOD
        found.append(arrival_ns - clock.captured_ns(10**12 + 30_000 * MS + index * PERIOD, arrival_ns))
    assert [age < MS for age in found[1:]] == [False] * 20 + [True] * 10
