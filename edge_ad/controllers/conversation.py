"""From trigger to outcome: the rules that hold for a controller whatever its protocol is. Values in, values out.

A trigger that was accepted gets exactly one outcome. Where the station gives none in time, the outcome says so, and
means reject; a result that comes later is nobody's. Time is an argument, in nanoseconds of a clock that never goes
back.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field

import msgspec

from edge_ad.controllers.settings import HandshakeSettings
from edge_ad.controllers.signals import RefusalCode, ResultCode, refusal_code, result_code
from edge_ad.link.messages import PART_ID_CHARACTERS, Event, ExposureComplete, FaultRaised, PartResult
from edge_ad.verdict import State

__all__ = ["Conversation", "Outcome", "Part", "TriggerRefusal", "outcome_of"]

_EARLY_KEPT = 256


class TriggerRefusal(msgspec.Struct, frozen=True):
    """A trigger is not accepted. ``reason``: a short word, ``detail``: a sentence for people."""

    reason: str
    detail: str

    @property
    def code(self) -> RefusalCode:
        """The number of ``reason``."""
        return refusal_code(self.reason)


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The one answer to an accepted trigger; also what is told of parts that somebody else triggered.

    ``number``: the controller's own, ``None`` where it gave none; ``trigger``: the station's. ``score``,
    ``threshold``: of the frame that is furthest over its threshold, ``None`` without one. ``result``: what the station
    said, where it said anything.
    """

    part_id: str | None
    number: int | None
    trigger: int | None = None
    state: State
    code: ResultCode
    detail: str | None = None
    recipe: str | None = None
    latency_ms: float | None = None
    score: float | None = None
    threshold: float | None = None
    result: PartResult | None = None

    @property
    def passes(self) -> bool:
        """True for ``ACCEPT`` alone."""
        return self.state is State.ACCEPT


@dataclass(slots=True, eq=False)
class Part:
    """A part that was asked for. ``trigger``: the station's number, once it has accepted.

    ``recipe``: by which it has to be inspected, where the controller says so.
    """

    part_id: str | None
    number: int | None
    asked_ns: int
    recipe: str | None = None
    trigger: int | None = None
    exposed: bool = False
    outcome: Outcome | None = None


