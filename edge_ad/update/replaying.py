"""Replays the challenge sets of a recipe: ``python -m edge_ad.update.replaying``, a process of its own.

It runs at the lowest priority, and its model is loaded beside that of the scorer: a station goes on inspecting.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable

import msgspec

from edge_ad.bundle import Bundle
from edge_ad.errors import DeviceError, EdgeAdError, one_line
from edge_ad.update.challenge import run_challenge
from edge_ad.update.checking import BundleUse, open_for_station

__all__ = ["ProvedPart", "ReplayOrder", "ReplayResult", "ReplayUse", "replay", "start_replay"]

_NICENESS = 19


class ProvedPart(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A labelled part, or a picture of one, and what was said of it. ``run``: which repetition, from 1 on."""

    name: str
    is_bad: bool = False
    state: str
    reason: str | None = None
    inspection: str | None = None
    run: int = 1

    @property
    def is_right(self) -> bool:
        """A bad part was not accepted, or a good one was."""
        return (self.state == "ACCEPT") is not self.is_bad


class ReplayUse(msgspec.Struct, frozen=True, kw_only=True):
    """One inspection with its bundle in force."""

    bundle: str
    use: BundleUse


class ReplayOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be replayed, ``runs`` times."""

    uses: tuple[ReplayUse, ...]
    runs: int = 1


class ReplayResult(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it. ``problem``: why a challenge set is not passed, ``error``: why it could not be replayed."""

    parts: tuple[ProvedPart, ...] = ()
    problem: str | None = None
    error: str | None = None


def replay(order: ReplayOrder) -> ReplayResult:
    """Scores every picture of the challenge sets. What stops that is the ``error`` of the result."""
    parts: list[ProvedPart] = []
    problems: list[str] = []
    try:
        for one in order.uses:
            use = one.use
            bundle = Bundle.open(one.bundle)
            with open_for_station(bundle, use.variant, use.calibration, use.device, use.threads) as detector:
                for run in range(1, order.runs + 1):
                    assert use.challenge is not None  # noqa: S101
                    result = run_challenge(detector, use.challenge)
                    problems += [] if result.problem is None else [f"{use.inspection}: {result.problem}"]
                    parts += [
                        ProvedPart(
                            name=frame.path.name,
                            is_bad=frame.is_bad,
                            state=frame.verdict.state.value,
                            reason=frame.verdict.reason and frame.verdict.reason.value,
                            inspection=use.inspection,
                            run=run,
                        )
                        for frame in result.frames
                    ]
    except (EdgeAdError, OSError) as error:
        return ReplayResult(parts=tuple(parts), error=one_line(error))
    return ReplayResult(parts=tuple(parts), problem="; ".join(dict.fromkeys(problems)) or None)


def start_replay(order: ReplayOrder, started: Callable[[subprocess.Popen[bytes]], None]) -> ReplayResult:
    """As :func:`replay`, in a process of its own. ``started`` is given the process, so that it can be ended.

    Raises:
        DeviceError: it cannot be started.
    """
    run = (sys.executable, "-m", "edge_ad.update.replaying")
    try:
        process = subprocess.Popen(run, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    except OSError as error:
        raise DeviceError(f"the replay of the challenge set cannot be started: {error.strerror}") from error
    with process:
        started(process)
        out, said = process.communicate(msgspec.json.encode(order))
    with contextlib.suppress(msgspec.DecodeError):
        return msgspec.json.decode(out, type=ReplayResult)
    last = one_line(said.decode(errors="replace").strip().rpartition("\n")[2])[-300:]
    return ReplayResult(error=f"the replay ended with status {process.returncode}{f': {last}' if last else ''}")


def main() -> None:
    """Reads an order from standard input, and writes what came of it to standard output."""
    with contextlib.suppress(OSError):
        os.nice(_NICENESS)
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=ReplayOrder)
    sys.stdout.buffer.write(msgspec.json.encode(replay(order)))


if __name__ == "__main__":
    main()
