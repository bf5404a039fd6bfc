"""The station's side of one connection, without a socket: bytes in and requests out, messages in and bytes out.

What may follow what stands in ``TRANSITIONS``. Time is an argument, in nanoseconds of any clock that never goes back.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, get_args

from edge_ad.errors import one_line
from edge_ad.link.lines import LINE_BYTES, decode_request, decode_unread, encode_line
from edge_ad.link.messages import (
    PROTOCOL_VERSION,
    Answer,
    ClientHello,
    ErrorAnswer,
    Event,
    FrameRequest,
    Heartbeat,
    OperatorRequest,
    Request,
    SnapshotRequest,
    Topic,
)

__all__ = [
    "TRANSITIONS",
    "Allowance",
    "Connection",
    "ConnectionState",
    "Descriptor",
    "Happening",
    "LinkLimits",
    "Received",
]

SECOND_NS = 1_000_000_000
# In requests: what an operator asks now and then is dearer than what a line asks for every part.
_COSTS: dict[type, float] = dict.fromkeys((SnapshotRequest, *get_args(OperatorRequest)), 20.0)
_ONE = 1 - 1e-6  # sums of parts of a second are not exact
_SILENT_BEATS = 3
"""So many heartbeats have to be missing before somebody is given up."""


class ConnectionState(str, Enum):
    GREETING = "GREETING"
    OPEN = "OPEN"
    CLOSED = "CLOSED"


class Happening(str, Enum):
    """What can happen to a connection. The values are what the log and the client's last ``error`` say."""

    HELLO = "hello"
    WRONG_VERSION = "a version of the protocol that this station does not speak"
    REQUEST = "a request"
    BAD_LINE = "a line that was not understood"
    TOO_MANY_BAD_LINES = "too many lines in a row that were not understood"
    LINE_TOO_LONG = f"a line longer than {LINE_BYTES} bytes"
    STRAY_DESCRIPTOR = "file descriptors and frame lines do not match: each frame line brings one, with its first byte"
    NO_HELLO = "no hello in time"
    SILENT = "no heartbeat in time"
    SLOW = "what was sent is not read: too much waits"
    GONE = "the client went away"


