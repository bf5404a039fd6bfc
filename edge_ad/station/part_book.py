"""The parts that are open: from the trigger to the one result of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edge_ad.link import messages
from edge_ad.station.actions import (
    Action,
    AnswerClient,
    CameraFrame,
    HandedIn,
    PartDone,
    Publish,
    ReturnFrame,
    TriggerCamera,
)
from edge_ad.station.counting import StationCounters
from edge_ad.station.parts import Asker, InspectedPart, Moment, PartFrame, PartReason, judge_part
from edge_ad.station.scorers import FrameLease, JobBoard, ScorerSlot
from edge_ad.station.states import StationChange
from edge_ad.station.stop_rules import RuleWatch
from edge_ad.verdict import State, Verdict

if TYPE_CHECKING:
    from edge_ad.cameras import FrameFault
    from edge_ad.station.challenges import ChallengeDesk
    from edge_ad.station.condition import Condition
    from edge_ad.station.recipes import Recipes
    from edge_ad.station.station_file import StationFile

__all__ = ["OpenPart", "PartBook"]


@dataclass(slots=True)
class OpenPart:
    """A part without a result.

    ``wanted``: how many exposures each camera still owes. ``unscored``: jobs that no scorer has answered. ``scorers``:
    those that judge this part, which stay when others take over for the next one.
    Times in nanoseconds of the monotonic clock.
    """

    trigger: int
    part_id: str
    recipe: str
    begun_ns: int
    begun_at: float
    deadline_ns: int
    wanted: dict[str, int]
    asker: Asker | None = None
    scorers: tuple[ScorerSlot, ...] = ()
    unscored: set[int] = field(default_factory=set)
    frames: list[PartFrame] = field(default_factory=list)
    challenge: str | None = None
    is_exposed: bool = False

    @property
    def is_complete(self) -> bool:
        """Whether every frame came in and was scored."""
        return not any(self.wanted.values()) and not self.unscored

    def result(self, now_ns: int, state: State, reason: str | None = None, detail: str | None = None) -> InspectedPart:
        """The result of this part at the time ``now_ns``."""
        return InspectedPart(
            trigger=self.trigger,
            part_id=self.part_id,
            recipe=self.recipe,
            state=state,
            reason=reason,
            detail=detail,
            triggered_at=self.begun_at,
            latency_ms=(now_ns - self.begun_ns) / 1e6,
            frames=tuple(self.frames),
            challenge=self.challenge,
        )


class PartBook:
    """Every open part, its frames and its end.

    ``between_parts`` is called when none is open any more, ``on_result`` with each result.
    """

    def __init__(
        self,
        out: list[Action],
        file: StationFile,
        condition: Condition,
        recipes: Recipes,
        jobs: JobBoard,
        between_parts: Callable[[], None],
        challenges: ChallengeDesk,
    ) -> None:
        self._out = out
        self._file = file
        self._settings = file.station
        self._condition = condition
        self._recipes = recipes
        self._jobs = jobs
        self.between_parts = between_parts
        self._challenges = challenges
        self.on_result: Callable[[InspectedPart], None] = lambda _: None
        self.counters = StationCounters()
        self.rules = RuleWatch(file.stop)
        self.parts: dict[int, OpenPart] = {}
        self._shots: dict[int, int] = {}
        self._next_trigger = 1
        self._next_shot = 1
        self._frames = dict.fromkeys(file.camera, 0)

    @property
    def next_trigger(self) -> int:
        """The number of the part that comes next."""
        return self._next_trigger

    def begin(self, asker: Asker | None, part_id: str | None, now: Moment) -> OpenPart:
        number = self._next_trigger
        self._next_trigger += 1
        part = OpenPart(
            trigger=number,
            part_id=part_id or str(number),
            recipe=self._recipes.active.name,
            begun_ns=now.ns,
            begun_at=now.at,
            deadline_ns=now.ns + self._settings.deadline_ms * 1_000_000,
            wanted=self._file.frames_wanted(),
            asker=asker,
            scorers=tuple(self._recipes.active.scorers.values()),
            challenge=self._challenges.claim(number),
        )
        self.parts[number] = part
        if asker is not None:
            self._out.append(AnswerClient(asker.client, messages.Accepted(id=asker.id, trigger=number)))
        self._condition.happened(StationChange.PART_BEGUN)
        return part

    def shoot(self, part: OpenPart, camera: str, count: int) -> None:
        for _ in range(count):
            self._shots[self._next_shot] = part.trigger
            self._out.append(TriggerCamera(camera, self._next_shot))
            self._next_shot += 1

    def shot_for(self, number: int) -> OpenPart | None:
        """The open part that a software trigger of a camera was for."""
        return self.parts.get(self._shots.pop(number, 0))

    def expose(
        self, part: OpenPart, frame: CameraFrame | HandedIn, captured_at: float, now: Moment, fault: FrameFault | None
    ) -> None:
        """One exposure of a part is there: give it to the scorers of its camera."""
        camera = frame.camera
        lease = FrameLease(frame, self._frames[camera], captured_at)
        self._frames[camera] += 1
        part.wanted[camera] -= 1
        if not any(part.wanted.values()):
            told = messages.ExposureComplete(trigger=part.trigger, part_id=part.part_id)
            self._out.append(Publish(told, _askers([part])))
        scorers = [one for one in part.scorers if one.camera == camera]
        if fault is None:
            for scorer in scorers:
                is_apart = part.challenge is not None
                job = self._jobs.add(scorer, lease, part.trigger, part.part_id, now.ns, is_challenge=is_apart)
                part.unscored.add(job.number)
            return
        self._out.append(ReturnFrame(lease.frame))
        part.frames += [
            PartFrame(inspection=one.inspection, camera=camera, verdict=_invalid(fault, lease, part, one.inspection))
            for one in scorers
        ]
        self.finish_if_complete(part, now)

    def finish_if_complete(self, part: OpenPart, now: Moment) -> None:
        if part.is_complete and part.trigger in self.parts:
            verdicts = (one.verdict for one in part.frames)
            state, reason, detail = judge_part(verdicts, self._settings.reject_from)
            if now.ns > part.deadline_ns:
                state, reason = State.INVALID, PartReason.LATE
                detail = f"the verdict came later than {self._settings.deadline_ms} ms after the trigger"
            self.finish(part, now, state, reason, detail)

    def finish(self, part: OpenPart, now: Moment, state: State, reason: str | None, detail: str | None) -> None:
        del self.parts[part.trigger]
        self._jobs.forget(part.trigger)
        self._report(part.result(now.ns, state, reason, detail), part.asker, by_fault=False)
        if not self.parts:
            self._condition.happened(StationChange.PARTS_DONE)
            self.between_parts()

    def drop_unbegun(self, now: Moment) -> None:
        """A newer frame takes the place of those that no scorer has begun."""
        begun = {one.running.trigger for part in self.parts.values() for one in part.scorers if one.running}
        text = "a newer frame came before it could be scored"
        for part in [one for one in self.parts.values() if one.trigger not in begun and one.unscored]:
            self.finish(part, now, State.INVALID, PartReason.DROPPED, text)

    def pass_by(self, now: Moment, reason: str, detail: str) -> None:
        """A part passes the camera without being inspected: it has a result all the same."""
        number = self._next_trigger
        self._next_trigger += 1
        part = OpenPart(number, str(number), self._recipes.active.name, now.ns, now.at, now.ns, {})
        self._report(part.result(now.ns, State.INVALID, reason, detail), None, by_fault=False)

    def _report(self, part: InspectedPart, asker: Asker | None, *, by_fault: bool) -> None:
        part = self._challenges.judged(part)
        is_watched = part.challenge is None and part.reason != PartReason.LOCKED
        self.counters.count(part)
        self._out.append(PartDone(part, None if asker is None else (asker.client, asker.id), by_fault))
        for name, rule in self.rules.observe(part.state) if is_watched and not by_fault else []:
            text = rule.describe(name)
            if rule.action == "fault":
                self.fail(f"stop rule {name}", text, latched=True)
            else:
                self._condition.alarm(f"stop rule {name}", text)
        if is_watched:
            self.on_result(part)
        self._challenges.part_done(part)

    def fail(self, name: str, text: str, *, latched: bool = False) -> None:
        """A fault: every open part ends with it."""
        if not self._condition.fail(name, text, latched=latched):
            return
        self.counters.faults += 1
        open_parts = list(self.parts.values())
        self.parts.clear()
        told = messages.FaultRaised(cause=name, triggers=tuple(one.trigger for one in open_parts), detail=text)
        self._out.append(Publish(told, _askers(open_parts)))
        for part in open_parts:
            self._jobs.forget(part.trigger)
            result = part.result(part.begun_ns, State.INVALID, PartReason.FAULT, text)
            self._report(result, part.asker, by_fault=True)
        self.between_parts()


def _askers(parts: list[OpenPart]) -> tuple[tuple[int, str], ...]:
    return tuple((one.asker.client, one.asker.id) for one in parts if one.asker is not None)


def _invalid(fault: FrameFault, lease: FrameLease, part: OpenPart, inspection: str) -> Verdict:
    return Verdict(
        state=State.INVALID,
        reason=fault.reason,
        detail=fault.detail,
        frame_id=lease.frame_id,
        part_id=part.part_id,
        captured_at=lease.captured_at,
        bundle=inspection,
        variant="",
    )
