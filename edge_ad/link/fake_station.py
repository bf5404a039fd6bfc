"""A station without cameras and models, for everybody who writes a client.

The protocol is the real one, served by the real ``LinkServer``; only the verdicts are made up.
"""

from __future__ import annotations

import select
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from edge_ad.errors import LinkTimeoutError
from edge_ad.link.ledger import Ledger, OpenTrigger
from edge_ad.link.messages import (
    Accepted,
    AcknowledgeRequest,
    AlarmChanged,
    ChallengeFacts,
    ChallengeRequest,
    Done,
    Event,
    ExposureComplete,
    FaultRaised,
    FrameRequest,
    InspectionFacts,
    PartResult,
    PresentCounts,
    RecipeChanged,
    RecipeRequest,
    Refused,
    ResetCountersRequest,
    ResetRequest,
    Snapshot,
    SnapshotRequest,
    StateChanged,
    StationRequest,
    StationState,
    TriggerRequest,
    UpdateChanged,
    UpdateRequest,
)
from edge_ad.link.protocol import LinkLimits
from edge_ad.link.server import ClientRequest, LinkServer
from edge_ad.verdict import State, Verdict

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["FakeStation", "Judgement", "RecordedRequest"]


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """What a client asked. ``pixels``: of a frame, uint8 (H, W, 3) or (H, W), read-only."""

    client: int
    request: StationRequest
    pixels: NDArray[np.uint8] | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the fake says about one part; ``verdicts``: one a frame, with what scores a test wants to see."""

    state: State = State.ACCEPT
    reason: str | None = None
    verdicts: tuple[Verdict, ...] = ()


class FakeStation:
    """Serves the link in a thread of its own until it is closed. Every part is accepted, unless told otherwise.

    ``judge``: is asked for each part. ``recipes``: those it knows, and begins with the first of; without them it takes
    every name. ``requests``: everything that clients asked, in its order, with frames' pixels.
    ``published``: everything that was told to anybody. Of both only the newest ``keep`` stay, where it is given.

    >>> with FakeStation(path) as station, Client(path) as link:    # doctest: +SKIP
    ...     station.hold()
    ...     trigger = link.trigger("A-17")
    ...     station.fault("camera_lost")
    """

    def __init__(
        self,
        path: Path | str,
        *,
        station: str = "fake",
        judge: Callable[[RecordedRequest], Judgement] | None = None,
        recipes: tuple[str, ...] = (),
        keep: int | None = None,
        limits: LinkLimits | None = None,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.requests: list[RecordedRequest] = []
        self.published: list[Event] = []
        self._keep = keep
        self._recorded = 0
        self._held = False
        self._station = station
        self._judge = judge or (lambda _: Judgement())
        self._clock = clock
        self._ledger = Ledger()
        self._asked: dict[int, tuple[RecordedRequest, int]] = {}
        self._state = StateChanged(state=StationState.STARTING)
        self._recipes = recipes
        self._recipe = next(iter(recipes), "default")
        self._counts: dict[str, PresentCounts] = {}
        self._refusal: str | None = None
        self._alarms: dict[str, str] = {}
        self._drift: dict[str, str] = {}
        self._inspections: dict[str, InspectionFacts] = {}
        self._challenge: ChallengeFacts | None = None
        self._silent = self._closed = False
        self._changed = threading.Condition()
        self._server = LinkServer(Path(path), station=station, limits=limits, clock=clock)
        self._publish(StateChanged(state=StationState.READY))
        self._thread = threading.Thread(target=self._run, name="fake station", daemon=True)
        self._thread.start()

    def __enter__(self) -> FakeStation:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- what it is told to do

    def hold(self) -> None:
        """From now on results wait for ``release``."""
        with self._changed:
            self._held = True

    def release(self) -> None:
        """Gives the results that waited, in the order of their triggers."""
        with self._changed:
            self._held = False
            for trigger in self._ledger.open:
                self._give_result(trigger.number)

    def refuse(self, reason: str | None) -> None:
        """Triggers and frames are refused with this reason; ``None``: they are taken again."""
        with self._changed:
            self._refusal = reason

    def fault(self, cause: str, name: str | None = None) -> None:
        """Goes into FAULT: open triggers get no result, new ones are refused until a client resets.

        ``name``: what has failed, as a station names it, such as ``camera top``; the cause itself otherwise.
        """
        with self._changed:
            self._publish(StateChanged(state=StationState.FAULT, cause=cause, causes=(name or cause,)))
            closed = self._ledger.fault()
            self._asked.clear()
            to = {client: name for trigger in closed for client, name in trigger.to.items()}
            self._publish(FaultRaised(cause=cause, triggers=tuple(one.number for one in closed)), to)

    def alarm(self, alarm: str, text: str) -> None:
        """Raises an alarm, until a client acknowledges it."""
        with self._changed:
            self._alarms[alarm] = text
            self._publish(AlarmChanged(alarm=alarm, text=text))

    def drift(self, inspection: str, state: str) -> None:
        """From now on the snapshot gives this drift state of an inspection."""
        with self._changed:
            self._drift[inspection] = state

    def scores(self, inspection: str, facts: InspectionFacts) -> None:
        """From now on the snapshot says that an inspection scores with this."""
        with self._changed:
            self._inspections[inspection] = facts

    def challenge(self, facts: ChallengeFacts | None) -> None:
        """From now on the snapshot says this of the proof of the recipe; with it requests for a challenge are done."""
        with self._changed:
            self._challenge = facts

    def publish(self, event: Event) -> None:
        """Tells this to all subscribers, true or not: for tests of clients that must not believe everything."""
        with self._changed:
            self._publish(event)

    def go_silent(self) -> None:
        """Hangs: nothing is read, nothing is sent, not even heartbeats."""
        with self._changed:
            self._silent = True

    def speak(self) -> None:
        """Goes on after ``go_silent``."""
        with self._changed:
            self._silent = False

    def wait_for(self, count: int, *, timeout_s: float = 60.0) -> list[RecordedRequest]:
        """The requests, as soon as there were ``count``.

        Raises:
            LinkTimeoutError: there are still fewer.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._recorded >= count, timeout_s):
                raise LinkTimeoutError(f"expected {count} requests within {timeout_s:g} s, found {self._recorded}")
            return list(self.requests)

    @property
    def open(self) -> tuple[OpenTrigger, ...]:
        """Accepted triggers that have neither a result nor a fault."""
        with self._changed:
            return self._ledger.open

    @property
    def clients(self) -> dict[int, str]:
        """Who is connected: number and name."""
        with self._changed:
            return self._server.clients

    def close(self) -> None:
        """Ends the thread and removes the socket. May be called twice."""
        with self._changed:
            self._closed = True
        self._thread.join()
        self._server.close()

    # --- the loop

    def _run(self) -> None:
        wait = select.poll()
        wait.register(self._server, select.POLLIN)
        while True:
            wait.poll(20)  # commands of other threads only set what the next turn reads
            with self._changed:
                if self._closed:
                    return
                if self._silent:
                    continue
                for asked in self._server.ready():
                    self._record(asked)
                self._server.tick(self._clock())

    def _record(self, asked: ClientRequest) -> None:
        pixels = None
        if asked.frame is not None:
            pixels = asked.frame.view()
            asked.frame.close()
        recorded = RecordedRequest(asked.client, asked.request, pixels)
        self.requests.append(recorded)
        self._recorded += 1
        self._forget()
        self._deal(recorded)
        self._changed.notify_all()

    def _deal(self, asked: RecordedRequest) -> None:
        request, client = asked.request, asked.client
        if isinstance(request, TriggerRequest | FrameRequest):
            self._triggered(asked, request)
        elif isinstance(request, SnapshotRequest):
            self._server.answer(client, self._snapshot(request.id))
        elif isinstance(request, RecipeRequest):
            self._recipe_asked(client, request)
        elif isinstance(request, AcknowledgeRequest):
            self._acknowledged(client, request)
        elif isinstance(request, UpdateRequest):
            self._update_asked(client, request)
        elif isinstance(request, ChallengeRequest):
            if self._challenge is None:
                self._server.answer(client, Refused(id=request.id, reason="no_challenge"))
            else:
                self._server.answer(client, Done(id=request.id))
        elif isinstance(request, ResetCountersRequest):
            self._counts.clear()
            self._server.answer(client, Done(id=request.id))
        else:
            self._reset(client, request)

    def _triggered(self, asked: RecordedRequest, request: TriggerRequest | FrameRequest) -> None:
        reason = self._refusal or self._ledger.refusal(asked.client, request.id)
        if self._state.state is not StationState.READY:
            reason = "not_ready"
        if reason is not None:
            self._server.answer(asked.client, Refused(id=request.id, reason=reason))
            return
        trigger = self._ledger.accept(asked.client, request.id, request.part_id)
        self._asked[trigger.number] = asked, self._clock()
        self._server.answer(asked.client, Accepted(id=request.id, trigger=trigger.number))
        self._publish(ExposureComplete(trigger=trigger.number, part_id=trigger.part_id), trigger.to)
        if not self._held:
            self._give_result(trigger.number)

    def _give_result(self, number: int) -> None:
        trigger = self._ledger.settle(number)
        if trigger is None:
            return
        asked, began_ns = self._asked.pop(number)
        said = self._judge(asked)
        result = PartResult(
            trigger=number,
            part_id=trigger.part_id,
            state=said.state,
            reason=said.reason,
            verdicts=said.verdicts,
            recipe=self._recipe,
            latency_ms=(self._clock() - began_ns) / 1e6,
        )
        self._count(result)
        self._publish(result, trigger.to)

    def _recipe_asked(self, client: int, request: RecipeRequest) -> None:
        if self._recipes and request.name not in self._recipes:
            self._server.answer(client, Refused(id=request.id, reason="unknown_recipe", detail=request.name))
            return
        self._server.answer(client, Done(id=request.id))
        self._publish(RecipeChanged(requested=request.name, active=self._recipe))
        self._recipe = request.name
        self._publish(RecipeChanged(requested=request.name, active=request.name, acknowledged=True))

    def _update_asked(self, client: int, request: UpdateRequest) -> None:
        self._server.answer(client, Done(id=request.id))
        for step in ("SWITCHED", "WATCHED", "KEPT"):
            self._publish(UpdateChanged(bundle=request.bundle, slot=request.slot, title="fake@1", step=step))

    def _acknowledged(self, client: int, request: AcknowledgeRequest) -> None:
        if request.alarm == "recipe":  # the change of the recipe
            self._server.answer(client, Done(id=request.id))
            self._publish(RecipeChanged(requested=self._recipe, active=self._recipe, acknowledged=True))
            return
        text = self._alarms.pop(request.alarm, None)
        if text is None:
            self._server.answer(client, Refused(id=request.id, reason="unknown_alarm", detail=request.alarm))
            return
        self._server.answer(client, Done(id=request.id))
        self._publish(AlarmChanged(alarm=request.alarm, text=text, active=False, acknowledged=True))

    def _reset(self, client: int, request: ResetRequest) -> None:
        if self._state.state is not StationState.FAULT:
            self._server.answer(client, Refused(id=request.id, reason="not_in_fault"))
            return
        self._server.answer(client, Done(id=request.id))
        self._publish(StateChanged(state=StationState.READY))

    def _snapshot(self, name: str) -> Snapshot:
        return Snapshot(
            id=name,
            station=self._station,
            version="fake",
            state=self._state.state,
            cause=self._state.cause,
            recipe=self._recipe,
            recipes=self._recipes or (self._recipe,),
            open_triggers=tuple(trigger.number for trigger in self._ledger.open),
            alarms=dict(self._alarms),
            counters={"requests": self._recorded},
            counts=self._present(self._recipe),
            drift=dict(self._drift),
            inspections=dict(self._inspections),
            files={"log": "ok"},
            challenge=self._challenge,
        )

    def _present(self, recipe: str) -> PresentCounts:
        return self._counts.get(recipe) or PresentCounts(
            recipe=recipe, since="2026-01-01T06:00", parts=dict.fromkeys(State.__members__, 0)
        )

    def _count(self, result: PartResult) -> None:
        before = self._present(result.recipe or "")
        parts = before.parts | {result.state.value: before.parts[result.state.value] + 1}
        reason = result.reason
        invalid = before.invalid if reason is None else before.invalid | {reason: before.invalid.get(reason, 0) + 1}
        self._counts[before.recipe] = replace(before, parts=parts, invalid=invalid)

    def _publish(self, event: Event, to: dict[int, str] | None = None) -> None:
        if isinstance(event, StateChanged):
            self._state = event
        self.published.append(event)
        self._server.publish(event, to=to)

    def _forget(self) -> None:
        if self._keep is not None:
            del self.requests[: -self._keep or None], self.published[: -self._keep or None]
