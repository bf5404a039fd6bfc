"""The station's side of a scorer: what it must never wait for."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from support.station_trial import eventually
from support.tiny_calibration import calibrate

from edge_ad.station.scorer_messages import Opening, ScorerReady
from edge_ad.station.scorer_process import ScorerEvent, ScorerProcess, restart_after_s

MINUTE_NS = 60_000_000_000


def test_one_that_does_not_leave_is_not_waited_for_and_then_killed(tiny_bundle: Path) -> None:
    calibrate(tiny_bundle, 0.5)
    opening = Opening(
        bundle=str(tiny_bundle),
        variant=None,
        calibration=None,
        device="CPU",
        threads=1,
        station="trial",
        inspection="top",
        camera="top",
        recipe="default",
    )
    scorer = ScorerProcess(opening, memory_mb=1024)
    heard: list[ScorerEvent] = []

    def is_ready() -> bool:
        scorer.tick(time.monotonic_ns())
        heard.extend(scorer.receive())
        return any(isinstance(one, ScorerReady) for one in heard)

    eventually(is_ready)
    pid = scorer.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    scorer.hang_up()
    now_ns = time.monotonic_ns()
    assert not scorer.has_left(now_ns)
    eventually(lambda: scorer.has_left(now_ns + MINUTE_NS))
    assert not Path(f"/proc/{pid}").exists()
    assert scorer.tick(now_ns + MINUTE_NS) is not None
    assert scorer.pid is None, "one that was let go is not started again"


def test_each_death_is_followed_by_a_longer_wait_up_to_half_a_minute() -> None:
    waits = [restart_after_s(deaths) for deaths in range(1, 8)]
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (0.1, 30.0)
