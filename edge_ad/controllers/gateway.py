"""The way of a controller's adapter to the station: a client of the link that comes back by itself."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from edge_ad.controllers.conversation import Conversation, Outcome, Part, TriggerRefusal
from edge_ad.controllers.security import AuditTrail, Result, Who
from edge_ad.controllers.settings import HandshakeSettings
from edge_ad.controllers.view import StationView
from edge_ad.errors import EdgeAdError, LinkError, LinkRefusedError
from edge_ad.link import AsyncClient
from edge_ad.link.messages import ChallengeAction, Event

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["EventStream", "Gateway", "PartRefusedError"]

logger = logging.getLogger(__name__)

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 2.0
_SNAPSHOT_S = 1.0
_AGAIN_S = 0.1
_BY_CHARACTERS = 128


class PartRefusedError(LinkRefusedError):
    """A trigger was not accepted, by the rules of the conversation or by the station."""

    def __init__(self, refusal: TriggerRefusal) -> None:
        super().__init__(refusal.reason, f"the part is refused ({refusal.reason}): {refusal.detail}")
        self.refusal = refusal


class EventStream:
    """Events for one reader, at most ``limit`` waiting; the oldest are dropped and counted. Ends when it is closed."""

    def __init__(self, limit: int) -> None:
        self.dropped = 0
        self._limit = limit
        self._events: deque[Event] = deque()
        self._news = asyncio.Event()
        self._closed = False

    def put(self, event: Event) -> None:
        """Never waits."""
        if len(self._events) >= self._limit:
            self._events.popleft()
            self.dropped += 1
        self._events.append(event)
        self._news.set()

    def close(self) -> None:
        """What was put before is still read."""
        self._closed = True
        self._news.set()

    async def __aiter__(self) -> AsyncIterator[Event]:
        while True:
            while self._events:
                yield self._events.popleft()
            if self._closed:
                return
            self._news.clear()
            await self._news.wait()


class Gateway:
    """Keeps one connection to the station, and the parts that were asked for through it.

    ``audit``: where changes that are asked for are recorded. ``view``: what is known of the station. ``changed``:
    called, without waiting, whenever the view has changed.
    ``run`` has to run beside all else; it never raises for what the station does. ``name``: of the controller,
    ``station``: of the station, known even before it is reached. ``station_file``: where it is described.
    """

    def __init__(
        self,
        socket: Path,
        name: str,
        settings: HandshakeSettings | None = None,
        *,
        station: str = "",
        audit: AuditTrail | None = None,
        station_file: Path | None = None,
    ) -> None:
        self.view = StationView(station=station)
        self.name = name
        self.station_file = station_file
        self.changed: list[Callable[[], None]] = []
        self.heard: list[Callable[[Event], None]] = []
        self._socket = socket
        self._audit = audit
        self._conversation = Conversation(settings or HandshakeSettings(protocol=name))
        self._client: AsyncClient | None = None
        self._futures: dict[Part, asyncio.Future[Outcome]] = {}
        self._streams: set[EventStream] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._may_connect = asyncio.Event()
        self._may_connect.set()

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        """Within this block it does not connect: for work that holds up the loop, and so the heartbeat, for seconds.

        A connection that is there already stays.
        """
        self._may_connect.clear()
        try:
            yield
        finally:
            self._may_connect.set()

    async def run(self) -> None:
        """Connects, and connects again, until it is cancelled."""
        pause_s, told = _FIRST_PAUSE_S, False
        while True:
            while not self._may_connect.is_set():  # one block may follow another at once
                await self._may_connect.wait()
            try:
                async with AsyncClient(self._socket, client=self.name) as client:
                    await self._greet(client)
                    logger.info("connected to the station %s at %s", self.view.station, self._socket)
                    pause_s, told = _FIRST_PAUSE_S, False
                    await self._serve(client)
            except EdgeAdError as error:
                if not told:
                    logger.warning("no station: %s; trying again", error)
                    told = True
            finally:
                self._lost()
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    @contextlib.contextmanager
    def events(self, limit: int = 1_000) -> Iterator[EventStream]:
        """All events of the station from now on, for one reader."""
        stream = EventStream(limit)
        self._streams.add(stream)
        try:
            yield stream
        finally:
            self._streams.discard(stream)
            stream.close()

    @property
    def audit_path(self) -> Path | None:
        """The file of the audit trail, where there is one."""
        return None if self._audit is None else self._audit.path

    # --- parts

    async def inspect(
        self,
        part_id: str | None = None,
        number: int | None = None,
        pixels: NDArray[np.uint8] | None = None,
        camera: str | None = None,
    ) -> Outcome:
        """Triggers a part, or hands its picture in, and waits for its one outcome.

        Raises:
            PartRefusedError: it was not accepted, and is not inspected.
            InputError: the picture cannot be sent.
        """
        return await (await self.begin(part_id, number, pixels, camera))

    async def begin(
        self,
        part_id: str | None = None,
        number: int | None = None,
        pixels: NDArray[np.uint8] | None = None,
        camera: str | None = None,
        recipe: str | None = None,
    ) -> asyncio.Future[Outcome]:
        """As :meth:`inspect`, but returns as soon as the part is accepted.

        ``recipe``: a part that was inspected by another one is INVALID.
        """
        part_id = part_id or None  # empty is no id: two parts without one are not the same
        part = self._conversation.ask(part_id, number, time.monotonic_ns(), recipe)
        if isinstance(part, TriggerRefusal):
            raise PartRefusedError(part)
        future = self._futures[part] = asyncio.get_running_loop().create_future()
        try:
            trigger = await self.trigger(part_id, pixels, camera)
        except BaseException:
            self._conversation.refused(part)
            del self._futures[part]
            raise
        self._finish(self._conversation.accepted(part, trigger, time.monotonic_ns()))
        return future

    async def trigger(
        self, part_id: str | None, pixels: NDArray[np.uint8] | None = None, camera: str | None = None
    ) -> int:
        """Only asks the station, for adapters that keep a conversation of their own: the number of the trigger.

        Raises:
            PartRefusedError: the station refuses, or cannot be reached.
            InputError: the picture cannot be sent.
        """
        try:
            client = self._connected()
            if pixels is None:
                trigger = await client.trigger(part_id)
            else:
                trigger = await client.hand_in(pixels, part_id, camera)
        except LinkRefusedError as error:
            raise PartRefusedError(TriggerRefusal(error.reason, str(error))) from error
        except LinkError as error:
            raise PartRefusedError(TriggerRefusal("station_away", str(error))) from error
        client.give_up(trigger)  # its result comes as an event
        if self._client is not client:  # the connection ended since: a new station counts its triggers anew
            raise PartRefusedError(TriggerRefusal("station_away", "the connection to the station was lost"))
        return trigger

    # --- the station

    @property
    def is_fault(self) -> bool:
        """Whether a reset has something to do: no part is inspected."""
        return self.view.is_fault or self._conversation.is_late_fault

    async def recipe(self, name: str, *, by: str | Who) -> None:
        """Asks for another recipe; ``by``, here and below: who does. What is asked stands in the audit trail first.

        Raises:
            LinkError: the station refuses (``LinkRefusedError``) or cannot be reached.
            OutputError: the audit trail cannot be written; then nothing is asked.
        """
        async with self.audited("recipe", by, target=name, before=self.view.recipe, after=name) as told:
            await self._connected().recipe(name, by=told)

    async def reset(self, *, by: str | Who) -> None:
        """Leaves FAULT; raises as :meth:`recipe`."""
        was_late, was_fault = self._conversation.is_late_fault, self.view.is_fault
        async with self.audited("reset", by, before=self.view.cause) as told:
            if was_late:
                self._conversation.reset()
            try:
                await self._connected().reset(by=told)
            except LinkRefusedError:
                if not was_late:  # else the fault was one of ours, and the station has none
                    raise
            if was_fault:  # without a fault a part stays the same one
                self._conversation.reset()

    async def acknowledge(self, alarm: str, *, by: str | Who) -> None:
        """Somebody has seen an alarm; raises as :meth:`recipe`."""
        async with self.audited("acknowledge", by, target=alarm, before=self.view.alarms.get(alarm)) as told:
            await self._connected().acknowledge(alarm, by=told)

    async def reset_counters(self, *, by: str | Who) -> None:
        """Begins to count anew; raises as :meth:`recipe`."""
        counts = self.view.counts
        before = f"{counts.ok} ok, {counts.ng} ng, {counts.invalid} invalid, {counts.refused} refused"
        async with self.audited("reset_counters", by, before=before) as told:
            client = self._connected()
            await client.reset_counters(by=told)
            await self._look(client)

    async def challenge(
        self, action: ChallengeAction, part: str | None = None, runs: int = 1, *, by: str | Who
    ) -> None:
        """Proves the station; raises as :meth:`recipe`."""
        async with self.audited("challenge", by, target=part, after=action) as told:
            client = self._connected()
            await client.challenge(action, part, runs=runs, by=told)
            await self._look(client)

    @contextlib.asynccontextmanager
    async def audited(self, action: str, by: str | Who, **known: str | None) -> AsyncIterator[str]:
        """Around a change: that it was asked for is recorded before it, and what came of it afterwards.

        Yields who asks, for the station's log. ``known``: what :class:`AuditRecord` may say of it.
        """
        who = by if isinstance(by, Who) else Who(by)
        told = f"{self.name}:{who}" if who.source else who.name
        known |= {"who": who.name, "role": who.role and who.role.value, "source": who.source}
        await self.record(action, "asked", **known)
        try:
            yield told[:_BY_CHARACTERS]
        except LinkRefusedError as error:
            await self.record(action, "refused", **known, detail=str(error))
            raise
        except EdgeAdError as error:
            await self.record(action, "failed", **known, detail=str(error))
            raise
        await self.record(action, "done", **known)

    async def record(self, action: str, result: Result, **known: str | None) -> None:
        """Puts something into the audit trail, where there is one.

        Raises:
            OutputError: it cannot be written.
        """
        if self._audit is not None:
            await asyncio.to_thread(self._audit.record, action, result, **known)

    # --- inside

    def _connected(self) -> AsyncClient:
        if self._client is None:
            raise LinkError(f"no station listens on {self._socket}")
        return self._client

    async def _greet(self, client: AsyncClient) -> None:
        await client.subscribe()
        self.view.begin(await client.snapshot(recent_parts=True))
        self._conversation.begin(self.view.recent_parts)
        self._client = client
        self.view.is_connected = True
        self._tell()

    async def _serve(self, client: AsyncClient) -> None:
        looks = asyncio.create_task(self._look_again(client))
        try:
            while True:
                self._hear(await client.next_event())
        finally:
            while not looks.done():  # before Python 3.12 a cancellation may be swallowed
                looks.cancel()
                await asyncio.wait({looks}, timeout=_AGAIN_S)
            with contextlib.suppress(asyncio.CancelledError, LinkError):
                looks.result()

    async def _look_again(self, client: AsyncClient) -> None:
        while True:
            await asyncio.sleep(_SNAPSHOT_S)
            await self._look(client)

    async def _look(self, client: AsyncClient) -> None:
        self.view.take(await client.snapshot())
        self._tell()

    def _hear(self, event: Event) -> None:
        self.view.hear(event)
        self._finish(self._conversation.hear(event, time.monotonic_ns()))
        for hear in self.heard:
            hear(event)
        for stream in self._streams:
            stream.put(event)
        self._tell()

    def _lost(self) -> None:
        self._client = None
        self.view.lost()
        self._finish(self._conversation.away())
        self._tell()

    def _tell(self) -> None:
        for tell in self.changed:
            tell()

    def _tick(self) -> None:
        self._finish(self._conversation.tick(time.monotonic_ns()))

    def _finish(self, parts: list[Part]) -> None:
        for part in parts:
            future = self._futures.pop(part, None)
            if future is not None and part.outcome is not None and not future.done():
                future.set_result(part.outcome)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due_ns = self._conversation.next_tick_ns()
        if due_ns is not None:
            delay_s = max(0.0, (due_ns - time.monotonic_ns()) / 1e9)
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._tick)
