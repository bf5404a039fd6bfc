"""The station's side of a scorer: starts it, lends it frames, notices its end, and starts it again."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic_ns
from typing import TYPE_CHECKING, cast

import msgspec

from edge_ad.station.scorer_messages import (
    MESSAGE_BYTES,
    Opening,
    Refusal,
    Report,
    RingGiven,
    Scored,
    ScorerReady,
    ScoreThis,
    decode_report,
    encode,
)

if TYPE_CHECKING:
    from edge_ad.cameras import FrameRing
    from edge_ad.station.scorer_messages import Order

__all__ = ["ScorerDied", "ScorerEvent", "ScorerProcess", "restart_after_s"]

_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.1, 30.0
_AFTER_REFUSAL_S = 2.0
_MEMORY_EVERY_NS = 500_000_000
_GRACE_S = 5.0
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class ScorerDied:
    """The process ended; ``detail`` says how."""

    detail: str


ScorerEvent = ScorerReady | Refusal | Scored | ScorerDied


def restart_after_s(deaths: int) -> float:
    """How long to wait before the next start, after so many deaths without an answer in between."""
    return min(_FIRST_WAIT_S * 4.0 ** max(deaths - 1, 0), _LONGEST_WAIT_S)


class ScorerProcess:
    """One scorer. Nothing here waits: watch :meth:`fileno` for reading, and call :meth:`tick` when it is due.

    ``memory_mb``: the most that its process may hold in memory, in 2**20 bytes. ``open_s``: within which it has to
    open its bundle; one that does not is told of as a :class:`Refusal`, ended and started again.
    """

    def __init__(
        self, opening: Opening, memory_mb: int, open_s: float, *, clock: Callable[[], int] = monotonic_ns
    ) -> None:
        self._opening = opening
        self._most_bytes = memory_mb << 20
        self._open_s = open_s
        self._open_by_ns: int | None = None
        self._clock = clock
        self._rings: dict[str, tuple[int, FrameRing]] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._complaints: int | None = None
        self._killed_for: str | None = None
        self._deaths = 0
        self._due_ns: int | None = clock()
        self._memory_due_ns = 0
        self._refused = self._is_late = False
        self._leave_by_ns: int | None = None

    @property
    def pid(self) -> int | None:
        """Of the running process."""
        return None if self._process is None else self._process.pid

    def limit_memory(self, most_bytes: int) -> None:
        """From now on its process may hold so much."""
        self._most_bytes = most_bytes

    def limit_opening(self, open_s: float) -> None:
        """From its next start on it has so long to open its bundle."""
        self._open_s = open_s

    def fileno(self) -> int | None:
        """What to watch; another one after each start, ``None`` while there is no process."""
        return None if self._socket is None else self._socket.fileno()

    def receive(self) -> list[ScorerEvent]:
        """What has arrived."""
        events: list[ScorerEvent] = []
        while self._socket is not None:
            try:
                data = self._socket.recv(MESSAGE_BYTES)
            except BlockingIOError:
                break
            except ConnectionResetError:  # it died with an order unread; its last words come after this
                continue
            except OSError:
                data = b""
            report = _understood(data)
            if report is None:
                is_late, died = self._is_late, ScorerDied(self._bury())
                events += [Refusal(detail=died.detail), died] if is_late else [died]
                break
            if isinstance(report, ScorerReady | Refusal):
                self._open_by_ns = None
            if isinstance(report, Refusal):
                self._refused = True
            elif isinstance(report, Scored):
                self._deaths = 0
            events.append(report)
        return events

    def tick(self, now_ns: int) -> int | None:
        """Starts the process when it is due, and ends it when it holds too much memory. When to call again."""
        if self._due_ns is not None:
            if now_ns < self._due_ns:
                return self._due_ns
            self._due_ns = None
            self._start()
        if self._open_by_ns is not None and now_ns >= self._open_by_ns:
            self._open_by_ns, self._is_late = None, True
            self.kill(f"it did not open its bundle within open_s = {self._open_s:g}")
        if now_ns >= self._memory_due_ns:
            self._memory_due_ns = now_ns + _MEMORY_EVERY_NS
            held = self._resident_bytes()
            if held > self._most_bytes:
                self.kill(f"held {held >> 20} MiB of memory, more than memory_mb = {self._most_bytes >> 20}")
        return self._memory_due_ns if self._open_by_ns is None else min(self._memory_due_ns, self._open_by_ns)

    def give_ring(self, camera: str, number: int, ring: FrameRing) -> None:
        """The ring in which this camera's frames lie from now on; each process that is started gets it."""
        self._rings[camera] = number, ring
        if self._socket is not None:
            self._send_ring(camera)

    def score(self, order: ScoreThis, descriptor: int | None = None) -> bool:
        """Lends a frame. False: the process is gone, which :meth:`receive` tells."""
        return self._send(order, descriptor)

    def kill(self, why: str) -> None:
        """Ends the process; its end arrives like any other."""
        if self._process is not None:
            self._killed_for = why
            self._process.kill()

    def close(self) -> None:
        """Ends it for good: when it has written what it keeps, after some seconds at the latest. May be repeated."""
        self.hang_up()
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_GRACE_S)
            self._bury()
        self._due_ns = None

    def hang_up(self) -> None:
        """Lets the process end by itself, for good; nothing is heard of it any more. Does not wait."""
        self._due_ns = None
        if self._leave_by_ns is None:
            self._leave_by_ns = self._clock() + int(_GRACE_S * 1e9)
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def has_left(self, now_ns: int) -> bool:
        """Whether the process has ended after :meth:`hang_up`; one that takes too long is killed."""
        if self._process is None:
            return True
        if self._process.poll() is None:
            if self._leave_by_ns is not None and now_ns >= self._leave_by_ns:
                self._process.kill()
            return False
        self.close()
        return True

    def _start(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._complaints = os.memfd_create("edge-ad-scorer-stderr")
        with theirs:
            for end in (ours, theirs):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MESSAGE_BYTES)
            self._process = subprocess.Popen(
                [sys.executable, "-m", "edge_ad.station.scorer_worker", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._complaints,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        self._open_by_ns = self._clock() + int(self._open_s * 1e9)
        ours.setblocking(False)
        self._socket = ours
        self._send(self._opening)
        for camera in self._rings:
            self._send_ring(camera)

    def _send_ring(self, camera: str) -> None:
        number, ring = self._rings[camera]
        self._send(RingGiven(camera=camera, ring=number, size=ring.slots * ring.slot_bytes), ring.fd)

    def _send(self, order: Order, descriptor: int | None = None) -> bool:
        if self._socket is None:
            return False
        try:
            socket.send_fds(self._socket, [encode(order)], [] if descriptor is None else [descriptor])
        except OSError:  # its end is noticed by receive
            return False
        return True

    def _resident_bytes(self) -> int:
        if self._process is None:
            return 0
        try:
            with open(f"/proc/{self._process.pid}/statm", "rb") as file:  # noqa: PTH123  read twice a second
                return int(file.read().split()[1]) * _PAGE
        except (OSError, IndexError):
            return 0

    def _bury(self) -> str:
        """Takes the dead process away, and says how it ended."""
        process, self._process = cast("subprocess.Popen[bytes]", self._process), None
        process.kill()
        status = process.wait()
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        said = self._last_line()
        self._deaths += 1
        wait_s = max(restart_after_s(self._deaths), _AFTER_REFUSAL_S if self._refused or self._is_late else 0.0)
        self._open_by_ns, self._is_late = None, False
        self._due_ns = self._clock() + int(wait_s * 1e9)
        why, self._killed_for, self._refused = self._killed_for, None, False
        if why is None:
            why = f"{signal.Signals(-status).name}" if status < 0 else f"status {status}"
            why = f"{why}: {said}" if said else why
        return why

    def _last_line(self) -> str:
        fd, self._complaints = self._complaints, None
        if fd is None:
            return ""
        with os.fdopen(fd, "rb") as file, contextlib.suppress(OSError):
            file.seek(max(0, os.fstat(fd).st_size - 4096))
            lines = file.read().decode(errors="replace").split("\n")
            return next((line.strip() for line in reversed(lines) if line.strip()), "")
        return ""


def _understood(data: bytes) -> Report | None:
    if not data:
        return None
    try:
        return decode_report(data)
    except msgspec.MsgspecError:
        return None
