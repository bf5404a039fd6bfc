"""A station under trial: parts come all the time, faults are injected, and what comes out is written down."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_ad.errors import LinkError, LinkRefusedError, StationFaultError
from edge_ad.link import Client, LinkServer, StationState
from edge_ad.station.loop import StationLoop
from edge_ad.station.updating import StationUpdates, in_force
from edge_ad.update import RecordStep
from support.station_files import station_file

__all__ = ["WAIT_S", "FaultRow", "Outcome", "StationTrial", "eventually"]

WAIT_S = 60.0
_EVERY_S = 0.02


def eventually(what: Callable[[], bool], *, timeout_s: float = WAIT_S) -> float:
    """Waits until it is so, and says how long that took, in seconds; the test fails after ``timeout_s``."""
    start = time.monotonic()
    while not what():
        assert time.monotonic() - start < timeout_s, "it never happened"
        time.sleep(0.002)
    return time.monotonic() - start


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one part. ``state``: of its result; ``FAULT``, ``REFUSED``, ``LOST`` or ``NO LINK`` without one.

    ``is_fresh``: whether its pictures were taken after it was brought.
    """

    asked_at: float
    ended_at: float
    state: str
    reason: str | None = None
    is_fresh: bool = True


@dataclass(frozen=True, slots=True)
class FaultRow:
    """One row of the table of faults. Times in seconds."""

    fault: str
    shown_as: str
    to_fault_s: float
    to_recovery_s: float
    wrongly_accepted: int
    lost: int


@dataclass
class StationTrial:
    """Runs a station in a thread, and a client that brings one part after the other in another.

    ``tables``: of its station file; it is triggered by the link. ``record``: of its updates.
    """

    folder: Path
    tables: dict[str, Any]
    record: RecordStep | None = None
    outcomes: list[Outcome] = field(default_factory=list)

    def __enter__(self) -> StationTrial:
        self.socket = self.folder / "s"
        self.start()
        self._is_over = threading.Event()
        self._client = threading.Thread(target=self._bring_parts)
        self._client.start()
        eventually(lambda: self.accepts_since(0.0) > 3)
        return self

    def __exit__(self, *_: object) -> None:
        self.close_client()
        self.stop()

    def close_client(self) -> None:
        """Brings no part any more."""
        self._is_over.set()
        self._client.join(WAIT_S)

    def start(self) -> None:
        """Starts the station."""
        file = station_file(**{**self.tables, "link": {"socket": str(self.socket)}})
        self._link = LinkServer(self.socket, station="trial")
        self._updates = None
        if file.update is not None:
            self._updates = StationUpdates(file, self.record)
            self._updates.begin()
        self.loop = StationLoop(in_force(file), link=self._link, updates=self._updates)
        self._station = threading.Thread(target=self.loop.run)
        self._station.start()

    def stop(self) -> None:
        """Ends the station as SIGTERM does."""
        self.loop.stop()
        self._station.join(WAIT_S)
        self._link.close()
        if self._updates is not None:
            self._updates.close()

    @property
    def state(self) -> StationState:
        """The station's state."""
        return self.loop.core.condition.state

    @property
    def cause(self) -> str:
        """Why it is in FAULT."""
        return self.loop.core.condition.cause or ""

    def accepts_since(self, moment: float) -> int:
        """How many parts that were brought after this moment were accepted."""
        return sum(one.state == "ACCEPT" for one in self.outcomes if one.asked_at > moment)

    def stale_since(self, moment: float) -> int:
        """How many parts were accepted by a picture that is older than they are."""
        return sum(one.state == "ACCEPT" and not one.is_fresh for one in self.outcomes if one.asked_at > moment)

    def others_since(self, moment: float) -> list[Outcome]:
        """The parts that were brought after this moment and not accepted."""
        return [one for one in self.outcomes if one.asked_at > moment and one.state != "ACCEPT"]

    def measure(
        self,
        fault: str,
        inject: Callable[[], object],
        undo: Callable[[], object] = lambda: None,
        *,
        holds: bool = True,
        hold_s: float = 0.3,
    ) -> FaultRow:
        """Injects a fault, waits until it shows, undoes it, and waits until parts are accepted again.

        ``holds``: while it lasts no part may be accepted; otherwise it hits single parts.
        """
        before = time.monotonic()
        inject()
        eventually(lambda: bool(self.others_since(before)))
        first = self.others_since(before)[0]
        time.sleep(hold_s if holds else 0)
        undoing = time.monotonic()
        # The first part to show the fault may have been brought after one whose picture was taken before it.
        wrong = [one for one in self.outcomes if first.asked_at < one.asked_at and one.ended_at < undoing]
        accepted = sum(one.state == "ACCEPT" for one in wrong)
        undo()
        since = undoing if holds else first.asked_at
        eventually(lambda: self.accepts_since(since) > 0)
        back = next(one for one in self.outcomes if one.asked_at > since and one.state == "ACCEPT")
        shown = f"{first.state}{f' ({first.reason})' if first.reason else ''}"
        return FaultRow(
            fault=fault,
            shown_as=shown,
            to_fault_s=first.ended_at - before,
            to_recovery_s=back.ended_at - (undoing if holds else first.ended_at),
            wrongly_accepted=(accepted if holds else 0) + self.stale_since(before),
            lost=sum(one.state == "LOST" for one in self.outcomes),
        )

    def measure_none(self, fault: str, inject: Callable[[], object], *, parts: int = 10) -> FaultRow:
        """Injects what must not disturb the station at all."""
        inject()
        begun = time.monotonic()
        eventually(lambda: self.accepts_since(begun) >= parts)
        disturbed = self.others_since(begun)
        assert not disturbed, disturbed
        return FaultRow(
            fault, "nothing", 0.0, 0.0, self.stale_since(begun), sum(one.state == "LOST" for one in self.outcomes)
        )

    def _bring_parts(self) -> None:
        while not self._is_over.is_set():
            with contextlib.suppress(LinkError), Client(self.socket, timeout_s=10.0) as client:
                while not self._is_over.is_set():
                    self.outcomes.append(self._bring(client, f"P{len(self.outcomes)}"))
                    time.sleep(_EVERY_S)
            now = time.monotonic()
            self.outcomes.append(Outcome(now, now, "NO LINK"))
            time.sleep(_EVERY_S)

    def _bring(self, client: Client, part: str) -> Outcome:
        asked, asked_at = time.monotonic(), time.clock_gettime(time.CLOCK_REALTIME)
        try:
            trigger = client.trigger(part)
        except LinkRefusedError as error:
            return Outcome(asked, time.monotonic(), "REFUSED", error.reason)
        try:
            result = client.result(trigger, timeout_s=10.0)
        except StationFaultError:
            return Outcome(asked, time.monotonic(), "FAULT")
        except TimeoutError:
            return Outcome(asked, time.monotonic(), "LOST")
        is_fresh = all(one.captured_at >= asked_at for one in result.verdicts)
        return Outcome(asked, time.monotonic(), result.state.value, result.reason, is_fresh)
