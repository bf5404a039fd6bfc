"""What a controller's signals bring about, and which signals it is shown. Values in, values out, without a socket.

A protocol gives the controller's signals to :meth:`Signalling.read` whenever it has seen them, carries out the
commands that come back, tells what came of them, and shows ``outputs``.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import msgspec

from edge_ad.controllers.conversation import Conversation, Outcome, Part, TriggerRefusal
from edge_ad.controllers.handshake import (
    SHOWN,
    ExposureState,
    HandshakeEvent,
    RecipeState,
    ResultState,
    TriggerState,
    following,
)
from edge_ad.controllers.settings import SignalSettings
from edge_ad.controllers.signals import (
    PART_ID_BYTES,
    FaultCode,
    Inputs,
    Outputs,
    RefusalCode,
    ResultCode,
    fault_code,
)
from edge_ad.controllers.view import StationView
from edge_ad.link.messages import Event, RecipeChanged
from edge_ad.verdict import State

__all__ = ["AskPart", "AskRecipe", "Command", "ResetCounters", "ResetFault", "Signalling"]


class AskPart(msgspec.Struct, frozen=True):
    """Trigger this part at the station; then ``part_accepted`` or ``part_refused``."""

    part: Part


class AskRecipe(msgspec.Struct, frozen=True):
    """Change to this recipe; ``recipe_refused`` where that cannot be."""

    name: str


class ResetFault(msgspec.Struct, frozen=True):
    """Leave FAULT."""


class ResetCounters(msgspec.Struct, frozen=True):
    """Begin to count anew."""


Command = AskPart | AskRecipe | ResetFault | ResetCounters


@dataclass(slots=True)
class _Deadlines:
    beat_ns: int = 0
    silent_ns: int | None = None
    unread_ns: int | None = None


class Signalling:
    """The signals of one controller.

    ``view``: what is known of the station; whoever owns this object keeps it up to date and calls ``changed``.
    """

    def __init__(self, settings: SignalSettings, view: StationView, now_ns: int) -> None:
        self._settings = settings
        self._view = view
        self.conversation = Conversation(settings, one_at_a_time=True)
        self._inputs = Inputs()
        self._trigger, self._exposure = TriggerState.IDLE, ExposureState.NONE
        self._result, self._recipe = ResultState.NONE, RecipeState.SETTLED
        self._refusal = RefusalCode.NONE
        self._answered_number = 0
        self._asked: Part | None = None
        self._asked_recipe: str | None = None
        self._newest: Part | None = None
        self._waiting: deque[tuple[Outcome, int]] = deque()
        self._shown: Outcome | None = None
        self._valid = False
        self._beats = 0
        self._is_silent = self._is_gone = False
        self._due = _Deadlines(now_ns, self._silent_at(now_ns))
        self.outputs = self._drawn()

    # --- the controller

    def read(self, inputs: Inputs, now_ns: int) -> list[Command]:
        """The controller's signals as they are now."""
        before, self._inputs = self._inputs, inputs
        self._is_gone = False
        commands: list[Command] = []
        if inputs.heartbeat != before.heartbeat:
            self._is_silent = False
            self._due.silent_ns = self._silent_at(now_ns)
        if inputs.trigger and not before.trigger:
            commands += self._trigger_rose(now_ns)
        elif before.trigger and not inputs.trigger:
            self._trigger = following(self._trigger, HandshakeEvent.TRIGGER_FELL)
            self._refusal = RefusalCode.NONE if self._trigger is TriggerState.IDLE else self._refusal
        if inputs.fault_reset and not before.fault_reset:
            self.conversation.reset()
            commands.append(ResetFault())
        if inputs.counter_reset and not before.counter_reset:
            commands.append(ResetCounters())
        if inputs.recipe != before.recipe:
            commands += self._recipe_wanted(inputs.recipe)
        if inputs.result_ack == self._valid:
            self._result = following(self._result, HandshakeEvent.RESULT_READ)
            self._due.unread_ns = None if self._result is ResultState.READ else self._due.unread_ns
        self._go_on(now_ns)
        return commands

    def controller_gone(self, now_ns: int) -> None:
        """The controller cannot be reached, which is as bad as its silence; over as soon as it is read again."""
        self._is_gone = True
        self._go_on(now_ns)

    # --- the station

    def part_accepted(self, part: Part, trigger: int, now_ns: int) -> None:
        """The station has taken the part."""
        if part is self._asked:
            self._trigger = following(self._trigger, HandshakeEvent.PART_ACCEPTED)
            self._asked = None
        self._newest = part
        self._exposure = following(self._exposure, HandshakeEvent.PART_ACCEPTED)
        self._finish(self.conversation.accepted(part, trigger, now_ns), now_ns)

    def part_refused(self, part: Part, refusal: TriggerRefusal, now_ns: int) -> None:
        """The station has not taken the part."""
        self.conversation.refused(part)
        if part is self._asked:
            self._asked = None
            self._refuse(refusal)
        self._go_on(now_ns)

    def recipe_refused(self, now_ns: int) -> None:
        """The station does not change to the wanted recipe."""
        self._recipe = following(self._recipe, HandshakeEvent.RECIPE_REFUSED)
        self._go_on(now_ns)

    def hear(self, event: Event, now_ns: int) -> None:
        """An event of the station."""
        if isinstance(event, RecipeChanged):
            self._recipe_changed(event)
            self._follow_recipe()
        self._finish(self.conversation.hear(event, now_ns), now_ns)

    def changed(self, now_ns: int) -> None:
        """The view of the station has changed."""
        if self._view.is_connected:
            self.conversation.begin(self._view.recent_parts)
        self._follow_recipe()
        self._finish([] if self._view.is_connected else self.conversation.away(), now_ns)

    # --- time

    def tick(self, now_ns: int) -> None:
        """What time alone brings about."""
        if now_ns >= self._due.beat_ns:
            self._beats = (self._beats + 1) % 65_536
            self._due.beat_ns = now_ns + self._settings.heartbeat_ms * 1_000_000
        if self._due.silent_ns is not None and now_ns >= self._due.silent_ns:
            self._is_silent = True
            self._due.silent_ns = None
        if self._due.unread_ns is not None and now_ns >= self._due.unread_ns:
            self._result = following(self._result, HandshakeEvent.NOT_READ_IN_TIME)
            self._due.unread_ns = None
        self._finish(self.conversation.tick(now_ns), now_ns)

    def next_tick_ns(self) -> int:
        """When :meth:`tick` has something to do."""
        if self._waiting and not self._settings.acknowledge:
            return 0
        due = (self._due.beat_ns, self._due.silent_ns, self._due.unread_ns, self.conversation.next_tick_ns())
        return min(one for one in due if one is not None)

    # --- inside

    def _trigger_rose(self, now_ns: int) -> list[Command]:
        withdrawn = self._trigger is TriggerState.WITHDRAWN
        self._trigger = following(self._trigger, HandshakeEvent.TRIGGER_ROSE)
        if withdrawn:
            self._refuse(TriggerRefusal("too_early", "the trigger before this one has no answer yet"))
            return []
        refusal = self._local_refusal()
        self._answered_number = self._inputs.part_number
        number, part_id = self._inputs.part_number or None, self._inputs.part_id or None
        name = part_id or (str(number) if number else None)
        recipe = self._name_of(self._inputs.recipe)
        part = refusal or self.conversation.ask(name, number, now_ns, recipe)
        if isinstance(part, TriggerRefusal):
            self._refuse(part)
            return []
        self._exposure = following(self._exposure, HandshakeEvent.TRIGGER_ROSE)
        self._asked = part
        return [AskPart(part)]

    def _local_refusal(self) -> TriggerRefusal | None:
        if not self._view.is_connected:
            return TriggerRefusal("station_away", "no station is connected")
        if self._is_silent:
            return TriggerRefusal("fault", "the controller's heartbeat stands still")
        if self._recipe in {RecipeState.REQUESTED, RecipeState.FAILED}:
            return TriggerRefusal("recipe_pending", "the wanted recipe is not the active one")
        if self._result is ResultState.NOT_TAKEN:
            return TriggerRefusal("fault", "a result was not taken")
        if len(self._waiting) >= self._settings.max_open:
            return TriggerRefusal("too_many_open", f"{len(self._waiting)} results were not taken yet")
        return None

    def _refuse(self, refusal: TriggerRefusal) -> None:
        self._trigger = following(self._trigger, HandshakeEvent.PART_REFUSED)
        self._refusal = refusal.code if self._trigger is TriggerState.REFUSED else RefusalCode.NONE

    def _recipe_wanted(self, number: int) -> list[Command]:
        name = self._name_of(number)
        if number == 0 or (name is not None and name == self._view.recipe):
            self._recipe = following(self._recipe, HandshakeEvent.RECIPE_WITHDRAWN)
            if number:
                self._recipe = following(
                    following(self._recipe, HandshakeEvent.RECIPE_ASKED), HandshakeEvent.RECIPE_ACTIVE
                )
            return []
        self._recipe = following(self._recipe, HandshakeEvent.RECIPE_ASKED)
        if name is None:
            self._recipe = following(self._recipe, HandshakeEvent.RECIPE_REFUSED)
            return []
        self._asked_recipe = name
        return [AskRecipe(name)]

    def _name_of(self, number: int) -> str | None:
        return self._view.recipes[number - 1] if 0 < number <= len(self._view.recipes) else None

    def _follow_recipe(self) -> None:
        """Somebody else may change the recipe too, and a station that was started again may have another one."""
        name = self._name_of(self._inputs.recipe)
        if not self._view.is_connected:
            self._recipe = following(self._recipe, HandshakeEvent.RECIPE_LOST)
        elif name is not None and name == self._view.recipe and self._recipe is RecipeState.FAILED:
            self._recipe = following(self._recipe, HandshakeEvent.RECIPE_ACTIVE)
        elif self._inputs.recipe and name != self._view.recipe and self._recipe is RecipeState.ACTIVE:
            self._recipe = following(self._recipe, HandshakeEvent.RECIPE_LOST)

    def _recipe_changed(self, event: RecipeChanged) -> None:
        if event.error is not None:
            self._recipe = following(self._recipe, HandshakeEvent.RECIPE_REFUSED)
        elif event.active is not None and event.active == self._asked_recipe:
            # What was asked for counts: the controller may have taken its number back in the meantime.
            self._recipe = following(self._recipe, HandshakeEvent.RECIPE_ACTIVE)

    def _finish(self, parts: list[Part], now_ns: int) -> None:
        for part in parts:
            if part.outcome is not None:
                self._waiting.append((part.outcome, part.asked_ns + self._settings.window_ms * 1_000_000))
        self._go_on(now_ns)

    def _go_on(self, now_ns: int) -> None:
        """Shows the next result where the one before was read, and draws the signals anew."""
        if self._newest is not None and self._newest.exposed:
            self._exposure = following(self._exposure, HandshakeEvent.EXPOSED)
        is_free = not self._settings.acknowledge or self._result in {ResultState.NONE, ResultState.READ}
        if self._waiting and is_free:
            self._show(*self._waiting.popleft(), now_ns)
        if self._shown is not None and self._shown.passes and self._fault() is not FaultCode.NONE:
            self._shown = _failed(self._shown, ResultCode.FAULT)  # no old ACCEPT stands beside a fault
        self.outputs = self._drawn()

    def _show(self, outcome: Outcome, end_ns: int, now_ns: int) -> None:
        if outcome.passes and now_ns >= end_ns:  # it waited for the one before it until its own time was over
            outcome = _failed(outcome, ResultCode.NO_RESULT)
        if not self._settings.acknowledge:
            self._result = ResultState.READ if self._result is ResultState.SHOWN else self._result
        self._shown = outcome
        self._valid = not self._valid
        self._result = following(self._result, HandshakeEvent.RESULT_OUT)
        if self._settings.acknowledge:
            self._due.unread_ns = now_ns + self._settings.acknowledge_ms * 1_000_000

    def _silent_at(self, now_ns: int) -> int | None:
        limit = self._settings.controller_silent_ms
        return None if limit is None else now_ns + limit * 1_000_000

    def _fault(self) -> FaultCode:
        if not self._view.is_connected:
            return FaultCode.STATION_AWAY
        if self._view.is_fault:
            return fault_code(self._view.causes)
        if self.conversation.is_late_fault:
            return FaultCode.LATE_RESULTS
        if self._is_silent or self._is_gone:
            return FaultCode.CONTROLLER_SILENT
        return FaultCode.RESULT_NOT_TAKEN if self._result is ResultState.NOT_TAKEN else FaultCode.NONE

    def _drawn(self) -> Outputs:
        fault, shown, view = self._fault(), self._shown, self._view
        states = (self._trigger, self._exposure, self._result, self._recipe)
        signals = {name: True for state in states for name in SHOWN.get(state, ())}
        is_safe = fault is FaultCode.NONE
        is_exposing = self.conversation.one_at_a_time and self.conversation.is_exposing
        settled = self._recipe not in {RecipeState.REQUESTED, RecipeState.FAILED}
        counts = view.counts
        return Outputs(
            **signals,
            ready=is_safe and view.takes_triggers and settled and not is_exposing and self._asked is None,
            busy=bool(self.conversation.open),
            result_valid=self._valid,
            ok=shown is not None and shown.passes,
            ng=not is_safe or (shown is not None and not shown.passes),
            error=not is_safe or (shown is not None and shown.state is State.INVALID),
            fault=not is_safe,
            alarm=bool(view.alarms),
            heartbeat=self._beats,
            refusal_code=self._refusal,
            fault_code=fault,
            result_code=ResultCode.NONE if shown is None else shown.code,
            recipe_active=view.number_of(view.recipe),
            recipe_requested=view.number_of(view.requested_recipe),
            trigger_part_number=self._answered_number if signals.keys() & {"trigger_ack", "trigger_error"} else 0,
            result_part_number=0 if shown is None else shown.number or 0,
            result_part_id=cut_text("" if shown is None else shown.part_id or ""),
            score=_number(None if shown is None else shown.score),
            threshold=_number(None if shown is None else shown.threshold),
            latency_ms=_number(None if shown is None else shown.latency_ms),
            count_total=counts.total,
            count_ok=counts.ok,
            count_ng=counts.ng,
            count_invalid=counts.invalid,
            count_refused=counts.refused,
        )


def cut_text(text: str) -> str:
    """As much of a text as fits ``PART_ID_BYTES`` bytes of UTF-8, without a broken character."""
    return text.encode()[:PART_ID_BYTES].decode(errors="ignore")


def _failed(outcome: Outcome, code: ResultCode) -> Outcome:
    return msgspec.structs.replace(outcome, state=State.INVALID, code=code)


def _number(value: float | None) -> float:
    return math.nan if value is None else value
