"""The station's side of a camera: its capture process is started, listened to, ended, and started again."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from edge_ad.cameras.healing import Action, Healing, Patience
from edge_ad.cameras.messages import (
    NO_SLOT,
    Alive,
    CameraEnded,
    CameraEvent,
    CameraState,
    CameraStatus,
    Command,
    Failed,
    FrameInfo,
    Opened,
    Release,
    Report,
    Start,
    Trigger,
    decode_report,
    encode,
)
from edge_ad.cameras.ring import FrameRing
from edge_ad.cameras.settings import source_kind
from edge_ad.errors import InputError, one_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge_ad.cameras.settings import CameraSettings

__all__ = ["CameraProcess"]

WORKER = ("-m", "edge_ad.capture.worker")
_MESSAGE_BYTES = 1 << 16
_NS = 1_000_000_000
_GRACE_NS = 2 * _NS
_LOOK_AGAIN_NS = 5_000_000
_LAST_LINE_BYTES = 2000


@dataclass(slots=True)
class _Child:
    """A capture process. ``socket`` is ``None`` once nothing more is heard of it."""

    process: subprocess.Popen[bytes]
    socket: socket.socket | None
    complaints: int
    frames: int = 0
    kill_ns: int | None = None
    is_silent_death: bool = False
    unsent: list[bytes] = field(default_factory=list)

    def close(self) -> None:
        if self.socket is not None:
            self.socket.close()
            self.socket = None

    def forget(self) -> None:
        """After its end: give back what it held here."""
        self.close()
        os.close(self.complaints)

    def last_line(self) -> str:
        """The last line that it wrote to standard error."""
        size = os.fstat(self.complaints).st_size
        text = os.pread(self.complaints, _LAST_LINE_BYTES, max(size - _LAST_LINE_BYTES, 0)).decode(errors="replace")
        lines = [line for line in text.replace("\0", "").splitlines() if line.strip()]
        return one_line(lines[-1]) if lines else ""


class CameraProcess:
    """A camera with its capture process. Nothing here waits; call everything from one thread.

    Watch ``fileno()`` for reading and call ``receive()`` when there is something. Call ``tick()`` when it is due, the
    first time at once, and ``receive()`` after it. After a restart ``fileno()`` and ``ring`` are others: frames of the
    old ring stay as they are until nobody refers to it any more. The capture process ends with the thread that called
    ``tick()``.

    Raises:
        InputError: the settings are of frames that are handed in, which no process captures.
    """

    def __init__(self, name: str, settings: CameraSettings, *, clock: Callable[[], int] = time.monotonic_ns) -> None:
        if source_kind(settings.source) == "link":
            raise InputError(f"camera {name}: source is 'link': its frames are handed in, and none are captured")
        self.name = name
        self._settings = settings
        self._clock = clock
        self._child: _Child | None = None
        self._events: list[CameraEvent] = []
        self._next = 0
        self._has_ended = False
        self._is_live = not settings.is_files
        self._healing = _healing_of(settings)
        self.ring, self._writable = self._new_ring()

    @property
    def state(self) -> CameraState:
        """Where the camera stands; after the end of a file, where it stood."""
        return self._healing.state

    @property
    def pid(self) -> int | None:
        """The capture process; ``None`` while there is none."""
        return None if self._child is None else self._child.process.pid

    def fileno(self) -> int | None:
        """What to watch for reading; ``None`` while no capture process talks."""
        child = self._child
        return None if child is None or child.socket is None else child.socket.fileno()

    def receive(self) -> list[CameraEvent]:
        """What has happened since the last call, in order; notices the end of the capture process."""
        self._listen()
        events, self._events = self._events, []
        return self._newest(events) if self._settings.queue == "latest" else events

    def tick(self, now_ns: int) -> int | None:
        """Do what is due: start, end, start again. Returns when to call again, ``None`` for never."""
        self._listen()
        self._reap(now_ns)
        self._flush()
        if self._child is None or self._child.kill_ns is None:
            action = self._healing.action(now_ns)
            if action is Action.START:
                self._start(now_ns)
            elif action is Action.KILL:
                self._end(self._healing.hung(now_ns) or "", now_ns)
        child = self._child
        if child is not None and child.kill_ns is not None:
            return now_ns + _LOOK_AGAIN_NS
        return self._healing.due_ns()

    def trigger(self, number: int) -> bool:
        """Ask for one exposure; the frame that answers carries this number. ``False``: it cannot be triggered now."""
        child = self._child
        if self._settings.trigger != "software" or self.state is not CameraState.STREAMING or self._has_ended:
            return False
        if child is None or child.socket is None or child.unsent:
            return False
        try:
            child.socket.send(encode(Trigger(number=number)))
        except OSError:
            return False
        return True

    def release(self, slot: int, ring: FrameRing) -> None:
        """The frame in this slot is not needed any more. A slot of a former ring, or of none, is passed over."""
        if ring is self.ring and slot != NO_SLOT and self._child is not None:
            self._send(self._child, Release(slot=slot))

    def change(self, settings: CameraSettings) -> None:
        """Open the camera anew with these settings; what the capture before still has to say is not heard."""
        self._settings = settings
        self._healing = _healing_of(settings)
        self._events.clear()
        child = self._child
        if child is not None and child.socket is not None:
            child.close()  # it closes the camera and ends; it is killed where that takes too long
            child.kill_ns = self._clock() + _GRACE_NS
            child.is_silent_death = False

    def close(self) -> None:
        """End the capture process, which is killed after two seconds, and wait for its end. May be called twice."""
        child, self._child = self._child, None
        self._healing.ended()
        if child is not None:
            child.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.process.wait(0 if child.kill_ns == 0 else _GRACE_NS / _NS)
            child.process.kill()
            child.process.wait()
            child.forget()
        if self._writable >= 0:
            os.close(self._writable)
            self._writable = -1
        self.ring.close()

    def _new_ring(self) -> tuple[FrameRing, int]:
        return FrameRing.create(self._settings.slots, self._settings.max_frame_mib << 20)

    def _start(self, now_ns: int) -> None:
        self._healing.started(now_ns)
        try:
            if self._writable < 0:
                self.ring, self._writable = self._new_ring()
            self._child = _launch(self._writable)
        except OSError as error:
            self._tell(
                self._healing.failed(
                    f"the capture process cannot be started: {error.strerror}", now_ns, is_refusal=False
                )
            )
            return
        os.close(self._writable)
        self._writable = -1
        first = 0 if self._is_live else self._next
        self._send(
            self._child,
            Start(settings=self._settings, slots=self.ring.slots, slot_bytes=self.ring.slot_bytes, first=first),
        )

    def _end(self, detail: str, now_ns: int) -> None:
        """End a capture that is of no use any more: what it still has to say is not heard."""
        child = self._child
        if child is None:
            return
        child.close()
        child.process.kill()
        child.kill_ns = 0
        self._tell(self._healing.failed(detail, now_ns, is_refusal=False))

    def _listen(self) -> None:
        child = self._child
        while child is not None and child.socket is not None:
            try:
                data = child.socket.recv(_MESSAGE_BYTES)
            except BlockingIOError:
                return
            except ConnectionResetError:  # it ended with unread commands; what it said before is still there
                continue
            except OSError:
                data = b""
            now_ns = self._clock()
            if not data:
                child.close()
                child.is_silent_death = True
                child.kill_ns = now_ns + _GRACE_NS
                self._reap(now_ns)
                return
            try:
                self._hear(child, decode_report(data), now_ns)
            except (msgspec.DecodeError, InputError) as error:
                self._end(f"the capture process says what is not understood: {one_line(error)}", now_ns)

    def _hear(self, child: _Child, report: Report, now_ns: int) -> None:
        if isinstance(report, FrameInfo):
            if report.slot != NO_SLOT:
                self.ring.view(report)  # refuses what does not lie in the ring
            child.frames += 1
            self._next = report.sequence + 1
            self._tell(self._healing.frame(now_ns))
            self._events.append(report)
        elif isinstance(report, Opened):
            self._tell(self._healing.opened(report.settings, now_ns))
        elif isinstance(report, Alive):
            if report.dropped:
                self._tell(self._healing.frame(now_ns))
            self._healing.turned(now_ns)
        else:
            self._last_word(child, report, now_ns)

    def _last_word(self, child: _Child, report: Failed | CameraEnded, now_ns: int) -> None:
        child.close()
        child.kill_ns = now_ns + _GRACE_NS
        if isinstance(report, CameraEnded):
            self._has_ended = True
            self._healing.ended()
            self._events.append(report)
        else:
            self._tell(self._healing.failed(report.detail, now_ns, is_refusal=report.is_refusal))

    def _reap(self, now_ns: int) -> None:
        """Look whether a process that is to end has ended; kill it when it takes too long."""
        child = self._child
        if child is None or child.kill_ns is None:
            return
        status = child.process.poll()
        if status is None:
            if now_ns >= child.kill_ns > 0:
                child.process.kill()
                child.kill_ns = 0
            return
        if child.is_silent_death:
            self._tell(self._healing.died(_cause(status, child), now_ns))
        self._child = None
        child.forget()

    def _send(self, child: _Child, command: Command) -> None:
        if child.socket is not None:
            child.unsent.append(encode(command))
            self._flush()

    def _flush(self) -> None:
        child = self._child
        with contextlib.suppress(OSError):  # full: later; closed: noticed when listening
            while child is not None and child.socket is not None and child.unsent:
                child.socket.send(child.unsent[0])
                child.unsent.pop(0)

    def _tell(self, status: CameraStatus | None) -> None:
        if status is not None:
            self._events.append(status)

    def _newest(self, events: list[CameraEvent]) -> list[CameraEvent]:
        """Without the frames that are followed by a newer one; they are released and counted as lost."""
        kept: list[CameraEvent] = []
        waiting: FrameInfo | None = None
        for event in events:
            if isinstance(event, FrameInfo) and event.trigger is None:
                lost = 0
                if waiting is not None:
                    self.release(waiting.slot, self.ring)
                    lost = waiting.lost_before + 1
                waiting = msgspec.structs.replace(event, lost_before=event.lost_before + lost)
            else:
                kept.append(event)
        return kept if waiting is None else [*kept, waiting]


def _healing_of(settings: CameraSettings) -> Healing:
    is_silence_a_fault = not settings.is_files and settings.trigger == "free"
    silence_s = settings.stale_after_s if is_silence_a_fault else None
    patience = Patience(settings.open_timeout_s, settings.hang_after_s, silence_s)
    return Healing(patience, needs_frame=settings.trigger == "free")


def _launch(ring: int) -> _Child:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    complaints = os.memfd_create("capture-stderr")
    try:
        fcntl.fcntl(complaints, fcntl.F_SETFL, os.O_APPEND)
        ours.setblocking(False)
        process = subprocess.Popen(
            [sys.executable, *WORKER, str(theirs.fileno()), str(ring), str(os.getpid())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=complaints,
            pass_fds=(theirs.fileno(), ring),
            start_new_session=True,  # Ctrl-C is for the station, which then ends its children
        )
    except BaseException:
        ours.close()
        os.close(complaints)
        raise
    finally:
        theirs.close()
    return _Child(process, ours, complaints)


def _cause(status: int, child: _Child) -> str:
    after = f"after {child.frames} frames"
    line = child.last_line()
    said = f": {line}" if line else ""
    if status < 0:
        return f"the capture process was ended by {signal.Signals(-status).name} {after}{said}"
    return f"the capture process ended with status {status} {after}{said}"
