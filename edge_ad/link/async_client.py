"""A client of a station for programs with an asyncio loop: many things may be waited for at once."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

from edge_ad.errors import InputError, LinkError, LinkRefusedError
from edge_ad.link.client_side import ClientSide, lost
from edge_ad.link.handed import OwnedFd
from edge_ad.link.lines import encode_line
from edge_ad.link.messages import (
    Accepted,
    AcknowledgeRequest,
    Answer,
    ChallengeAction,
    ChallengeRequest,
    Event,
    Heartbeat,
    PartResult,
    RecipeRequest,
    Request,
    ResetCountersRequest,
    ResetRequest,
    Snapshot,
    SnapshotRequest,
    StationHello,
    StationState,
    SubscribeRequest,
    Topic,
    UpdateRequest,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["AsyncClient"]

T = TypeVar("T")


class AsyncClient:
    """What ``Client`` is, with the same methods to be awaited.

    >>> async with AsyncClient("/run/edge-ad/line1.sock") as link:  # doctest: +SKIP
    ...     part_may_pass = await link.passes(part_id="A-17")

    ``heartbeat_s``: the promised heartbeats are sent by themselves, so the station notices when this loop hangs.
    Entering the context raises ``LinkError`` where no station listens, or one of another version.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        client: str = "python-async",
        timeout_s: float = 5.0,
        heartbeat_s: float | None = 1.0,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._path = Path(path)
        self._client = client
        self._timeout_s = timeout_s
        self._heartbeat_s = heartbeat_s
        self._clock = clock
        self._side = ClientSide(self._path, heartbeat_s)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._failed: LinkError | None = None
        self._beats: asyncio.Task[None] | None = None

    async def __aenter__(self) -> AsyncClient:
        self._loop = asyncio.get_running_loop()
        self._sending = asyncio.Lock()
        self._news = self._loop.create_future()
        self._socket.setblocking(False)
        try:
            self._connect()
            self._loop.add_reader(self._socket, self._read)
            await self._send(self._side.hello(self._client))
            self._hello: StationHello = await self._wait(self._side.greeted, self._timeout_s, "hello")
        except BaseException:
            await self.close()
            raise
        if self._heartbeat_s is not None:
            self._beats = self._loop.create_task(self._beat(self._heartbeat_s))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def station(self) -> str:
        """The station's name."""
        return self._hello.station

    @property
    def state(self) -> StationState:
        """The last known state; it follows the station only for a subscriber of ``state``."""
        return self._hello.state if self._side.state is None else self._side.state.state

    # --- parts

    async def passes(
        self, part_id: str | None = None, pixels: NDArray[np.uint8] | None = None, *, timeout_s: float = 1.0
    ) -> bool:
        """As ``Client.passes``: true for the part's own ACCEPT in time alone, false for all else.

        Raises:
            InputError: ``pixels`` or ``part_id`` cannot be sent, or no pixels were given to a station whose camera is
                the link: that is a fault of the program, not of the part.
        """
        end_ns = self._clock() + int(timeout_s * 1e9)
        try:
            trigger = await self._asked(part_id, pixels, None, timeout_s)
            accepted = (await self.result(trigger, timeout_s=(end_ns - self._clock()) / 1e9)).accepted
            return accepted and self._clock() <= end_ns
        except LinkRefusedError as error:
            if error.reason == "needs_frame":
                raise InputError(f"{error}: give passes() the pixels of the part") from None
            return False
        except LinkError:
            return False

    async def trigger(self, part_id: str | None = None) -> int:
        """A part is there. Returns the number of the trigger, for ``result``.

        Raises:
            LinkRefusedError: the station takes no trigger now.
        """
        return await self._asked(part_id, None, None, self._timeout_s)

    async def hand_in(self, pixels: NDArray[np.uint8], part_id: str | None = None, camera: str | None = None) -> int:
        """Gives the station a picture to judge: uint8 (H, W, 3) BGR or (H, W) gray. Returns the trigger's number.

        Raises:
            InputError: other pixels.
            LinkRefusedError: the station takes no frame now.
        """
        return await self._asked(part_id, pixels, camera, self._timeout_s)

    async def result(self, trigger: int, *, timeout_s: float = 5.0) -> PartResult:
        """Waits for the result of an own trigger. One that is waited for in vain is given up.

        Raises:
            LinkTimeoutError: it did not come in time.
            StationFaultError: the station went into FAULT; there is no result.
            LinkError: the connection is lost.
        """
        try:
            return await self._wait(lambda: self._side.result(trigger), timeout_s, f"the result of trigger {trigger}")
        except BaseException:
            self._side.forget(trigger)
            raise

    async def exposed(self, trigger: int, *, timeout_s: float = 5.0) -> None:
        """Waits until the last picture for an own trigger is taken: the line may move on.

        Raises:
            LinkTimeoutError: it was not taken in time. The trigger still waits for its result.
            LinkError: the connection is lost.
        """
        await self._wait(lambda: self._side.exposed(trigger), timeout_s, f"the exposure of trigger {trigger}")

    def give_up(self, trigger: int) -> None:
        """The result of an own trigger is not waited for; it still comes as an event to who subscribed."""
        self._side.forget(trigger)

    # --- the station

    async def snapshot(self, *, recent_parts: bool = False) -> Snapshot:
        """How the station stands; ``recent_parts``: with the parts that clients of this name triggered of late."""
        return await self._answer(SnapshotRequest(id=self._side.next_id(), recent_parts=recent_parts), Snapshot)

    async def recipe(self, name: str, *, by: str | None = None) -> None:
        """Asks for a recipe. The station tells subscribers of ``recipe`` when it is active.

        ``by``, here and below: who wants it, for the station's log.
        """
        await self._request(RecipeRequest(id=self._side.next_id(), name=name, by=by))

    async def acknowledge(self, alarm: str, *, by: str | None = None) -> None:
        """Says that somebody has seen the alarm."""
        await self._request(AcknowledgeRequest(id=self._side.next_id(), alarm=alarm, by=by))

    async def reset(self, *, by: str | None = None) -> None:
        """Leaves FAULT, where its cause is gone."""
        await self._request(ResetRequest(id=self._side.next_id(), by=by))

    async def reset_counters(self, *, by: str | None = None) -> None:
        """Closes the present count, as at the end of a shift; ``counts`` of the snapshot begins at zero."""
        await self._request(ResetCountersRequest(id=self._side.next_id(), by=by))

    async def update(self, bundle: str, slot: int, *, by: str | None = None) -> None:
        """Asks for a bundle that was deployed and checked; the topic ``update`` tells what becomes of it."""
        await self._request(UpdateRequest(id=self._side.next_id(), bundle=bundle, slot=slot, by=by))

    async def challenge(
        self,
        action: ChallengeAction,
        part: str | None = None,
        *,
        runs: int = 1,
        by: str | None = None,
    ) -> None:
        """Proves the station; ``challenge`` of the snapshot says how that goes."""
        asked = ChallengeRequest(id=self._side.next_id(), action=action, part=part, runs=runs, by=by)
        await self._request(asked)

    async def subscribe(self, *topics: Topic) -> None:
        """From now on ``next_event`` gives events of these topics; of all, where none is named."""
        self._side.subscribed(topics)
        await self._request(SubscribeRequest(id=self._side.next_id(), topics=topics or None))

    async def next_event(self, *, timeout_s: float | None = None) -> Event:
        """The oldest event that was not read yet.

        Raises:
            LinkTimeoutError: none came in time.
            LinkError: the connection is lost.
        """
        for_ever = 1e9 if timeout_s is None else timeout_s
        return cast("Event", await self._wait(self._side.next_event, for_ever, "an event"))

    async def close(self) -> None:
        """May be called more than once."""
        if self._beats is not None:
            self._beats.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._beats
            self._beats = None
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)
            self._socket.close()
        self._fail(lost(self._path, None))

    # --- inside

    def _connect(self) -> None:
        """At once or not at all: a Unix socket answers from the backlog, without the station's help."""
        try:
            self._socket.connect(str(self._path))
        except OSError as error:
            raise LinkError(f"no station listens on {self._path}: {error.strerror or error}") from error

    async def _asked(
        self, part_id: str | None, pixels: NDArray[np.uint8] | None, camera: str | None, timeout_s: float
    ) -> int:
        request, memory = self._side.part(part_id, pixels, camera)
        try:
            return (await self._answer(request, Accepted, timeout_s, memory)).trigger
        finally:
            if memory is not None:
                memory.close()

    async def _answer(
        self, request: Request, expected: type[T], timeout_s: float | None = None, memory: OwnedFd | None = None
    ) -> T:
        answer = await self._request(request, timeout_s, memory)
        if not isinstance(answer, expected):
            raise LinkError(f"the station answered a {type(answer).__name__} to a {type(request).__name__}")
        return answer

    async def _request(self, request: Request, timeout_s: float | None = None, memory: OwnedFd | None = None) -> Answer:
        name: str = getattr(request, "id")  # noqa: B009  every request but hello and heartbeat has one
        waits_s = self._timeout_s if timeout_s is None else timeout_s
        try:
            await self._sent(encode_line(request), memory, waits_s)
            return cast("Answer", await self._wait(lambda: self._side.answer(name), waits_s, "an answer"))
        finally:
            self._side.give_up(name)

    async def _sent(self, line: bytes, memory: OwnedFd | None, timeout_s: float) -> None:
        """Not ``wait_for``, which before Python 3.12 may swallow that whoever waits is cancelled."""
        sending = self._loop.create_task(self._send(line, memory))
        try:
            await asyncio.wait({sending}, timeout=timeout_s)
        finally:
            if not sending.done():
                sending.cancel()
                await asyncio.wait({sending})
            if not sending.cancelled():
                sending.exception()  # looked at, or asyncio would complain of it where this wait is cancelled
        if sending.cancelled():
            raise lost(self._path, None)
        sending.result()

    async def _send(self, line: bytes, memory: OwnedFd | None = None) -> None:
        async with self._sending:
            if self._failed is not None:
                raise self._failed
            try:
                sent = 0
                if memory is not None:
                    await self._writable()
                    sent = socket.send_fds(self._socket, [line], [memory.fd])
                await self._loop.sock_sendall(self._socket, line[sent:])
            except BaseException as error:
                # Half a line may be out: nothing sensible can follow it.
                failed = lost(self._path, error if isinstance(error, OSError) else None)
                self._fail(failed)
                if isinstance(error, OSError):
                    raise failed from error
                raise

    async def _writable(self) -> None:
        writable = asyncio.Event()
        self._loop.add_writer(self._socket, writable.set)
        try:
            await writable.wait()
        finally:
            self._loop.remove_writer(self._socket)

    async def _wait(self, found: Callable[[], T | None], timeout_s: float, what: str) -> T:
        started_ns = self._clock()
        end_ns = started_ns + int(timeout_s * 1e9)
        while True:
            news = self._news
            if (value := found()) is not None:
                return value
            if self._failed is not None:
                raise self._failed
            left_ns = min(end_ns, self._side.silent_ns(started_ns)) - self._clock()
            if left_ns <= 0:
                self._side.check_time(self._clock(), end_ns, started_ns, what)
            await asyncio.wait([news], timeout=max(0, left_ns / 1e9))

    def _read(self) -> None:
        try:
            data = self._socket.recv(65_536)
            if not data:
                raise lost(self._path, None)
            self._side.receive(data, self._clock())
        except BlockingIOError:
            return
        except LinkError as error:
            self._fail(error)
        except OSError as error:
            self._fail(lost(self._path, error))
        self._tell()

    def _fail(self, error: LinkError) -> None:
        """The first reason stays; nothing is read any more."""
        self._failed = self._failed or error
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)
        self._tell()

    def _tell(self) -> None:
        """Wakes whoever waits."""
        if not self._news.done():
            self._news.set_result(None)
        self._news = self._loop.create_future()

    async def _beat(self, interval_s: float) -> None:
        with contextlib.suppress(LinkError):
            while True:
                await asyncio.sleep(interval_s)
                await self._send(encode_line(Heartbeat()))
