"""``python -m edge_ad.capture.worker SOCKET RING PARENT``: the capture process of one camera.

``SOCKET`` and ``RING`` are file descriptors, ``PARENT`` the process that started this one. A driver or decoder that
crashes or hangs takes only this process with it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import socket
import sys
import time
from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import cv2
import msgspec

from edge_ad.cameras.checks import sample_digest
from edge_ad.cameras.messages import (
    NO_SLOT,
    Alive,
    CameraEnded,
    Command,
    Failed,
    FrameInfo,
    Opened,
    Release,
    Report,
    Start,
    Trigger,
    decode_command,
    encode,
)
from edge_ad.cameras.ring import RingWriter
from edge_ad.cameras.settings import unmet_settings
from edge_ad.capture.arrival import ArrivalClock, LostFrames
from edge_ad.capture.backends.opening import open_backend
from edge_ad.capture.backends.protocol import CameraGoneError, CameraRefusedError, SourceEndedError
from edge_ad.errors import EdgeAdError, one_line
from edge_ad.sources.live import without_password

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge_ad.capture.backends.protocol import CameraBackend, FetchedPicture, Grab

__all__ = ["MESSAGE_BYTES", "Capture", "main"]

MESSAGE_BYTES = 1 << 16
"""No message between a station and its capture processes is longer."""

_ROUND_S = 0.5
_ALIVE_EVERY_S = 0.5
_MOST_STDERR_BYTES = 1 << 16
_PR_SET_PDEATHSIG = 1


class _StationGoneError(Exception):
    """The other end of the socket is closed."""


@dataclass
class _Mailbox:
    """Commands in, reports out."""

    socket: socket.socket

    def tell(self, report: Report) -> None:
        try:
            self.socket.send(encode(report))
        except OSError:
            raise _StationGoneError from None

    def commands(self, wait_s: float) -> list[Command]:
        """What has arrived; waits for the first of it, but not longer than ``wait_s``."""
        found: list[Command] = []
        while select.select([self.socket], [], [], 0 if found else wait_s)[0]:
            data = self.socket.recv(MESSAGE_BYTES)
            if not data:
                raise _StationGoneError
            found.append(decode_command(data))
        return found


@dataclass(frozen=True)
class _Asked:
    """A trigger, and when it was read here."""

    number: int
    at_ns: int


@dataclass
class Capture:
    """The loop of one camera: takes frames, writes them to free slots, and tells of them."""

    mailbox: _Mailbox
    ring: RingWriter
    start: Start
    backend: CameraBackend
    _triggers: deque[_Asked] = field(default_factory=deque)
    _clock: ArrivalClock = field(default_factory=ArrivalClock)
    _sequence: int = 0
    _dropped: int = 0
    _dropped_news: int = 0
    _told_s: float = 0.0
    _is_begun: bool = False

    def run(self) -> None:
        """Until the source ends, or an exception tells why not."""
        self._sequence = self.start.first
        settings = self.backend.open()
        if unmet := unmet_settings(self.start.settings, settings):
            raise CameraRefusedError(unmet)
        self.mailbox.tell(Opened(settings=settings))
        self._lost = LostFrames(self.backend.counter_range)
        step = self._step()
        while True:
            step()
            _bound_stderr()

    def _step(self) -> Callable[[], None]:
        if self.start.settings.trigger != "software":
            return self._free
        return self._triggered if self.backend.has_trigger else self._free_until_triggered

    def _free(self) -> None:
        self._obey(0)
        waits_for_slot = not self.backend.is_live and self.start.settings.pace == "fast"
        slot = self.ring.take()
        if slot is None and waits_for_slot:
            self._alive()
            self._obey(_ROUND_S)
            return
        self._deliver(self._grab(_ROUND_S), slot, None)

    def _triggered(self) -> None:
        self._obey(0 if self._triggers else _ROUND_S)
        if not self._triggers:
            self._alive()
            return
        number = self._triggers.popleft().number
        self.backend.trigger()
        patience_s = self.start.settings.stale_after_s
        deadline = time.monotonic() + patience_s
        while (grab := self._grab(min(_ROUND_S, patience_s))) is None:
            self._alive()
            if time.monotonic() > deadline:
                raise CameraGoneError(f"no frame within {patience_s:g} s of a trigger")
        self._deliver(grab, self._wait_for_slot(), number)

    def _free_until_triggered(self) -> None:
        """Of a camera that cannot be triggered: the first picture that was begun after the trigger."""
        self._obey(0)
        grab = self._grab(_ROUND_S)
        if grab is None or not self._triggers or not self._is_begun:
            if grab is not None:
                self._lost.before(grab.counter)
                # One that came after the trigger may have been begun before it; the next one was not.
                self._is_begun = bool(self._triggers) and grab.captured_ns >= self._triggers[0].at_ns
            self._alive()
            return
        number = self._triggers.popleft().number
        self._is_begun = bool(self._triggers) and grab.captured_ns >= self._triggers[0].at_ns
        self._deliver(grab, self._wait_for_slot(), number)

    def _grab(self, timeout_s: float) -> Grab | None:
        """The next frame, with the moment of its capture where the camera states when that was."""
        grab = self.backend.grab(timeout_s)
        if grab is None or grab.camera_time_ns is None or not self.backend.is_live:
            return grab
        captured_ns = self._clock.captured_ns(grab.camera_time_ns, grab.captured_ns)
        age_s = (grab.captured_ns - captured_ns) / 1e9
        return replace(grab, captured_ns=captured_ns, captured_at=grab.captured_at - age_s)

    def _wait_for_slot(self) -> int:
        """A free slot, however long it takes: a frame that was asked for is not dropped."""
        while (slot := self.ring.take()) is None:
            self._alive()
            self._obey(_ROUND_S)
        return slot

    def _deliver(self, grab: Grab | None, slot: int | None, trigger: int | None) -> None:
        if grab is None:
            if slot is not None:
                self.ring.release(slot)
            self._alive()
            return
        lost = self._lost.before(grab.counter)
        sequence, self._sequence = self._sequence, self._sequence + 1
        if slot is None:
            self._dropped += 1 + lost
            self._dropped_news += 1
            self._alive()
            return
        picture = self.backend.fetch(self.ring.slot(slot))
        dropped, self._dropped = self._dropped, 0
        self._told_s = time.monotonic()
        info = _described(grab, picture, slot, sequence)
        if not picture.height:
            self.ring.release(slot)
            info = msgspec.structs.replace(info, slot=NO_SLOT)
        else:
            size = picture.height * picture.width * picture.channels
            pixels = self.ring.slot(slot)[:size].reshape(picture.height, picture.width, picture.channels)
            info = msgspec.structs.replace(info, digest=sample_digest(pixels))
        self.mailbox.tell(msgspec.structs.replace(info, trigger=trigger, lost_before=lost + dropped))

    def _obey(self, wait_s: float) -> None:
        for command in self.mailbox.commands(wait_s):
            if isinstance(command, Release):
                self.ring.release(command.slot)
            elif isinstance(command, Trigger):
                self._triggers.append(_Asked(command.number, time.monotonic_ns()))

    def _alive(self) -> None:
        now = time.monotonic()
        if now - self._told_s >= _ALIVE_EVERY_S:
            self._told_s = now
            news, self._dropped_news = self._dropped_news, 0
            self.mailbox.tell(Alive(news))


def _described(grab: Grab, picture: FetchedPicture, slot: int, sequence: int) -> FrameInfo:
    return FrameInfo(
        slot=slot,
        height=picture.height,
        width=picture.width,
        channels=picture.channels,
        sequence=sequence,
        captured_at=grab.captured_at,
        captured_ns=grab.captured_ns,
        camera_counter=grab.counter,
        camera_time_ns=grab.camera_time_ns,
        exposure_us=grab.exposure_us,
        gain=grab.gain,
        damaged=picture.damaged,
        name=grab.name,
    )


def main(arguments: list[str]) -> int:
    """Capture until the source, the camera or the station ends; returns the exit status."""
    descriptor, ring, parent = (int(one) for one in arguments)
    if not _die_with(parent):
        return 0
    mailbox = _Mailbox(socket.socket(fileno=descriptor))
    with contextlib.suppress(_StationGoneError):
        _capture(mailbox, ring)
    return 0


def _capture(mailbox: _Mailbox, ring: int) -> None:
    start = decode_command(mailbox.socket.recv(MESSAGE_BYTES))
    if not isinstance(start, Start):
        raise _StationGoneError
    cv2.setNumThreads(1)  # the cores are for the scorers
    backend: CameraBackend | None = None
    try:
        backend = open_backend(start.settings, start.first)
        Capture(mailbox, RingWriter(ring, start.slots, start.slot_bytes), start, backend).run()
    except SourceEndedError as end:
        mailbox.tell(CameraEnded(detail=one_line(end)))
    except CameraGoneError as error:
        mailbox.tell(Failed(detail=_public(error, start), is_refusal=False))
    except (CameraRefusedError, EdgeAdError) as error:
        mailbox.tell(Failed(detail=_public(error, start), is_refusal=True))
    except _StationGoneError:
        raise
    except Exception as error:  # noqa: BLE001  drivers and decoders raise anything
        detail = f"the capture failed: {type(error).__name__}: {_public(error, start)}"
        mailbox.tell(Failed(detail=detail, is_refusal=False))
    finally:
        # After the last word: a driver may hang here, and then this process is ended from outside.
        if backend is not None:
            backend.close()


def _public(error: Exception, start: Start) -> str:
    """What went wrong, without the password that a source may hold."""
    source = start.settings.source
    return one_line(error).replace(source, without_password(source)) if "://" in source else one_line(error)


def _die_with(parent: int) -> bool:
    """Have the kernel end this process when its parent ends; ``False``: the parent is gone already."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    return os.getppid() == parent


def _bound_stderr() -> None:
    """What libraries print is kept in memory for the case of a crash, but not without bound."""
    if os.fstat(2).st_size > _MOST_STDERR_BYTES:
        os.ftruncate(2, 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