TRANSITIONS: dict[tuple[ConnectionState, Happening], ConnectionState] = {
    (ConnectionState.GREETING, Happening.HELLO): ConnectionState.OPEN,
    (ConnectionState.GREETING, Happening.WRONG_VERSION): ConnectionState.CLOSED,
    (ConnectionState.GREETING, Happening.BAD_LINE): ConnectionState.GREETING,
    (ConnectionState.GREETING, Happening.NO_HELLO): ConnectionState.CLOSED,
    (ConnectionState.OPEN, Happening.REQUEST): ConnectionState.OPEN,
    (ConnectionState.OPEN, Happening.BAD_LINE): ConnectionState.OPEN,
    (ConnectionState.OPEN, Happening.SILENT): ConnectionState.CLOSED,
    **{
        (state, happening): ConnectionState.CLOSED
        for state in (ConnectionState.GREETING, ConnectionState.OPEN)
        for happening in (
            Happening.TOO_MANY_BAD_LINES,
            Happening.LINE_TOO_LONG,
            Happening.STRAY_DESCRIPTOR,
            Happening.SLOW,
            Happening.GONE,
        )
    },
}
"""Whatever is not in this table does not change the state; nothing leaves ``CLOSED``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkLimits:
    """What clients may cost the station. ``connects``: of all of them together; the rest is for each one."""

    clients: int = 32
    connects_per_s: float = 20.0
    connects_burst: float = 64.0
    heartbeat_s: float = 1.0
    hello_s: float = 30.0
    queue_bytes: int = 1 << 20
    bad_lines: int = 20
    requests_per_s: float = 1000.0
    burst: float = 500.0
    frame_bytes: int = 128 << 20


class Descriptor(Protocol):
    """An open file that came with a line."""

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Received:
    """A request and, with a ``frame``, the descriptor that came with it. The reader of this closes it."""

    request: Request
    descriptor: Descriptor | None = None


@dataclass(frozen=True, slots=True)
class _Line:
    """A line as it was understood: ``request`` is ``None`` where it was not, and ``error`` then says why."""

    request: Request | None
    is_frame: bool
    error: ErrorAnswer | None = None


class Allowance:
    """So many of something a second, and ``burst`` at once after a quiet time; a token bucket."""

    def __init__(self, per_s: float, burst: float, now_ns: int) -> None:
        self._per_s = per_s
        self._burst = self._tokens = burst
        self._refilled_ns = now_ns

    def refill(self, now_ns: int) -> None:
        """What the time since the last call has brought."""
        gained = (now_ns - self._refilled_ns) * self._per_s / SECOND_NS
        self._tokens = min(self._burst, self._tokens + gained)
        self._refilled_ns = now_ns

    def spend(self, cost: float) -> None:
        """More than there is may be spent; it then takes longer until there is something again."""
        self._tokens -= cost

    def left(self) -> bool:
        """Whether something may be done now, as of the last ``refill``."""
        return self._tokens >= _ONE

    def again_ns(self, now_ns: int) -> int:
        """When something may be done again."""
        return now_ns + 1 + int(max(0.0, 1 - self._tokens) / self._per_s * SECOND_NS)


class Connection:
    """One client. ``client``: its name, after hello; ``topics``: what it subscribed; ``ended``: why it is closed."""

    def __init__(self, limits: LinkLimits, now_ns: int) -> None:
        self.state = ConnectionState.GREETING
        self.client = ""
        self.topics: frozenset[Topic] = frozenset()
        self.ended: Happening | None = None
        self._limits = limits
        self._buffer = bytearray()
        self._descriptors: deque[Descriptor] = deque()
        self._waiting: deque[tuple[_Line, Descriptor | None]] = deque()
        self._outgoing = bytearray()
        self._bad_lines = 0
        self._heard_ns = self._sent_ns = self._due_ns = now_ns
        self._promised_ns: int | None = None
        self._allowance = Allowance(limits.requests_per_s, limits.burst, now_ns)

    def is_closed(self) -> bool:
        """Nothing is taken from it any more; what is left in ``outgoing`` may still be written."""
        return self.state is ConnectionState.CLOSED

    # --- what comes in

    def receive(self, data: bytes, descriptors: Iterable[Descriptor], now_ns: int) -> list[Received]:
        """``feed`` and ``take`` in one."""
        self.feed(data, descriptors, now_ns)
        return self.take(now_ns)

    def feed(self, data: bytes, descriptors: Iterable[Descriptor], now_ns: int) -> None:
        """What has arrived. Descriptors that belong to no line are closed here."""
        self._descriptors.extend(descriptors)
        if self.is_closed():
            self._close_descriptors()
            return
        self._buffer += data
        whole: list[bytearray] = []
        if b"\n" in data:
            *whole, self._buffer = self._buffer.split(b"\n")
        lines = [_read(line) for line in whole if line.strip()]
        self._allowance.refill(now_ns)
        blank = len(whole) - len(lines) if whole else 1
        self._allowance.spend(blank + len(data) / 1024)
        if any(len(line) >= LINE_BYTES for line in (*whole, self._buffer)):
            self._close(Happening.LINE_TOO_LONG)
        elif not self._descriptors_match(sum(line.is_frame for line in lines)):
            self._close(Happening.STRAY_DESCRIPTOR)
        else:
            self._waiting.extend((line, self._descriptors.popleft() if line.is_frame else None) for line in lines)

    def take(self, now_ns: int, most: float = math.inf) -> list[Received]:
        """The next requests, until they have cost ``most`` or this client has asked enough for now."""
        self._allowance.refill(now_ns)
        received: list[Received] = []
        spent = 0.0
        while self._waiting and spent < most and self._allowance.left():
            line, descriptor = self._waiting.popleft()
            cost = _COSTS.get(type(line.request), 1.0)
            self._allowance.spend(cost)
            spent += cost
            taken = self._take(line, descriptor, now_ns)
            received += [] if taken is None else [taken]
        return received

    def has_waiting(self) -> bool:
        """There are lines that were not taken yet; nothing more is to be read until then."""
        return bool(self._waiting)

    def gone(self) -> None:
        """The client closed its end."""
        self._close(Happening.GONE)

    def stray(self) -> None:
        """Descriptors were lost on the way: none can be matched to a line any more."""
        self._close(Happening.STRAY_DESCRIPTOR)

    def reads_again_ns(self, now_ns: int) -> int | None:
        """Until when nothing is read and taken from a client that asks too much; ``None``: go on."""
        self._allowance.refill(now_ns)
        return None if self._allowance.left() else self._allowance.again_ns(now_ns)

    # --- what goes out

    def send(self, message: Answer | Event, now_ns: int) -> None:
        """Queues a message. A client whose queue is full is closed: it is never waited for."""
        try:
            line = encode_line(message)
        except ValueError as error:
            line = encode_line(ErrorAnswer(detail=str(error), id=getattr(message, "id", None)))
        self.send_line(line, now_ns)

    def send_line(self, line: bytes, now_ns: int) -> None:
        """The same for a line that is already encoded."""
        if self.is_closed():
            return
        if len(self._outgoing) + len(line) > self._limits.queue_bytes:
            self._close(Happening.SLOW)
            return
        self._outgoing += line
        self._sent_ns = now_ns

    @property
    def outgoing(self) -> bytearray:
        """What is to be written to the client next."""
        return self._outgoing

    def sent(self, count: int) -> None:
        """So many bytes of ``outgoing`` were written."""
        del self._outgoing[:count]

    def tick(self, now_ns: int) -> int | None:
        """Sends a heartbeat that is due, closes a client that is silent; when to be called again."""
        # Time in which the station itself did not run is not the client's silence.
        if now_ns > self._due_ns + SECOND_NS:
            self._heard_ns = now_ns
        due_ns = self._next_due(now_ns)
        self._due_ns = now_ns if due_ns is None else due_ns
        return due_ns

    # --- inside

    def _next_due(self, now_ns: int) -> int | None:
        if self.state is ConnectionState.GREETING:
            return self._or_close(self._heard_ns + _ns(self._limits.hello_s), now_ns, Happening.NO_HELLO)
        if self.is_closed():
            return None
        beat_ns = _ns(self._limits.heartbeat_s)
        if now_ns - self._sent_ns >= beat_ns:
            if not self._outgoing:  # who does not read needs no heartbeat, and is not to be closed for it
                self.send(Heartbeat(), now_ns)
            self._sent_ns = now_ns
        due_ns = self._sent_ns + beat_ns
        if self._promised_ns is None or self._waiting or not self._allowance.left():
            return due_ns
        silent_ns = self._or_close(self._heard_ns + _SILENT_BEATS * self._promised_ns, now_ns, Happening.SILENT)
        return None if silent_ns is None else min(due_ns, silent_ns)

    def _take(self, line: _Line, descriptor: Descriptor | None, now_ns: int) -> Received | None:
        request, error = line.request, line.error
        if request is not None:
            error = self._refusal(request)
        if request is None or error is not None:
            if descriptor is not None:
                descriptor.close()
            self._bad_line(error, now_ns)
            return None
        self._bad_lines = 0
        self._heard_ns = now_ns
        if isinstance(request, ClientHello):
            self._greeted(request)
            if self.is_closed():
                return None
        self._happened(Happening.HELLO if isinstance(request, ClientHello) else Happening.REQUEST)
        return Received(request, descriptor)

    def _refusal(self, request: Request) -> ErrorAnswer | None:
        """What speaks against this request in this state."""
        if isinstance(request, ClientHello) is (self.state is ConnectionState.GREETING):
            return None
        said = "say hello first" if self.state is ConnectionState.GREETING else "hello was said before"
        return ErrorAnswer(detail=said, id=getattr(request, "id", None))

    def _greeted(self, hello: ClientHello) -> None:
        if hello.version != PROTOCOL_VERSION:
            self._close(Happening.WRONG_VERSION, f"version {PROTOCOL_VERSION} is spoken here, not {hello.version}")
            return
        self.client = hello.client
        self._promised_ns = None if hello.heartbeat_s is None else _ns(hello.heartbeat_s)

    def _bad_line(self, error: ErrorAnswer | None, now_ns: int) -> None:
        self._bad_lines += 1
        if error is not None:
            self.send(error, now_ns)
        self._happened(Happening.BAD_LINE)
        if self._bad_lines >= self._limits.bad_lines:
            self._close(Happening.TOO_MANY_BAD_LINES)

    def _descriptors_match(self, frames: int) -> bool:
        """One a frame line, and at most one for a line that has only begun."""
        begun = 1 if self._buffer else 0
        return frames <= len(self._descriptors) <= frames + begun

    def _close_descriptors(self) -> None:
        for descriptor in (*self._descriptors, *(one for _, one in self._waiting if one is not None)):
            descriptor.close()
        self._descriptors.clear()
        self._waiting.clear()

    def _close(self, happening: Happening, detail: str | None = None) -> None:
        if self.is_closed():
            return
        if happening not in (Happening.GONE, Happening.SLOW):
            self._outgoing += encode_line(ErrorAnswer(detail=detail or happening.value))
        self._happened(happening)
        self.ended = happening
        self._buffer.clear()
        self._close_descriptors()

    def _happened(self, happening: Happening) -> None:
        self.state = TRANSITIONS.get((self.state, happening), self.state)

    def _or_close(self, due_ns: int, now_ns: int, happening: Happening) -> int | None:
        if now_ns < due_ns:
            return due_ns
        self._close(happening)
        return None


def _read(line: bytes | bytearray) -> _Line:
    try:
        request = decode_request(line)
    except ValueError as error:
        unread = decode_unread(line)
        # A message may repeat a part of the line, which may be long.
        return _Line(None, unread.type == "frame", ErrorAnswer(detail=one_line(error)[:200], id=unread.id))
    return _Line(request, isinstance(request, FrameRequest))


def _ns(seconds: float) -> int:
    return int(seconds * SECOND_NS)
