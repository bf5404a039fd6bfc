"""Proves a station: labelled parts that a person puts in one after the other, and replays of its challenge set.

What is decided here is written down and replayed by the loop (:mod:`edge_ad.station.proving`).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from msgspec.structs import replace

from edge_ad.link.messages import ChallengeFacts, ChallengePart, ChallengeRequest
from edge_ad.station.actions import Action, KeepProof, ReplaySet
from edge_ad.station.parts import InspectedPart, PartReason
from edge_ad.station.proofs import Proof, ProofOutcome
from edge_ad.update.replaying import ProvedPart
from edge_ad.verdict import State

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edge_ad.station.condition import Condition
    from edge_ad.station.parts import Moment
    from edge_ad.station.recipes import Recipes
    from edge_ad.station.station_file import StationFile

__all__ = ["ALARM", "ChallengeDesk", "ChallengePlan", "plan_of"]

ALARM, REPLAY_ALARM = "challenge", "challenge set"
_IDLE_S = 1_800.0
_LOOK_NS = 1_000_000_000
_ENDED = {ProofOutcome.PASSED, ProofOutcome.FAILED}
_OF_THE_STATION = {
    PartReason.LATE, PartReason.FAULT, PartReason.STOPPED, PartReason.SCORER_LOST, PartReason.DROPPED,
    PartReason.MISSING_FRAMES,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ChallengePlan:
    """What all inspections of a recipe ask for together. ``parts``: name, and whether it is bad; good ones first."""

    parts: tuple[tuple[str, bool], ...] = ()
    has_set: bool = False
    every_s: float | None = None
    every_shift: bool = False
    lock: bool = False


def plan_of(file: StationFile, recipe: str) -> ChallengePlan:
    """The strictest of what its inspections ask for."""
    asked = [one.challenge for one in file.inspections(recipe).values() if one.challenge is not None]
    good = dict.fromkeys(name for one in asked for name in one.good_parts)
    bad = dict.fromkeys(name for one in asked for name in one.bad_parts)
    hours = [one.every_hours for one in asked if one.every_hours is not None]
    return ChallengePlan(
        parts=(*((name, False) for name in good), *((name, True) for name in bad)),
        has_set=bool(asked),
        every_s=min(hours) * 3_600 if hours else None,
        every_shift=any(one.every_shift for one in asked),
        lock=any(one.lock for one in asked),
    )


@dataclass(slots=True)
class _Session:
    """A challenge that goes on. ``trigger``: of the part that was to come next, once it has begun."""

    who: str
    recipe: str
    begun_at: float
    active_at: float
    place: int = 0
    is_armed: bool = False
    trigger: int | None = None
    again: str | None = None
    done: list[ProvedPart] = field(default_factory=list)


class ChallengeDesk:
    """``proofs``: those that are known, the oldest first. Without ``file.proof`` nothing here does anything."""

    def __init__(
        self, out: list[Action], file: StationFile, recipes: Recipes, condition: Condition, proofs: Iterable[Proof] = ()
    ) -> None:
        self._out = out
        self._file = file
        self._recipes = recipes
        self._condition = condition
        self._plans = {name: plan_of(file, name) for name in file.recipes}
        self._parts: dict[str, Proof] = {}
        self._replays: dict[str, Proof] = {}
        self._passed_at: dict[str, float] = {}
        self._session: _Session | None = None
        self._asked: object = None
        self._replaying: Counter[str] = Counter()  # by recipe: a change while one runs orders the next one
        self._error: str | None = None
        self._shift_began = 0.0
        self._looked_ns: int | None = None
        self._locked: str | None = None
        self._warned_for = ""
        self._said: dict[str, str | None] = {}
        for one in proofs:
            self._remember(one)

    @property
    def _plan(self) -> ChallengePlan:
        return self._plans[self._recipes.active.name] if self._file.proof is not None else ChallengePlan()

    @property
    def _running(self) -> _Session | None:
        """The challenge that goes on, unless the recipe has just changed."""
        session = self._session
        return session if session is not None and session.recipe == self._recipes.active.name else None

    # --- what people ask

    def asked(self, request: ChallengeRequest, client: str, now: Moment) -> tuple[str, str] | None:
        """Carries a request out; or why not: a short reason, and a sentence."""
        who, session = request.by or client, self._running
        if request.action == "replay":
            return self._replay(who, request.runs)
        if not self._plan.parts:
            return (
                "no_challenge",
                "the active recipe names no challenge parts, or the station file has no table [proof]",
            )
        if request.action == "begin":
            return self._begin(who, now)
        if session is None:
            return "no_challenge_running", "nobody has begun a challenge"
        return self._go_on(session, request, who, now)

    def _go_on(self, session: _Session, request: ChallengeRequest, who: str, now: Moment) -> tuple[str, str] | None:
        wanted = self._plan.parts[session.place][0]
        if request.action == "cancel":
            self._end(ProofOutcome.CANCELLED, now.at, f"cancelled by {who}", who)
        elif request.part not in {None, wanted}:
            return "other_part", f"the next part is {wanted}, not {request.part}"
        else:
            session.is_armed, session.again, session.active_at = True, None, now.at
        return None

    def _begin(self, who: str, now: Moment) -> tuple[str, str] | None:
        if self._session is not None:
            return "challenge_running", f"{self._session.who} has begun a challenge already"
        if not self._condition.takes_triggers or self._recipes.pending is not None:
            return "not_ready", "the station does not inspect now"
        recipe = self._recipes.active.name
        self._session = _Session(who, recipe, now.at, now.at)
        self._keep(Proof(at=now.at, kind="parts", recipe=recipe, outcome=ProofOutcome.BEGUN, who=who))
        return None

    def _replay(self, who: str, runs: int) -> tuple[str, str] | None:
        recipe = self._recipes.active.name
        if not self._plan.has_set:
            return "no_challenge", "the active recipe has no challenge set, or the station file has no table [proof]"
        if self._replaying[recipe] > 0:
            return "challenge_running", "the challenge set is being replayed already: wait for its result"
        self._order(recipe, who, runs)
        return None

    # --- parts

    def claim(self, trigger: int) -> str | None:
        """A part begins: the name of the challenge part that it is."""
        session = self._running
        if session is None or not session.is_armed or session.trigger is not None:
            return None
        session.trigger = trigger
        return self._plan.parts[session.place][0]

    def judged(self, part: InspectedPart) -> InspectedPart:
        """The same result, or INVALID instead of ACCEPT while the station is locked."""
        if self._warned_for != part.recipe:  # the recipe has just changed
            self._warn(part.triggered_at)
        if part.challenge is not None or self._locked is None or part.state is not State.ACCEPT:
            return part
        return replace(part, state=State.INVALID, reason=PartReason.LOCKED, detail=self._locked)

    def part_done(self, part: InspectedPart) -> None:
        """A part has its result; one that the station could not inspect has to come again."""
        session = self._running
        if part.challenge is None or session is None or session.trigger != part.trigger:
            return
        at = part.triggered_at + part.latency_ms / 1e3
        name, is_bad = self._plan.parts[session.place]
        session.is_armed, session.trigger, session.active_at = False, None, at
        if part.state is State.INVALID and part.reason in _OF_THE_STATION:
            session.again = part.reason
            return
        state = part.state.value
        session.done.append(ProvedPart(name=name, is_bad=is_bad, state=state, reason=part.reason))
        session.place += 1
        if session.place == len(self._plan.parts):
            wrong = [one.name for one in session.done if not one.is_right]
            detail = f"wrong: {', '.join(wrong)}" if wrong else None
            self._end(ProofOutcome.FAILED if wrong else ProofOutcome.PASSED, at, detail, session.who)

    # --- time, and what was written down

    def tick(self, now: Moment, shift_began: float) -> None:
        """What time brings about. ``shift_began``: when the present shift began, in seconds since the epoch."""
        if self._file.proof is None or (self._looked_ns is not None and now.ns - self._looked_ns < _LOOK_NS):
            return
        self._looked_ns, self._shift_began = now.ns, shift_began
        session, recipe = self._session, self._recipes.active.name
        if session is not None and session.recipe != recipe:
            self._end(ProofOutcome.CANCELLED, now.at, f"the recipe changed to {recipe}", None)
        elif session is not None and session.trigger is None and now.at - session.active_at > _IDLE_S:
            self._end(ProofOutcome.ABANDONED, now.at, "no part came for half an hour", None)
        used = (recipe, *sorted(self._recipes.bundles().items()))
        if self._plan.has_set and self._recipes.active.is_ready and used != self._asked:
            self._asked = used
            self._order(recipe, None, 1)
        self._warn(now.at)

    def kept(self, proof: Proof, error: str | None) -> None:
        """A proof was written down, or could not be. What it says counts all the same, until the station ends."""
        self._error = error
        if proof.kind == "replay":
            self._replaying[proof.recipe] -= 1
            self._remember(proof)
        self._warn(proof.at)

    def not_needed(self, recipe: str) -> None:
        """Nothing has changed since the last replay of this recipe."""
        self._replaying[recipe] -= 1

    def facts(self, at: float) -> ChallengeFacts | None:
        """For the link's snapshot; ``None`` where there is nothing to prove."""
        plan, session, recipe = self._plan, self._running, self._recipes.active.name
        if not plan.has_set:
            return None
        last, replayed, due_at = self._parts.get(recipe), self._replays.get(recipe), self._due_at()
        shown = session.done if session is not None else last.parts if last is not None else ()
        said = {one.name: one for one in shown}
        return ChallengeFacts(
            parts=tuple(
                ChallengePart(
                    name=name,
                    is_bad=is_bad,
                    state=State(said[name].state) if name in said else None,
                    reason=said[name].reason if name in said else None,
                )
                for name, is_bad in plan.parts
            ),
            has_set=True,
            running_by=None if session is None else session.who,
            next=plan.parts[session.place][0] if session is not None else None,
            is_armed=session is not None and session.is_armed,
            again=None if session is None else session.again,
            due_at=due_at,
            is_due=due_at is not None and at >= due_at,
            locked=self._locked,
            last=None if last is None else last.outcome.value,
            last_at=None if last is None else last.at,
            last_by=None if last is None else last.who,
            is_replaying=self._replaying[recipe] > 0,
            replay=None if replayed is None else replayed.outcome.value,
            replay_at=None if replayed is None else replayed.at,
            replay_detail=None if replayed is None else replayed.detail,
            replay_why=() if replayed is None else replayed.why,
            kept=self._error,
        )

    # --- inside

    def _due_at(self) -> float | None:
        plan, passed_at = self._plan, self._passed_at.get(self._recipes.active.name)
        if not plan.parts or (plan.every_s is None and not plan.every_shift):
            return None
        if passed_at is None:
            return 0.0
        times = [] if plan.every_s is None else [passed_at + plan.every_s]
        if plan.every_shift and passed_at < self._shift_began:
            times.append(self._shift_began)
        return min(times, default=None)

    def _warn(self, at: float) -> None:
        """Raises or ends the alarms, and locks or unlocks."""
        plan, recipe = self._plan, self._recipes.active.name
        self._warned_for = recipe
        last, replayed, due_at = self._parts.get(recipe), self._replays.get(recipe), self._due_at()
        why = None
        if last is not None and last.outcome is ProofOutcome.FAILED:
            why = f"the challenge parts were not passed: {last.detail}"
        elif due_at is not None and at >= due_at:
            why = "the challenge parts are due: put them in on the page"
        elif plan.lock and plan.parts and recipe not in self._passed_at:
            why = "the challenge parts have not been put in yet"
        not_passed = None
        if replayed is not None and replayed.outcome is not ProofOutcome.PASSED:
            not_passed = f"the challenge set of {recipe} is not passed: {replayed.detail}"
        self._say(ALARM, why)
        self._say(REPLAY_ALARM, not_passed)
        self._locked = (why or not_passed) if plan.lock else None

    def _say(self, alarm: str, text: str | None) -> None:
        """Raises an alarm once for each text: somebody may have seen it already."""
        if text == self._said.get(alarm):
            return
        self._said[alarm] = text
        if text is None:
            self._condition.end_alarm(alarm)
        else:
            self._condition.alarm(alarm, text)

    def _end(self, outcome: ProofOutcome, at: float, detail: str | None, who: str | None) -> None:
        session, self._session = self._session, None
        assert session is not None  # noqa: S101
        proof = Proof(
            at=at, kind="parts", recipe=session.recipe, outcome=outcome, who=who or session.who, detail=detail,
            parts=tuple(session.done),
        )  # fmt: skip
        self._remember(proof)
        self._keep(proof)
        self._warn(at)

    def _remember(self, proof: Proof) -> None:
        if proof.kind == "replay":
            self._replays[proof.recipe] = proof
        elif proof.outcome in _ENDED:
            self._parts[proof.recipe] = proof
            if proof.outcome is ProofOutcome.PASSED:
                self._passed_at[proof.recipe] = proof.at

    def _keep(self, proof: Proof) -> None:
        self._out.append(KeepProof(proof, self._recipes.bundles(proof.recipe)))

    def _order(self, recipe: str, who: str | None, runs: int) -> None:
        self._replaying[recipe] += 1
        self._out.append(ReplaySet(recipe, self._recipes.bundles(recipe), who, runs))
