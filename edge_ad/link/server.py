"""The station's door: a Unix socket with any number of clients, none of which is ever waited for."""

from __future__ import annotations

import errno
import logging
import os
import select
import socket
import struct
import time
from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from edge_ad.link.address import ListeningSocket
from edge_ad.link.handed import HandedFrame, OwnedFd
from edge_ad.link.ledger import RecentParts
from edge_ad.link.lines import encode_line
from edge_ad.link.messages import (
    PROTOCOL_VERSION,
    TOPICS,
    Accepted,
    Answer,
    ClientHello,
    Done,
    ErrorAnswer,
    Event,
    ExposureComplete,
    FaultRaised,
    FrameRequest,
    Heartbeat,
    PartResult,
    Refused,
    ResetRequest,
    Snapshot,
    SnapshotRequest,
    StateChanged,
    StationHello,
    StationRequest,
    StationState,
    SubscribeRequest,
    TriggerRequest,
)
from edge_ad.link.protocol import Allowance, Connection, Happening, LinkLimits, Received

__all__ = ["ClientRequest", "LinkServer"]

logger = logging.getLogger(__name__)

_CHUNK_BYTES = 1024  # what is read at once is understood at once: garbage of one client is not to cost milliseconds
_MOST_DESCRIPTORS = 4
_AT_ONCE = 16
_TURN = 8.0
"""What one client may ask in one turn of the loop, in requests; the rest of what it sent waits for the next turns."""
_BACK_OFF_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class ClientRequest:
    """What a client asks of the station. ``frame`` comes with a ``FrameRequest`` alone; the reader closes it."""

    client: int
    request: StationRequest
    frame: HandedFrame | None = None


@dataclass(slots=True)
class _Client:
    """``ids``: of its requests for parts that have no result yet, and their triggers as soon as they are accepted;
    ``asked``: the part ids of those that are not answered yet. ``wants_recent``: a snapshot that has to have parts."""

    number: int
    socket: socket.socket
    connection: Connection
    watched: int = 0
    ids: dict[str, int | None] = field(default_factory=dict)
    asked: dict[str, str | None] = field(default_factory=dict)
    wants_recent: str | None = None


