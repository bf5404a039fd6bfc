"""The parts of a station as jobs and results: those that clients of this server asked for, and everybody else's."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone

from edge_ad.controllers.conversation import Conversation, Outcome, Part, TriggerRefusal, outcome_of
from edge_ad.controllers.gateway import Gateway, PartRefusedError
from edge_ad.controllers.settings import HandshakeSettings
from edge_ad.errors import EdgeAdError
from edge_ad.link.messages import Event, ExposureComplete, PartResult

__all__ = ["Jobs", "PublishedResult", "VisionJob"]

_TRIGGERS_KEPT = 1_000


@dataclass(slots=True, eq=False)
class VisionJob:
    """A part that a client asked for. ``outcome`` is set exactly once."""

    job_id: str
    meas_id: str
    part: Part
    outcome: asyncio.Future[Outcome]
    started: datetime


@dataclass(frozen=True, slots=True)
class PublishedResult:
    """One result, also of a part that somebody else triggered; then ``job`` is missing."""

    result_id: str
    outcome: Outcome
    job: VisionJob | None
    created: datetime


class Jobs:
    """Follows the parts. Calls ``on_started``, ``on_exposed`` and ``on_result``, without waiting, in their order."""

    def __init__(self, gateway: Gateway, settings: HandshakeSettings, kept: int) -> None:
        self.conversation = Conversation(settings, one_at_a_time=True)
        self.on_started: Callable[[VisionJob], None] = lambda _: None
        self.on_exposed: Callable[[VisionJob], None] = lambda _: None
        self.on_result: Callable[[PublishedResult], None] = lambda _: None
        self.results: OrderedDict[str, PublishedResult] = OrderedDict()
        self._kept = kept
        self._gateway = gateway
        self._jobs: dict[Part, VisionJob] = {}
        self._ours: deque[int] = deque(maxlen=_TRIGGERS_KEPT)
        self._held: list[PartResult] = []
        self._run = uuid.uuid4().hex[:12]
        self._count = 0
        self._timer: asyncio.TimerHandle | None = None

    def follow(self) -> None:
        """From now on the station is heard."""
        self._gateway.heard.append(self._heard)
        self._gateway.changed.append(self._changed)
        self._changed()

    def leave(self) -> None:
        """The station is not heard any more."""
        self._gateway.heard.remove(self._heard)
        self._gateway.changed.remove(self._changed)
        if self._timer is not None:
            self._timer.cancel()

    async def start(self, part_id: str | None, meas_id: str, recipe: str | None = None) -> VisionJob:
        """Triggers a part. Must not be cancelled: the station may have accepted it.

        ``recipe``: a part that was inspected by another one is INVALID.

        Raises:
            PartRefusedError: it is not inspected.
        """
        part = self.conversation.ask(part_id, None, time.monotonic_ns(), recipe)
        if isinstance(part, TriggerRefusal):
            raise PartRefusedError(part)
        job = VisionJob(
            f"{self._run}-{self._next()}",
            meas_id,
            part,
            asyncio.get_running_loop().create_future(),
            datetime.now(timezone.utc),
        )
        self._jobs[part] = job
        try:
            trigger = await self._gateway.trigger(part_id)
        except EdgeAdError as error:
            self.conversation.refused(part)
            del self._jobs[part]
            self._release()
            if isinstance(error, PartRefusedError):
                raise
            raise PartRefusedError(TriggerRefusal("bad_part", str(error))) from error
        self._ours.append(trigger)
        self.on_started(job)
        finished = self.conversation.accepted(part, trigger, time.monotonic_ns())
        if part.exposed:
            self.on_exposed(job)
        self._finish(finished)
        self._release()
        return job

    # --- inside

    def _heard(self, event: Event) -> None:
        waiting = {part for part in self.conversation.open if not part.exposed}
        finished = self.conversation.hear(event, time.monotonic_ns())
        if isinstance(event, ExposureComplete):
            for part in waiting:
                if part.exposed:
                    self.on_exposed(self._jobs[part])
        self._finish(finished)
        if isinstance(event, PartResult) and not finished:
            self._held.append(event)
            self._release()

    def _changed(self) -> None:
        view = self._gateway.view
        if view.is_connected:
            self.conversation.begin(view.recent_parts)
        else:
            self._finish(self.conversation.away())

    def _release(self) -> None:
        """Results that are nobody's here are published, once it is certain that they are nobody's."""
        if any(part.trigger is None for part in self.conversation.open):
            return
        held, self._held = self._held, []
        for event in held:
            if event.trigger not in self._ours:
                self._publish(outcome_of(event), None)

    def _finish(self, parts: list[Part]) -> None:
        for part in parts:
            job = self._jobs.pop(part)
            assert part.outcome is not None  # noqa: S101
            self._publish(part.outcome, job)
            if not job.outcome.done():
                job.outcome.set_result(part.outcome)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due_ns = self.conversation.next_tick_ns()
        if due_ns is not None:
            delay_s = max(0.0, (due_ns - time.monotonic_ns()) / 1e9)
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._tick)

    def _tick(self) -> None:
        self._finish(self.conversation.tick(time.monotonic_ns()))

    def _publish(self, outcome: Outcome, job: VisionJob | None) -> None:
        result = PublishedResult(f"{self._run}-{self._next()}", outcome, job, datetime.now(timezone.utc))
        self.results[result.result_id] = result
        while len(self.results) > self._kept:
            self.results.popitem(last=False)
        self.on_result(result)

    def _next(self) -> int:
        self._count += 1
        return self._count
