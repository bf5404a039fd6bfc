"""Commands of the broker: each is answered once, and the same part is inspected once."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import msgspec

from edge_ad.controllers.conversation import Outcome, outcome_of
from edge_ad.controllers.gateway import Gateway, PartRefusedError
from edge_ad.controllers.mqtt.broker import PAYLOAD_BYTES, Incoming
from edge_ad.controllers.mqtt.messages import (
    COMMANDS,
    AcknowledgeCommand,
    Answer,
    Command,
    RecipeCommand,
    ResetCommand,
    ResultMessage,
    TriggerCommand,
)
from edge_ad.controllers.mqtt.mqtt_settings import MqttSettings
from edge_ad.errors import EdgeAdError, LinkRefusedError, one_line
from edge_ad.link.messages import PartResult

__all__ = ["Commands"]

logger = logging.getLogger(__name__)

_BEAT_S = 0.1
_AT_ONCE = 256
_LATE_KEPT = 1_000
_SAME_PART = 16
_TOPIC_CHARACTERS = 256


@dataclass(slots=True)
class _Asked:
    """A part that was triggered. ``held``: what was heard of parts of its name before it had its outcome."""

    to: list[Incoming]
    result: ResultMessage | None = None
    held: list[PartResult] = field(default_factory=list)


class Commands:
    """``publish``: publishes an outcome. ``answer``: sends it to whoever asked. ``drop``: begins another session.

    A part id that was triggered before, and is among the ``recent`` ones, is answered with the result of then.
    """

    def __init__(
        self,
        settings: MqttSettings,
        gateway: Gateway,
        name: str,
        publish: Callable[[Outcome], ResultMessage],
        answer: Callable[[Incoming, Answer], None],
        drop: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._gateway = gateway
        self._name = name
        self._publish = publish
        self._answer = answer
        self._drop = drop
        self._parts: OrderedDict[str, _Asked] = OrderedDict()
        self._settled: deque[tuple[int | None, str | None]] = deque(maxlen=_LATE_KEPT)
        self._tasks: set[asyncio.Task[None]] = set()
        self._beat = time.monotonic()
        self._finished: deque[str] = deque()

    async def watch(self) -> None:
        """Notices when this process was stopped for a time: what the broker sent since then is old."""
        while True:
            await asyncio.sleep(_BEAT_S)
            self._is_stale()

    async def close(self) -> None:
        """Nothing that was asked is waited for any more."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def takes(self, event: PartResult) -> bool:
        """Whether a result belongs to a part that was asked for here: it is published with the part's outcome."""
        if (event.trigger, event.part_id) in self._settled:
            return True  # it comes too late, and is nobody's
        asked = self._parts.get(event.part_id or "")
        if asked is None or asked.result is not None:
            return False
        asked.held.append(event)
        return True

    def hear(self, message: Incoming, name: str) -> None:
        """A message below ``command/``; never raises."""
        if self._is_stale():
            return
        if message.response_topic is not None and not _may_answer(message.response_topic, message.topic):
            message = replace(message, response_topic=None)
            refusal: Answer | None = _refused(name, "bad_request", "no answer may be sent to this response topic")
        else:
            refusal = self._refusal(message, name)
        if refusal is not None:
            self._answer(message, refusal)
            return
        try:
            command = msgspec.json.decode(message.payload or b"{}", type=COMMANDS[name])
        except (msgspec.DecodeError, ValueError) as error:
            self._answer(message, _refused(name, "bad_request", one_line(error)[:200]))
            return
        if isinstance(command, TriggerCommand) and self._repeats(message, command):
            return
        task = asyncio.get_running_loop().create_task(self._carry_out(message, name, command))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- inside

    def _is_stale(self) -> bool:
        """Whether this process stood still, so that what it reads now may have waited; then another session begins."""
        before, self._beat = self._beat, time.monotonic()
        stood_ms = (self._beat - before) * 1e3
        if stood_ms <= self._settings.stale_ms:
            return False
        self._drop(f"this process stood still for {stood_ms:.0f} ms: commands of this time are not carried out")
        return True

    def _refusal(self, message: Incoming, name: str) -> Answer | None:
        if name not in COMMANDS:
            return _refused(name[:64], "bad_request", f"no such command: there are {', '.join(COMMANDS)}")
        if message.is_retained:
            return _refused(name, "retained", "commands must not be retained: they would be carried out again")
        if len(message.payload) > PAYLOAD_BYTES:
            found = len(message.payload)
            return _refused(name, "bad_request", f"expected at most {PAYLOAD_BYTES} bytes, found {found}")
        if len(self._tasks) >= _AT_ONCE:
            return _refused(name, "too_many_open", f"{len(self._tasks)} commands are not answered yet")
        return None

    def _repeats(self, message: Incoming, command: TriggerCommand) -> bool:
        """Whether this part was triggered before; then the answer is, or will be, that of the first time."""
        asked = self._parts.get(command.part_id)
        if asked is None:
            self._parts[command.part_id] = _Asked([message])
            return False
        if asked.result is not None:
            self._answer(message, _inspected(asked.result, repeated=True))
        elif len(asked.to) < _SAME_PART:
            asked.to.append(message)
        else:
            refusal = _refused("trigger", "duplicate", "this part was asked for often enough, and has no result yet")
            self._answer(message, msgspec.structs.replace(refusal, part_id=command.part_id))
        return True

    async def _carry_out(self, message: Incoming, name: str, command: Command) -> None:
        if isinstance(command, TriggerCommand):
            await self._inspect(command.part_id)
            return
        by = f"{self._name}: {command.by}"[:128] if command.by else self._name
        try:
            if isinstance(command, RecipeCommand):
                await self._gateway.recipe(command.name, by=by)
            elif isinstance(command, AcknowledgeCommand):
                await self._gateway.acknowledge(command.alarm, by=by)
            elif isinstance(command, ResetCommand):
                was_fault = self._gateway.is_fault
                await self._gateway.reset(by=by)
                if was_fault:
                    self._forget()
            else:
                await self._gateway.reset_counters(by=by)
        except EdgeAdError as error:
            reason = error.reason if isinstance(error, LinkRefusedError) else "station_away"
            self._answer(message, _refused(name, reason, one_line(error)))
        else:
            self._answer(message, Answer(command=name, done=True))

    async def _inspect(self, part_id: str) -> None:
        asked = self._parts[part_id]
        try:
            outcome = await (await self._gateway.begin(part_id))
        except EdgeAdError as error:
            del self._parts[part_id]
            reason = error.reason if isinstance(error, LinkRefusedError) else "bad_part"
            detail = error.refusal.detail if isinstance(error, PartRefusedError) else one_line(error)
            answer = msgspec.structs.replace(_refused("trigger", reason, detail), part_id=part_id)
            others = asked.held
        else:
            self._settled.append((outcome.trigger, part_id))
            asked.result = self._publish(outcome)
            self._remember(part_id)
            answer = _inspected(asked.result)
            others = [one for one in asked.held if one.trigger != outcome.trigger]
        for event in others:  # somebody else had triggered a part of the same name
            self._publish(outcome_of(event))
        asked.held = []
        for message in asked.to:
            self._answer(message, answer)
        asked.to = []

    def _remember(self, part_id: str) -> None:
        self._finished.append(part_id)
        while len(self._finished) > self._settings.recent:
            del self._parts[self._finished.popleft()]

    def _forget(self) -> None:
        while self._finished:
            del self._parts[self._finished.popleft()]


def _refused(command: str, reason: str, detail: str) -> Answer:
    return Answer(command=command, done=False, reason=reason, detail=detail)


def _inspected(result: ResultMessage, *, repeated: bool = False) -> Answer:
    return Answer(command="trigger", done=True, part_id=result.part_id, repeated=repeated, result=result)


def _may_answer(topic: str, command: str) -> bool:
    """Not to the topics of this station, which would be answered again, or believed."""
    base = command.rpartition("/command/")[0]
    if not 0 < len(topic) <= _TOPIC_CHARACTERS or topic.startswith("$") or set(topic) & set("+#\0"):
        return False
    return not topic.startswith(f"{base}/") or topic.startswith(f"{base}/answer")