class LinkServer:
    """Serves the clients of one station, inside the station's own loop.

    Watch ``fileno()`` for reading and call ``ready`` when it is; call ``tick`` in every turn of the loop, and again at
    the time that it names. Hello, subscriptions and heartbeats are dealt with here.

    Raises:
        InputError: the path or the group is not usable.
        LinkError: another station listens there, or the system refuses.
    """

    def __init__(
        self,
        path: Path,
        *,
        station: str,
        mode: int = 0o660,
        group: str | None = None,
        limits: LinkLimits | None = None,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._station = station
        self._limits = limits or LinkLimits()
        self._clock = clock
        self._state = StateChanged(state=StationState.STARTING)
        self._clients: dict[int, _Client] = {}
        self._by_fd: dict[int, _Client] = {}
        self._runnable: set[int] = set()
        self._last_client = 0
        self._recent = RecentParts()
        self._accepts_again_ns: int | None = None
        self._connects = Allowance(self._limits.connects_per_s, self._limits.connects_burst, clock())
        self._listening = ListeningSocket(path, mode, group)
        self._listener = self._listening.socket
        self._epoll = select.epoll()
        self._epoll.register(self._listener, select.EPOLLIN)
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._epoll.register(self._wake, select.EPOLLIN)

    def fileno(self) -> int:
        """Readable when there is something to do. It stays the same."""
        return self._epoll.fileno()

    @property
    def clients(self) -> dict[int, str]:
        """Number and name of everybody who said hello."""
        return {one.number: one.connection.client for one in self._clients.values() if one.connection.client}

    def ready(self) -> list[ClientRequest]:
        """What has arrived. Takes a little from each client, so that none keeps the others, or the station, waiting."""
        asked: list[ClientRequest] = []
        served = set(self._runnable)
        for number in served:
            asked += self._serve(self._clients[number], 0)
        for fd, events in self._epoll.poll(0, _AT_ONCE):
            if fd == self._listener.fileno():
                self._accept()
            elif (client := self._by_fd.get(fd)) is not None and client.number not in served:
                asked += self._serve(client, events)
        return asked

    def tick(self, now_ns: int) -> int | None:
        """Heartbeats, silent clients, clients that asked too much; when to be called again."""
        if self._accepts_again_ns is not None and now_ns >= self._accepts_again_ns:
            self._accepts_again_ns = None
            self._epoll.modify(self._listener, select.EPOLLIN)
        due = [] if self._accepts_again_ns is None else [self._accepts_again_ns]
        for client in list(self._clients.values()):
            next_ns = client.connection.tick(now_ns)
            self._settle(client, now_ns)
            again_ns = client.connection.reads_again_ns(now_ns)
            due += [one for one in (next_ns, again_ns) if one is not None]
        return min(due, default=None)

    def answer(self, client: int, message: Answer) -> None:
        """Sends to one client. One that has gone in the meantime is passed over."""
        found = self._clients.get(client)
        if found is not None:
            if isinstance(message, Accepted):
                found.ids[message.id] = message.trigger
                self._recent.add(found.connection.client, found.asked.pop(message.id, None))
            elif isinstance(message, Refused):
                found.ids.pop(message.id, None)
                found.asked.pop(message.id, None)
            elif isinstance(message, Snapshot) and message.id == found.wants_recent:
                message = self._recent.told(message, found.connection.client)
            now_ns = self._clock()
            found.connection.send(message, now_ns)
            self._settle(found, now_ns)

    def publish(self, event: Event, *, to: Mapping[int, str] | None = None) -> None:
        """Sends to all who subscribed, and to those in ``to`` (client to its own id of the trigger) in any case.

        Raises:
            ValueError: the event does not fit into a line: a fault with thousands of triggers.
        """
        if isinstance(event, StateChanged):
            self._state = event
        ids = to or {}
        topic = event.__struct_config__.tag
        line: bytes | None = None
        closed = _closed_by(event)
        for client in list(self._clients.values()):
            if closed and client.ids:
                client.ids = {name: number for name, number in client.ids.items() if number not in closed}
            if client.number in ids and isinstance(event, PartResult | ExposureComplete):
                self._send_line(client, encode_line(msgspec.structs.replace(event, id=ids[client.number])))
            elif client.number in ids or topic in client.connection.topics:
                line = line or encode_line(event)
                self._send_line(client, line)

    def close(self) -> None:
        """Drops all clients and removes the socket. May be called twice."""
        for client in list(self._clients.values()):
            self._drop(client)
        if not self._epoll.closed:
            self._epoll.close()
            os.close(self._wake)
            self._listening.close()

    # --- one client

    def _serve(self, client: _Client, events: int) -> list[ClientRequest]:
        now_ns = self._clock()
        if events & select.EPOLLIN and client.watched & select.EPOLLIN:
            self._read(client, now_ns)
        elif events & (select.EPOLLHUP | select.EPOLLERR):
            client.connection.gone()
        received = client.connection.take(now_ns, _TURN)
        asked = [one for each in received if (one := self._deal(client, each, now_ns)) is not None]
        self._settle(client, now_ns)
        return asked

    def _read(self, client: _Client, now_ns: int) -> None:
        try:
            data, descriptors, truncated = _receive(client.socket)
        except BlockingIOError:
            return
        except OSError:
            data, descriptors, truncated = b"", [], False
        if truncated:
            client.connection.stray()
        client.connection.feed(data, descriptors, now_ns)
        if not data:
            client.connection.gone()

    def _deal(self, client: _Client, received: Received, now_ns: int) -> ClientRequest | None:
        """Answers what needs no station; the rest is the station's."""
        request = received.request
        connection = client.connection
        if isinstance(request, ClientHello):
            logger.debug("client %d is %r", client.number, request.client)
            hello = StationHello(
                version=PROTOCOL_VERSION,
                station=self._station,
                state=self._state.state,
                heartbeat_s=self._limits.heartbeat_s,
            )
            connection.send(hello, now_ns)
        elif isinstance(request, SubscribeRequest):
            connection.topics = frozenset(TOPICS if request.topics is None else request.topics)
            if request.id is not None:
                connection.send(Done(id=request.id), now_ns)
            if "state" in connection.topics:
                connection.send(self._state, now_ns)
        elif isinstance(request, FrameRequest | TriggerRequest):
            return self._part(client, request, received, now_ns)
        elif not isinstance(request, Heartbeat):
            if isinstance(request, SnapshotRequest) and request.recent_parts:
                client.wants_recent = request.id
            elif isinstance(request, ResetRequest) and self._state.state is StationState.FAULT:
                self._recent.forget(connection.client)
            return ClientRequest(client.number, request)
        return None

    def _part(
        self, client: _Client, request: FrameRequest | TriggerRequest, received: Received, now_ns: int
    ) -> ClientRequest | None:
        """A request for a part, whose id is not to be mixed up with that of another one."""
        if request.id in client.ids:
            if received.descriptor is not None:
                received.descriptor.close()
            detail = "a part with this id has no result yet"
            client.connection.send(Refused(id=request.id, reason="id_in_use", detail=detail), now_ns)
            return None
        asked: ClientRequest | None = ClientRequest(client.number, request)
        if isinstance(request, FrameRequest):
            asked = self._frame(client, request, received, now_ns)
        if asked is not None:
            client.ids[request.id] = None
            client.asked[request.id] = request.part_id
        return asked

    def _frame(self, client: _Client, request: FrameRequest, received: Received, now_ns: int) -> ClientRequest | None:
        memory = received.descriptor
        size = request.height * request.width * request.channels
        try:
            if not isinstance(memory, OwnedFd) or size > self._limits.frame_bytes:
                raise ValueError(f"a frame of {size} bytes is larger than the {self._limits.frame_bytes} taken here")
            frame = HandedFrame(memory, request.height, request.width, request.channels)
        except ValueError as error:
            if memory is not None:
                memory.close()
            client.connection.send(Refused(id=request.id, reason="bad_frame", detail=str(error)), now_ns)
            return None
        return ClientRequest(client.number, request, frame)

    def _send_line(self, client: _Client, line: bytes) -> None:
        now_ns = self._clock()
        client.connection.send_line(line, now_ns)
        self._settle(client, now_ns)

    def _settle(self, client: _Client, now_ns: int) -> None:
        """Writes what can be written, and watches or drops the client as its connection stands now."""
        connection = client.connection
        while connection.outgoing and (count := _send(client.socket, connection.outgoing)):
            if count < 0:
                connection.gone()
                break
            connection.sent(count)
        if connection.is_closed():
            self._drop(client)
            return
        goes_on = connection.reads_again_ns(now_ns) is None
        reads = goes_on and not connection.has_waiting()
        self._run_later(client, goes_on and connection.has_waiting())
        watched = (select.EPOLLIN if reads else 0) | (select.EPOLLOUT if connection.outgoing else 0)
        if watched != client.watched:
            self._epoll.modify(client.socket, watched)
            client.watched = watched

    def _run_later(self, client: _Client, runnable: bool) -> None:
        """Remembers that lines of this client wait for the next turn, and makes ``fileno`` readable for it."""
        before = bool(self._runnable)
        (self._runnable.add if runnable else self._runnable.discard)(client.number)
        if bool(self._runnable) is not before:
            os.eventfd_write(self._wake, 1) if runnable else os.eventfd_read(self._wake)

    # --- coming and going

    def _accept(self) -> None:
        now_ns = self._clock()
        self._connects.refill(now_ns)
        if not self._connects.left():
            self._accept_later(self._connects.again_ns(now_ns))
            return
        try:
            accepted, _ = self._listener.accept()
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS):
                logger.warning("no client can be taken for now: %s", error.strerror)
                self._accept_later(now_ns + _BACK_OFF_NS)
            return
        self._connects.spend(1)
        accepted.setblocking(False)
        self._last_client += 1
        pid, uid, gid = struct.unpack("3i", accepted.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        if len(self._clients) >= self._limits.clients:
            logger.warning("client %d (pid %d, uid %d) turned away: too many clients", self._last_client, pid, uid)
            with accepted:
                _send(accepted, encode_line(ErrorAnswer(detail=f"{self._limits.clients} clients are connected")))
            return
        logger.info("client %d connected: pid %d, uid %d, gid %d", self._last_client, pid, uid, gid)
        client = _Client(self._last_client, accepted, Connection(self._limits, now_ns), select.EPOLLIN)
        self._clients[client.number] = self._by_fd[accepted.fileno()] = client
        self._epoll.register(accepted, select.EPOLLIN)

    def _accept_later(self, again_ns: int) -> None:
        """Leaves the listener alone until then: it stays readable, and would wake the loop without end."""
        self._accepts_again_ns = again_ns
        self._epoll.modify(self._listener, 0)

    def _drop(self, client: _Client) -> None:
        if self._clients.pop(client.number, None) is None:
            return
        client.connection.gone()
        self._run_later(client, False)
        ended = client.connection.ended or Happening.GONE
        level = logging.DEBUG if ended is Happening.GONE else logging.WARNING  # who left by himself is no news
        logger.log(level, "client %d dropped: %s", client.number, ended.value)
        del self._by_fd[client.socket.fileno()]
        self._epoll.unregister(client.socket)
        client.socket.close()


def _closed_by(event: Event) -> tuple[int, ...]:
    """The triggers that have their outcome with this event."""
    if isinstance(event, PartResult):
        return (event.trigger,)
    return event.triggers if isinstance(event, FaultRaised) else ()


def _receive(client: socket.socket) -> tuple[bytes, list[OwnedFd], bool]:
    """Bytes, descriptors (closed on exec), and whether some were lost on the way."""
    room = socket.CMSG_SPACE(_MOST_DESCRIPTORS * array("i").itemsize)
    data, ancillary, flags, _ = client.recvmsg(_CHUNK_BYTES, room, socket.MSG_CMSG_CLOEXEC)
    numbers = array("i")
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            numbers.frombytes(content[: len(content) - len(content) % numbers.itemsize])
    return data, [OwnedFd(fd) for fd in numbers], bool(flags & socket.MSG_CTRUNC)


def _send(client: socket.socket, data: bytes | bytearray) -> int:
    """How much was written; 0: nothing can be, for now; -1: nothing ever again."""
    try:
        return client.send(data, socket.MSG_NOSIGNAL)
    except BlockingIOError:
        return 0
    except OSError:
        return -1
