"""The station's side of a scorer: what it must never wait for."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest
from support.station_trial import eventually
from support.tiny_calibration import calibrate

from edge_ad.station.scorer_messages import Opening, Refusal, ScorerReady
from edge_ad.station.scorer_process import ScorerDied, ScorerEvent, ScorerProcess, restart_after_s

SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS


@pytest.fixture
def opening(tiny_bundle: Path) -> Opening:
    calibrate(tiny_bundle, 0.5)
    return Opening(
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


def test_one_that_does_not_leave_is_not_waited_for_and_then_killed(opening: Opening) -> None:
    scorer = ScorerProcess(opening, memory_mb=1024, open_s=600)
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


def test_one_that_hangs_while_it_opens_its_bundle_is_refused_and_started_again_later(
    opening: Opening, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_ns = time.monotonic_ns()

    def clock() -> int:
        return now_ns

    scorer = ScorerProcess(opening, memory_mb=1024, open_s=20, clock=clock)
    heard: list[ScorerEvent] = []

    def has_heard(kind: type) -> bool:
        heard.extend(scorer.receive())
        return any(isinstance(one, kind) for one in heard)

    hanging = tmp_path / "hanging"  # from its first moment on: stopped from here, it might be ready already
    hanging.write_text("#!/bin/sh\nkill -STOP $$\n")
    hanging.chmod(0o755)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", str(hanging))
        due_ns = scorer.tick(now_ns)
    pid = scorer.pid
    assert pid is not None
    assert due_ns is not None
    now_ns += 19 * SECOND_NS
    scorer.tick(now_ns)
    assert Path(f"/proc/{pid}").exists()
    now_ns += 2 * SECOND_NS
    scorer.tick(now_ns)
    eventually(lambda: has_heard(ScorerDied))
    why = "it did not open its bundle within open_s = 20"
    assert heard == [Refusal(detail=why), ScorerDied(why)]
    assert scorer.tick(now_ns) == now_ns + 2 * SECOND_NS
    now_ns += 2 * SECOND_NS
    scorer.tick(now_ns)
    eventually(lambda: has_heard(ScorerReady))
    now_ns += 60 * SECOND_NS
    scorer.tick(now_ns)
    assert scorer.pid not in {None, pid}, "one that has opened its bundle has no deadline for it any more"
    scorer.close()


def test_each_death_is_followed_by_a_longer_wait_up_to_half_a_minute() -> None:
    waits = [restart_after_s(deaths) for deaths in range(1, 8)]
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (0.1, 30.0)
