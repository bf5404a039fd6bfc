"""Carries out the core's decisions: holds the cameras, scorers, frames, outputs and the link of a running station."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib.metadata import version
from typing import TYPE_CHECKING

from edge_ad.cameras import CameraProcess
from edge_ad.cameras.messages import NO_SLOT
from edge_ad.link import messages
from edge_ad.station import actions
from edge_ad.station.scorer_messages import Opening, Scored, ScoreThis
from edge_ad.station.scorer_process import ScorerProcess

if TYPE_CHECKING:
    from edge_ad.cameras import FrameInfo, FrameRing
    from edge_ad.link import HandedFrame, LinkServer
    from edge_ad.station.core import StationCore
    from edge_ad.station.part_outputs import QueuedOutput
    from edge_ad.station.parts import Asker, InspectedPart, Moment
    from edge_ad.station.proving import StationProofs
    from edge_ad.station.station_file import StationFile
    from edge_ad.station.updating import StationUpdates
    from edge_ad.station.watching import WatchedFacts

__all__ = ["Hands"]

_IN_ORDER = actions.StartScorer | actions.StopScorer | actions.KillScorer | actions.ChangeCamera
_RINGS_KEPT = 2
_LOOK_AGAIN_NS = 50_000_000


class Hands:
    """What a station has hold of. ``scorers_have_been_ready``: from then on cameras of files may begin."""

    def __init__(
        self,
        file: StationFile,
        core: StationCore,
        link: LinkServer | None,
        outputs: tuple[QueuedOutput, ...],
        told: tuple[Callable[[messages.Event | InspectedPart], None], ...],
        updates: StationUpdates | None = None,
        proofs: StationProofs | None = None,
    ) -> None:
        self._file = file
        self._core = core
        self._link = link
        self.outputs = outputs
        self._told = told
        self._updates = updates
        self._proofs = proofs
        self.cameras = {
            name: CameraProcess(name, one)
            for name, one in file.cameras(file.first_recipe).items()
            if one.source != "link"
        }
        self.scorers: dict[int, ScorerProcess] = {}
        self.scorers_have_been_ready = False
        self._leaving: list[ScorerProcess] = []
        self.evidence: dict[str, str] = {}
        self.scorer_names: dict[int, str] = {}
        self._scorer_cameras: dict[int, str] = {}
        self._rings: dict[str, dict[int, FrameRing]] = {name: {} for name in self.cameras}
        self._handed: dict[int, HandedFrame] = {}
        self._next_key = 1

    def carry_out(self, what: Iterable[actions.Action]) -> None:
        """Does all of it in order, except that what scorers and cameras wait for goes before what is told."""
        for action in _first_things_first(what):
            if isinstance(action, actions.ScoreFrame):
                self._lend(action)
            elif isinstance(action, actions.ReturnFrame):
                self._return(action.frame)
            elif isinstance(action, actions.PartDone):
                self._part_done(action)
            elif isinstance(action, actions.Publish):
                self._publish(action.event, dict(action.to))
            elif isinstance(action, actions.AnswerClient):
                if self._link is not None:
                    self._link.answer(action.client, action.message)
            elif isinstance(action, actions.TriggerCamera):
                self.cameras[action.camera].trigger(action.number)
            elif isinstance(action, actions.ChangeCamera):
                self.cameras[action.camera].change(self._file.cameras(action.recipe)[action.camera])
            elif isinstance(action, actions.NoteUpdate | actions.KeepProof | actions.ReplaySet):
                self._write_down(action)
            else:
                self._change_scorer(action)

    def tick_scorers(self, now_ns: int) -> int | None:
        """Starts and watches scorers; when to call again."""
        due = [one.tick(now_ns) for one in self.scorers.values()]
        self._leaving = [one for one in self._leaving if not one.has_left(now_ns)]
        if self._leaving:
            due.append(now_ns + _LOOK_AGAIN_NS)
        return min([one for one in due if one is not None], default=None)

    def tick_cameras(self, now_ns: int) -> int | None:
        """Starts and watches cameras; when to call again."""
        due = [one.tick(now_ns) for one in self.cameras.values()]
        return min([one for one in due if one is not None], default=None)

    def ring_of(self, camera: str) -> int:
        """The number of the ring that a camera fills now; a new one is given to the scorers of its frames."""
        ring, rings = self.cameras[camera].ring, self._rings[camera]
        newest = max(rings, default=0)
        if newest and rings[newest] is ring:
            return newest
        rings[newest + 1] = ring
        for old in sorted(rings)[:-_RINGS_KEPT]:
            del rings[old]
        for number, scorer in self.scorers.items():
            if self._scorer_cameras[number] == camera:
                scorer.give_ring(camera, newest + 1, ring)
        return newest + 1

    def keep(self, camera: str, frame: HandedFrame) -> actions.HandedIn:
        """Keeps a frame that was handed in until the core returns it."""
        key, self._next_key = self._next_key, self._next_key + 1
        self._handed[key] = frame
        return actions.HandedIn(camera, key, frame.height, frame.width, frame.channels)

    def note_evidence(self, scorer: int, scored: Scored) -> None:
        """How keeping evidence and the state of drift goes; shown with the outputs."""
        if self._file.evidence is not None:
            slot = self._core.recipes.slots.get(scorer)
            name = f"evidence {slot.inspection if slot else scorer}"
            said = f"failing: {scored.evidence_error}" if scored.evidence_error else "ok"
            self.evidence[name] = f"{said}, {scored.evidence_kept} kept, {scored.evidence_dropped} not kept"
        for name, state in scored.videos.items():
            self.evidence[f"{name} {self.scorer_names[scorer]}"] = state
        if self._file.drift is not None:
            said = f"failing: {scored.drift_error}" if scored.drift_error else "ok"
            self.evidence[f"drift {self.scorer_names[scorer]}"] = said
        if scored.teaching_error is not None or f"teaching {self.scorer_names[scorer]}" in self.evidence:
            said = f"failing: {scored.teaching_error}" if scored.teaching_error else "ok"
            self.evidence[f"teaching {self.scorer_names[scorer]}"] = said
        if self._file.preview is not None:
            said = f"failing: {scored.preview_error}" if scored.preview_error else "ok"
            self.evidence[f"preview {self.scorer_names[scorer]}"] = said

    def output_states(self) -> dict[str, str]:
        """How the outputs and the evidence stand."""
        return {one.name: one.state for one in self.outputs} | self.evidence

    def snapshot(self, asker: Asker, watched: WatchedFacts, now: Moment) -> None:
        """Answers how the station stands."""
        if self._link is None:
            return
        core = self._core
        pending = core.recipes.pending
        self._link.answer(
            asker.client,
            messages.Snapshot(
                id=asker.id,
                station=core.settings.name,
                version=version("edge-ad"),
                state=core.condition.state,
                cause=core.condition.cause,
                causes=tuple(core.condition.causes),
                recipe=core.recipes.active.name,
                requested_recipe=None if pending is None else pending.name,
                recipes=self._file.recipes,
                open_triggers=tuple(core.parts),
                cameras={name: state.value for name, state in core.cameras.items()},
                outputs=self.output_states(),
                alarms={name: one.text for name, one in core.condition.alarms.items()},
                counters=core.counters.as_numbers(),
                counts=watched.counts,
                drift=watched.drift,
                files=watched.files,
                inspections=watched.inspections,
                controllers=self._controllers(),
                challenge=core.challenges.facts(now.at),
            ),
        )

    def _write_down(self, action: actions.NoteUpdate | actions.KeepProof | actions.ReplaySet) -> None:
        if isinstance(action, actions.NoteUpdate):
            if self._updates is not None:
                self._updates.note(action)
        elif self._proofs is None:
            return
        elif isinstance(action, actions.KeepProof):
            self._proofs.keep(action)
        else:
            self._proofs.replay(action)

    def close(self) -> None:
        """Ends cameras, scorers and outputs, and closes every frame."""
        for scorer in self.scorers.values():
            scorer.hang_up()  # all of them end side by side
        for scorer in [*self.scorers.values(), *self._leaving]:
            scorer.close()
        for camera in self.cameras.values():
            camera.close()
        for frame in self._handed.values():
            frame.close()
        for output in self.outputs:
            output.close()

    def _change_scorer(self, action: actions.StartScorer | actions.StopScorer | actions.KillScorer) -> None:
        if isinstance(action, actions.StartScorer):
            self._start_scorer(action)
        elif isinstance(action, actions.KillScorer):
            self.scorers[action.scorer].kill(action.why)
        else:
            leaving = self.scorers.pop(action.scorer)
            leaving.hang_up()
            self._leaving.append(leaving)

    def _controllers(self) -> dict[str, str]:
        """Which controllers of the station file are clients of the link now."""
        clients = set() if self._link is None else set(self._link.clients.values())
        return {name: "connected" if name in clients else "away" for name in self._file.controller}

    def _start_scorer(self, action: actions.StartScorer) -> None:
        settings = self._file.inspections(action.recipe)[action.inspection]
        camera = self._file.camera[settings.camera]
        opening = Opening(
            bundle=action.bundle or settings.bundle,
            is_trial=action.is_trial,
            variant=settings.variant,
            calibration=settings.calibration,
            device=settings.device,
            threads=settings.threads,
            cache=None if self._file.cache is None else self._file.cache.folder,
            station=self._file.station.name,
            inspection=action.inspection,
            camera=settings.camera,
            recipe=action.recipe,
            trust=None if self._file.trust is None else self._file.trust.store,
            handed_in=camera if camera.source == "link" else None,
            evidence=self._file.evidence,
            evidence_bytes=self._file.evidence_bytes(),
            drift=self._file.drift,
            videos=self._file.videos(),
            preview=self._file.preview,
            teaching=self._file.teaching,
            frames=settings.frames,
        )
        scorer = self.scorers[action.scorer] = ScorerProcess(opening, settings.memory_mb, settings.open_s)
        self._scorer_cameras[action.scorer] = settings.camera
        self.scorer_names[action.scorer] = action.inspection
        rings = self._rings.get(settings.camera)
        if rings:
            newest = max(rings)
            scorer.give_ring(settings.camera, newest, rings[newest])

    def _lend(self, action: actions.ScoreFrame) -> None:
        frame, camera, number, offset, descriptor = action.frame, None, 0, 0, None
        shape: FrameInfo | actions.HandedIn
        if isinstance(frame, actions.CameraFrame):
            shape, camera, number = frame.info, frame.camera, frame.ring
            ring = self._rings[camera].get(number)
            offset = frame.info.slot * (0 if ring is None else ring.slot_bytes)
        else:
            shape, descriptor = frame, self._handed[frame.key].fd
        order = ScoreThis(
            job=action.job,
            height=shape.height,
            width=shape.width,
            channels=shape.channels,
            frame_id=action.frame_id,
            part_id=action.part_id,
            captured_at=action.captured_at,
            camera=camera,
            ring=number,
            offset=offset,
            is_challenge=action.is_challenge,
        )
        self.scorers[action.scorer].score(order, descriptor)

    def _return(self, frame: actions.CameraFrame | actions.HandedIn) -> None:
        if isinstance(frame, actions.HandedIn):
            self._handed.pop(frame.key).close()
            return
        ring = self._rings[frame.camera].get(frame.ring)
        if ring is not None and frame.info.slot != NO_SLOT:
            self.cameras[frame.camera].release(frame.info.slot, ring)

    def _part_done(self, action: actions.PartDone) -> None:
        part = action.part
        if self._link is not None and not action.by_fault:
            event = messages.PartResult(
                trigger=part.trigger,
                state=part.state,
                part_id=part.part_id,
                reason=part.reason,
                detail=part.detail,
                recipe=part.recipe,
                latency_ms=part.latency_ms,
                verdicts=tuple(one.verdict for one in part.frames),
                challenge=part.challenge,
            )
            self._link.publish(event, to={} if action.asker is None else dict([action.asker]))
        for output in self.outputs:
            output.put(part)
        for told in self._told:  # last: nothing on the line waits for it
            told(part)

    def _publish(self, event: messages.Event, to: dict[int, str]) -> None:
        for told in self._told:
            told(event)
        if isinstance(event, messages.StateChanged):
            for output in self.outputs:
                output.put(event.state)
        if self._link is not None:
            self._link.publish(event, to=to)


def _first_things_first(what: Iterable[actions.Action]) -> list[actions.Action]:
    """What a scorer or camera waits for, then what is told, then what is given back; in order where any of them come
    and go."""
    given = list(what)
    if len(given) > 1 and not any(isinstance(one, _IN_ORDER) for one in given):
        given.sort(key=_place)
    return given


def _place(action: actions.Action) -> int:
    if isinstance(action, actions.ScoreFrame | actions.TriggerCamera):
        return 0
    return 2 if isinstance(action, actions.ReturnFrame) else 1
