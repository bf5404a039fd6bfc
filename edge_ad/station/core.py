"""The station's decisions: events in, actions out. No process, socket, clock or file is known here.

Every event comes with ``now``, a :class:`Moment`. What is to be done is collected and taken with
:meth:`StationCore.actions`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_ad.cameras import CameraState
from edge_ad.link import messages
from edge_ad.link.messages import StationState
from edge_ad.station.actions import (
    Action,
    AnswerClient,
    HandedIn,
    NoteUpdate,
    ReturnFrame,
    WantedUpdate,
)
from edge_ad.station.camera_frames import CameraFrames
from edge_ad.station.challenges import ChallengeDesk
from edge_ad.station.condition import Condition
from edge_ad.station.counting import StationCounters
from edge_ad.station.part_book import OpenPart, PartBook
from edge_ad.station.parts import Asker, Moment, PartFrame, PartReason
from edge_ad.station.recipes import Recipes
from edge_ad.station.scorers import JobBoard
from edge_ad.station.states import StationChange
from edge_ad.station.trials import BundleTrials
from edge_ad.verdict import State, Verdict

if TYPE_CHECKING:
    from edge_ad.cameras import CameraStatus, FrameInfo
    from edge_ad.station.proofs import Proof
    from edge_ad.station.station_file import StationFile

__all__ = ["StationCore"]


class StationCore:
    """One station: its state, its open parts, its scorers and its recipe."""

    def __init__(self, file: StationFile, proofs: tuple[Proof, ...] = ()) -> None:
        self.file = file
        self.settings = file.station
        self._out: list[Action] = []
        self.condition = Condition(self._out)
        self.cameras = {
            name: CameraState.STREAMING if one.source == "link" else CameraState.CONNECTING
            for name, one in file.camera.items()
        }
        self.ended: set[str] = set()
        self._jobs = JobBoard(self._out)
        self.recipes = Recipes(self._out, file, self._jobs)
        self.challenges = ChallengeDesk(self._out, file, self.recipes, self.condition, proofs)
        self.book = PartBook(
            self._out, file, self.condition, self.recipes, self._jobs, self._switch_if_ready, self.challenges
        )
        self.trials = BundleTrials(self._out, file.update, self.recipes, self.condition)
        self.book.on_result = self.trials.part_done
        self.pictures = CameraFrames(self._out, file, self.book, self.condition, self._refusal)

    @property
    def parts(self) -> dict[int, OpenPart]:
        """The parts that are open, by the number of their trigger."""
        return self.book.parts

    @property
    def counters(self) -> StationCounters:
        """What was counted since the start."""
        return self.book.counters

    def actions(self) -> list[Action]:
        """What is to be done, in this order; it is handed out once."""
        taken = self._out[:]
        self._out.clear()
        return taken

    # --- cameras

    def camera_status(self, camera: str, status: CameraStatus) -> None:
        """A camera's state changed."""
        self.cameras[camera] = status.state
        name = f"camera {camera}"
        if status.state is CameraState.STREAMING:
            self.condition.clear(name)
            self._switch_if_ready()
            self._open_if_ready()
        elif status.state not in {CameraState.LOST, CameraState.REFUSED}:
            return
        elif camera in (self.recipes.changing or ()):
            self._give_up(f"{name}: {status.detail or status.state.value}")
        else:
            self.book.fail(name, f"{name} is {status.state.value.lower()}: {status.detail or 'no reason given'}")

    def camera_ended(self, camera: str) -> None:
        """A camera of files has shown all of them."""
        self.ended.add(camera)

    def frame(self, camera: str, ring: int, info: FrameInfo, now: Moment) -> None:
        """A camera took a picture: it begins a part, belongs to an open one, or was not asked for."""
        self.pictures.frame(camera, ring, info, now)

    # --- triggers

    def trigger(self, asker: Asker | None, part_id: str | None, now: Moment) -> int | None:
        """Somebody says that a part is there. The number of the trigger; ``None``: refused, and answered so."""
        refusal = self._refusal(part_id, wants_cameras=True)
        if refusal is not None:
            self._refuse(asker, *refusal)
            return None
        part = self.book.begin(asker, part_id, now)
        for camera, count in part.wanted.items():
            if self.file.camera[camera].trigger == "software":
                self.book.shoot(part, camera, count)
        return part.trigger

    def pulse(self, now: Moment, lost_before: int = 0) -> None:
        """The digital input says that a part is there. One that cannot be inspected has its result at once."""
        if self.condition.takes_triggers:
            for _ in range(min(lost_before, 1000)):
                self.book.pass_by(now, PartReason.DROPPED, "its pulse at the input was lost")
        refusal = self._refusal(None, wants_cameras=True)
        if refusal is not None and self.condition.takes_triggers:
            self.book.pass_by(now, PartReason.DROPPED, refusal[1])
        self.trigger(None, None, now)

    def input_status(self, error: str | None) -> None:
        """Whether the digital input can be read; ``error``: why not."""
        if error is not None:
            self.book.fail("input", f"the digital input failed: {error}")
        elif "input" in self.condition.causes:
            self.condition.clear("input")
            self._open_if_ready()

    def hand_in(self, asker: Asker, part_id: str | None, frame: HandedIn, now: Moment) -> bool:
        """A client brings the picture of a part along; whether it was taken."""
        refusal = self._refusal(part_id)
        inspected = {one.camera for one in self.recipes.active.scorers.values()}
        if refusal is None and inspected != {frame.camera}:
            refusal = "wrong_camera", f"one picture was given, and a part needs those of {', '.join(sorted(inspected))}"
        if refusal is not None:
            self._refuse(asker, *refusal)
            self._out.append(ReturnFrame(frame))
            return False
        part = self.book.begin(asker, part_id, now)
        self.book.expose(part, frame, now.at, now, None)
        return True

    # --- scorers

    def scorer_ready(self, number: int, now: Moment) -> None:
        """A scorer has opened and verified its bundle."""
        slot = self.recipes.slots.get(number)
        if slot is None:
            return
        slot.is_ready = True
        self.condition.clear(f"scorer {slot.inspection}")
        self._jobs.send(slot, now.ns)
        self.trials.scorer_ready()
        self._switch_if_ready()
        self._open_if_ready()

    def scorer_refused(self, number: int, detail: str) -> None:
        """A scorer cannot work with its bundle: a fault, or the end of a change of recipe."""
        slot = self.recipes.slots.get(number)
        if slot is None:
            return
        slot.is_ready = False
        if self.trials.uses(slot):
            self._end_trial(f"{slot.inspection}: {detail}")
        elif self.recipes.is_pending(slot):
            self._give_up(f"{slot.inspection}: {detail}")
        elif self.recipes.is_active(slot):
            self.book.fail(f"scorer {slot.inspection}", f"scorer {slot.inspection} does not start: {detail}")

    def scorer_lost(self, number: int, detail: str, now: Moment) -> None:
        """A scorer's process ended. What it was doing is INVALID; it is started again by the loop."""
        slot = self.recipes.slots.get(number)
        if slot is None:
            return
        job = self._jobs.lost(slot)
        self.counters.scorer_restarts += 1
        if self.recipes.is_pending(slot):
            self._give_up(f"{slot.inspection}: its scorer ended: {detail}")
            return
        if job is not None and (part := self.parts.get(job.trigger)) is not None:
            text = f"the scorer of {slot.inspection} ended: {detail}"
            self.book.finish(part, now, State.INVALID, PartReason.SCORER_LOST, text)
        if self.trials.uses(slot):
            self._end_trial(f"{slot.inspection}: its scorer ended: {detail}")
        elif not self.recipes.is_active(slot):
            return
        elif slot.died_too_often(now.ns):
            self.book.fail(f"scorer {slot.inspection}", f"scorer {slot.inspection} ended again and again: {detail}")
        else:
            self.condition.happened(StationChange.SCORER_LOST)

    def scored(self, number: int, verdict: Verdict, now: Moment) -> None:
        """A scorer has answered."""
        job = self._jobs.answered(number)
        if job is None:
            return
        part = self.parts.get(job.trigger)
        if part is not None:
            part.unscored.discard(number)
            part.frames.append(PartFrame(inspection=job.scorer.inspection, camera=job.scorer.camera, verdict=verdict))
        if verdict.drift is not None:
            self.condition.drifted(job.scorer.inspection, verdict.drift)
        if part is not None:
            self.book.finish_if_complete(part, now)
        self._jobs.send(job.scorer, now.ns)

    # --- people and programs

    def request_recipe(self, asker: Asker, name: str) -> None:
        """Change to another recipe between two parts; triggers are refused until it is active."""
        if name not in self.file.recipes:
            known = ", ".join(self.file.recipes)
            self._refuse_request(asker, "unknown_recipe", f"no recipe {name!r}: there are {known}")
            return
        if self.recipes.pending is not None:
            self._refuse_request(asker, "recipe_pending", f"the change to {self.recipes.pending.name} is not finished")
            return
        if self.trials.is_keeping:
            self._refuse_request(asker, "update_pending", "a deployed bundle is being kept: ask again")
            return
        self.done(asker)
        self._end_trial(f"the recipe changes to {name}")
        self.recipes.request(name)
        self._switch_if_ready()

    def request_update(self, asker: Asker, wanted: WantedUpdate) -> None:
        """Take a deployed bundle into use between two parts. Triggers are accepted all the while."""
        if self.recipes.pending is not None:
            self._refuse_request(asker, "recipe_pending", f"the change to {self.recipes.pending.name} is not finished")
        elif self.trials.wanted is not None:
            self._refuse_request(asker, "update_pending", f"{self.trials.wanted.title} is not kept yet")
        elif self.condition.state is StationState.STOPPING:
            self._refuse_request(asker, "not_ready", "the station is stopping")
        else:
            self.done(asker)
            self.trials.begin(wanted)

    def refuse_update(self, asker: Asker, why: str) -> None:
        """No such bundle was deployed and checked."""
        self._refuse_request(asker, "unknown_update", why)

    def request_challenge(self, asker: Asker, request: messages.ChallengeRequest, client: str, now: Moment) -> None:
        """Begin, go on with or cancel a challenge, or replay a challenge set."""
        refusal = self.challenges.asked(request, client, now)
        if refusal is not None:
            self._refuse_request(asker, *refusal)
            return
        self.done(asker)

    def update_noted(self, what: NoteUpdate, error: str | None) -> None:
        """A step of a deployed bundle has been written down; ``error``: why it could not be."""
        self.trials.noted(what, error, self.book.next_trigger)
        self._open_if_ready()

    def acknowledge(self, asker: Asker, alarm: str) -> None:
        """Somebody has seen an alarm, or with ``recipe`` the change of the recipe."""
        if alarm == "recipe":
            self.recipes.tell(self.recipes.active.name, acknowledged=True)
        elif not self.condition.acknowledge(alarm):
            self._refuse_request(asker, "unknown_alarm", f"there is no alarm {alarm!r}")
            return
        self.done(asker)

    def reset(self, asker: Asker) -> None:
        """Leave FAULT, as far as its cause is gone."""
        self.book.rules.reset()
        self.condition.reset()
        if self.condition.state is StationState.FAULT:
            self._refuse_request(asker, "still_failing", self.condition.cause or "")
            return
        self.done(asker)
        self._open_if_ready()

    def done(self, asker: Asker) -> None:
        """Answers a request that somebody else has carried out."""
        self._out.append(AnswerClient(asker.client, messages.Done(id=asker.id)))

    def stop(self) -> None:
        """No part begins any more; those that are open are finished."""
        self.condition.happened(StationChange.STOP)

    def end_all(self, now: Moment) -> None:
        """The last word: every part that is still open is INVALID."""
        for part in list(self.parts.values()):
            self.book.finish(part, now, State.INVALID, PartReason.STOPPED, "the station was stopped")

    # --- time

    def tick(self, now: Moment) -> None:
        """What time alone brings about."""
        self.pictures.go_on(now)
        for part in list(self.parts.values()):
            if now.ns >= part.deadline_ns:
                missing = ", ".join(name for name, count in part.wanted.items() if count)
                reason = PartReason.MISSING_FRAMES if missing else PartReason.LATE
                what = f"no frame of {missing}" if missing else "no verdict"
                detail = f"{what} within {self.settings.deadline_ms} ms of the trigger"
                self.book.finish(part, now, State.INVALID, reason, detail)
        self._jobs.kill_hung(now.ns)
        self.recipes.stop_retired({slot.number for part in self.parts.values() for slot in part.scorers})

    def next_tick_ns(self) -> int | None:
        """When :meth:`tick` has something to do."""
        times = [part.deadline_ns for part in self.parts.values()]
        hang = self._jobs.next_hang_ns()
        return min(times if hang is None else [*times, hang], default=None)

    @property
    def is_finished(self) -> bool:
        """Whether all cameras are files that came to their end, and every part has its result."""
        return (
            self.ended == set(self.cameras)
            and not self.parts
            and not self.pictures.held
            and self.settings.trigger == "camera"
        )

    # --- parts

    def _refusal(self, part_id: str | None, *, wants_cameras: bool = False) -> tuple[str, str] | None:
        if not self.condition.takes_triggers:
            return "not_ready", f"the station is {self.condition.state.value}: {self.condition.cause or 'wait'}"
        if self.recipes.pending is not None:
            return "recipe_pending", f"the recipe changes to {self.recipes.pending.name}"
        if len(self.parts) >= self.settings.max_open_parts:
            return "too_many_open", f"{len(self.parts)} parts have no result yet"
        if part_id is not None and any(one.part_id == part_id for one in self.parts.values()):
            return "part_open", f"part {part_id!r} has no result yet"
        if wants_cameras and any(self.file.camera[one].source == "link" for one in self.cameras):
            return "needs_frame", "a camera of this station is the link: hand a frame in"
        return None

    def _open_if_ready(self) -> None:
        if self.condition.state is not StationState.STARTING or not self.recipes.active.is_ready:
            return
        if all(one is CameraState.STREAMING for one in self.cameras.values()):
            self.condition.happened(StationChange.OPENED)
            if self.parts:
                self.condition.happened(StationChange.PART_BEGUN)

    def _switch_if_ready(self) -> None:
        """Between two parts: first the cameras of a recipe that has verified, then all of it."""
        pending = self.recipes.pending
        if self.parts or pending is None or not pending.is_ready:
            return
        self._reopened(self.recipes.change_cameras())
        if all(self.cameras[one] is CameraState.STREAMING for one in self.recipes.changing or ()):
            self.recipes.switch()
            self._open_if_ready()

    def _end_trial(self, why: str) -> None:
        """A deployed bundle is given back; where the one before it has to be opened again, the station waits for it."""
        self.trials.end(why)
        if not self.recipes.active.is_ready:
            self.condition.happened(StationChange.SCORER_LOST)

    def _give_up(self, why: str) -> None:
        self._reopened(self.recipes.give_up(why))

    def _reopened(self, cameras: set[str]) -> None:
        """These cameras are opened with other settings; until they stream no part begins."""
        self.cameras |= dict.fromkeys(cameras, CameraState.CONNECTING)
        if cameras:
            self.condition.happened(StationChange.CAMERA_CHANGED)

    def _refuse(self, asker: Asker | None, reason: str, detail: str) -> None:
        self.counters.refuse(reason)
        if asker is not None:
            self._refuse_request(asker, reason, detail)

    def _refuse_request(self, asker: Asker, reason: str, detail: str) -> None:
        self._out.append(AnswerClient(asker.client, messages.Refused(id=asker.id, reason=reason, detail=detail)))