@dataclass(slots=True)
class Conversation:
    """Follows the parts of one controller.

    ``one_at_a_time``: a part has to be exposed before the next one is triggered, as at a line. ``late``: how many parts
    in a row had no result in time. From ``settings.late_limit`` on triggers are refused until ``reset``.
    """

    settings: HandshakeSettings
    one_at_a_time: bool = False
    late: int = 0
    open: list[Part] = field(default_factory=list)
    _recent: OrderedDict[str | int, None] = field(default_factory=OrderedDict)
    _last_number: int | None = None
    _has_begun: bool = False
    _early: deque[PartResult | FaultRaised | ExposureComplete] = field(
        default_factory=lambda: deque(maxlen=_EARLY_KEPT)
    )

    @property
    def is_late_fault(self) -> bool:
        """Too many results in a row did not come in time."""
        return self.late >= self.settings.late_limit

    @property
    def is_exposing(self) -> bool:
        """A part has to stay under its camera."""
        return any(not part.exposed for part in self.open)

    def begin(self, recent_parts: tuple[str, ...]) -> None:
        """What the station knows of parts that were triggered before this process began. Only the first call counts."""
        if not self._has_begun:
            self._has_begun = True
            self._recent.update(dict.fromkeys(recent_parts))
            self._make_room()

    # --- triggers

    def ask(
        self, part_id: str | None, number: int | None, now_ns: int, recipe: str | None = None
    ) -> Part | TriggerRefusal:
        """The controller asks for a part: one to be passed on to the station, or why not."""
        refusal = self._refusal(part_id, number)
        if refusal is not None:
            return refusal
        part = Part(part_id, number, now_ns, recipe)
        self.open.append(part)
        return part

    def accepted(self, part: Part, trigger: int, now_ns: int) -> list[Part]:
        """The station has accepted. The parts that are finished by what it said even before."""
        part.trigger = trigger
        self._remember(part)
        early = [one for one in self._early if trigger in _triggers(one)]
        return [done for event in early for done in self.hear(event, now_ns)]

    def refused(self, part: Part) -> None:
        """The station has refused, or could not be asked: there is no such part."""
        self._drop(part)

    # --- what comes back

    def hear(self, event: Event, now_ns: int) -> list[Part]:
        """An event of the station. The parts that have their outcome by it."""
        if not isinstance(event, PartResult | FaultRaised | ExposureComplete):
            return []
        if any(part.trigger is None for part in self.open):
            self._early.append(event)
        parts = [part for part in self.open if part.trigger in _triggers(event)]
        if isinstance(event, ExposureComplete):
            for part in parts:
                part.exposed = True
            return []
        if isinstance(event, FaultRaised):
            return [self._end(part, ResultCode.FAULT, event.cause) for part in parts]
        return [self._answered(part, event, now_ns) for part in parts]

    def away(self) -> list[Part]:
        """The station cannot be heard any more: every accepted part is finished by that."""
        self._early.clear()
        text = "the connection to the station was lost"
        return [self._end(part, ResultCode.STATION_AWAY, text) for part in list(self.open) if part.trigger is not None]

    def tick(self, now_ns: int) -> list[Part]:
        """The parts whose time is over."""
        return [
            self._too_late(part)
            for part in list(self.open)
            if part.trigger is not None and self._end_ns(part) <= now_ns
        ]

    def next_tick_ns(self) -> int | None:
        """When :meth:`tick` has something to do."""
        return min((self._end_ns(part) for part in self.open if part.trigger is not None), default=None)

    def reset(self) -> None:
        """Somebody has looked: results that came too late are forgotten, and part numbers may begin anew."""
        self.late = 0
        self._recent.clear()
        self._last_number = None

    # --- inside

    def _refusal(self, part_id: str | None, number: int | None) -> TriggerRefusal | None:
        if self.is_late_fault:
            return TriggerRefusal("fault", f"{self.late} results in a row did not come in time: reset the fault")
        if self.one_at_a_time and self.is_exposing:
            return TriggerRefusal("too_early", "the part before this one is still exposed: wait for exposure complete")
        if len(self.open) >= self.settings.max_open:
            return TriggerRefusal("too_many_open", f"{len(self.open)} parts have no result yet")
        return self._wrong_name(part_id, number)

    def _wrong_name(self, part_id: str | None, number: int | None) -> TriggerRefusal | None:
        if part_id is not None and len(part_id) > PART_ID_CHARACTERS:
            return TriggerRefusal(
                "bad_part", f"a part id has at most {PART_ID_CHARACTERS} characters, found {len(part_id)}"
            )
        for name in (part_id, number):
            if name is not None and (
                name in self._recent or any(name in (one.part_id, one.number) for one in self.open)
            ):
                return TriggerRefusal("duplicate", f"the part {name} was triggered already")
        if self.settings.ordered and number is not None and not self._rises(number):
            return TriggerRefusal("out_of_order", f"expected a part number above {self._last_number}, found {number}")
        return None

    def _rises(self, number: int) -> bool:
        """Whether a number follows the last one; 32-bit numbers wrap (serial number arithmetic, RFC 1982)."""
        return self._last_number is None or 0 < (number - self._last_number) % 2**32 < 2**31

    def _remember(self, part: Part) -> None:
        if part.number is not None:
            self._last_number = part.number
        for name in (part.part_id, part.number):
            if name is not None:
                self._recent[name] = None
        self._make_room()

    def _make_room(self) -> None:
        while len(self._recent) > 2 * self.settings.recent:
            self._recent.popitem(last=False)

    def _answered(self, part: Part, result: PartResult, now_ns: int) -> Part:
        if now_ns >= self._end_ns(part):
            return self._too_late(part)
        self.late = 0
        if part.recipe is not None and result.recipe != part.recipe:
            detail = f"it was inspected by the recipe {result.recipe}, asked for was {part.recipe}"
            return self._end(part, ResultCode.INVALID, detail)
        self._drop(part)
        part.exposed = True
        part.outcome = outcome_of(result, part)
        return part

    def _too_late(self, part: Part) -> Part:
        self.late += 1
        return self._end(part, ResultCode.NO_RESULT, f"no result within {self.settings.window_ms} ms of the trigger")

    def _end(self, part: Part, code: ResultCode, detail: str) -> Part:
        self._drop(part)
        part.exposed = True
        part.outcome = Outcome(
            part_id=part.part_id,
            number=part.number,
            trigger=part.trigger,
            state=State.INVALID,
            code=code,
            detail=detail,
        )
        return part

    def _drop(self, part: Part) -> None:
        if part in self.open:
            self.open.remove(part)

    def _end_ns(self, part: Part) -> int:
        return part.asked_ns + self.settings.window_ms * 1_000_000


def outcome_of(result: PartResult, part: Part | None = None) -> Outcome:
    """A result of the station as an outcome; ``part``: whose it is, where this controller asked for it."""
    scored = [one for one in result.verdicts if one.score is not None and one.threshold is not None]
    worst = max(scored, key=lambda one: _excess(one.score, one.threshold), default=None)
    return Outcome(
        part_id=result.part_id,
        number=None if part is None else part.number,
        trigger=result.trigger,
        state=result.state,
        code=result_code(result.state, result.reason),
        detail=result.detail or result.reason,
        recipe=result.recipe,
        latency_ms=result.latency_ms,
        score=None if worst is None else worst.score,
        threshold=None if worst is None else worst.threshold,
        result=result,
    )


def _excess(score: float | None, threshold: float | None) -> float:
    return float("-inf") if score is None or threshold is None else score - threshold


def _triggers(event: PartResult | FaultRaised | ExposureComplete) -> tuple[int, ...]:
    return event.triggers if isinstance(event, FaultRaised) else (event.trigger,)
