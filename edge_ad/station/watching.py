"""Follows a station for people: the log says each change once, the counts are kept, the metrics are written."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edge_ad.cameras import CameraState
from edge_ad.files import atomic_write
from edge_ad.link import messages
from edge_ad.link.messages import AlarmChanged, FaultRaised, RecipeChanged, StateChanged, StationState, UpdateChanged
from edge_ad.station.kept_counts import CountsFile, KeptCounts, LatestWriter
from edge_ad.station.metrics import MetricsView, render_metrics
from edge_ad.station.parts import InspectedPart
from edge_ad.station.scorer_messages import Refusal, Scored, ScorerReady
from edge_ad.station.station_log import StationLog, log_event

if TYPE_CHECKING:
    from edge_ad.cameras import CameraStatus
    from edge_ad.link.messages import Event, PresentCounts
    from edge_ad.station.core import StationCore
    from edge_ad.station.parts import Moment
    from edge_ad.station.scorer_process import ScorerEvent
    from edge_ad.station.station_file import StationFile
    from edge_ad.verdict import DriftState

__all__ = ["StationWatch", "WatchedFacts"]

logger = logging.getLogger("edge_ad.station")

_EVERY_NS = 1_000_000_000
_CAMERA_LEVELS = {CameraState.LOST: logging.WARNING, CameraState.REFUSED: logging.ERROR}


@dataclass(frozen=True, slots=True)
class WatchedFacts:
    """What the watch adds to a snapshot. ``drift``: by inspection. ``files``: of log, counters and metrics.

    ``inspections``: those of the active recipe.
    """

    counts: PresentCounts
    drift: dict[str, str]
    files: dict[str, str]
    inspections: dict[str, messages.InspectionFacts]


class StationWatch:
    """Told what happens by the loop of a station; nothing here waits for a disk.

    ``counts``: where they are kept; without them they begin at zero and are forgotten.
    """

    def __init__(self, file: StationFile, counts: KeptCounts | None = None, log: StationLog | None = None) -> None:
        self._file = file
        self._counts = counts or KeptCounts(CountsFile(station=file.station.name))
        self._log = log
        self._known: dict[str, str] = {}
        self._clients: dict[int, str] = {}
        self._causes: tuple[str, ...] = ()
        self._drift: dict[str, DriftState] = {}
        self._scorers: dict[int, messages.InspectionFacts] = {}
        self._recipe: str | None = None
        self._shift: str | None = None
        self._due_ns = 0
        self._counts_due_ns = self._metrics_due_ns = 0
        self._counts_writer = self._metrics_writer = None
        if file.counters is not None:
            self._counts_writer = _file_writer("counters", Path(file.counters.file))
        if file.metrics is not None:
            self._metrics_writer = _metrics_writer(Path(file.metrics.file))

    # --- what the loop tells

    def told(self, what: Event | InspectedPart) -> None:
        """An event or a result."""
        if isinstance(what, InspectedPart):
            self._part(what)
        elif isinstance(what, StateChanged):
            self._state(what)
        elif isinstance(what, FaultRaised):
            text = f"FAULT: {what.detail or what.cause}; {len(what.triggers)} open parts are rejected"
            _say(logging.ERROR, "fault", text, cause=what.cause, triggers=what.triggers)
        elif isinstance(what, AlarmChanged):
            how = "raised" if what.active else "acknowledged" if what.acknowledged else "over"
            level = logging.WARNING if what.active else logging.INFO
            _say(level, "alarm", f"alarm {how}: {what.text}", alarm=what.alarm, active=what.active)
        elif isinstance(what, RecipeChanged):
            self._recipe_changed(what)
        elif isinstance(what, UpdateChanged):
            level = logging.ERROR if what.step == "RETURNED" else logging.INFO
            text = f"update {what.title}: {what.step}{f': {what.reason}' if what.reason else ''}"
            _say(level, "update", text, bundle=what.bundle, slot=what.slot, step=what.step)

    def camera(self, name: str, status: CameraStatus) -> None:
        """A camera's state."""
        text = f"camera {name}: {status.state.value}{f': {status.detail}' if status.detail else ''}"
        level = _CAMERA_LEVELS.get(status.state, logging.INFO)
        self._once(f"camera {name}", text, level, "camera", camera=name, state=status.state.value)

    def scorer(self, inspection: str, number: int, event: ScorerEvent) -> None:
        """What a scorer said, or that it ended."""
        key = f"scorer {number}"
        fields = {"inspection": inspection}
        if isinstance(event, Scored):
            return
        if isinstance(event, ScorerReady):
            text = f"scorer {inspection} is ready: {event.bundle}, {event.variant} on {event.engine}"
            self._once(key, text, logging.INFO, "scorer_ready", **fields)
            if event.facts is not None:
                self._scorers[number] = event.facts
            if event.choice is not None:
                _say(logging.INFO, "scorer_choice", f"scorer {inspection}: {event.choice}", **fields)
            if event.warning is not None:
                _say(logging.WARNING, "scorer_warning", f"scorer {inspection}: {event.warning}", **fields)
        elif isinstance(event, Refusal):
            text = f"scorer {inspection} does not start: {event.detail}"
            self._once(key, text, logging.ERROR, "scorer_refused", **fields)
        elif not self._known.get(key, "").startswith(f"scorer {inspection} does not start"):  # it ends after a refusal
            self._known[key] = "ended"
            text = f"scorer {inspection} ended and is started again: {event.detail}"
            _say(logging.WARNING, "scorer_restart", text, **fields)

    def asked(self, request: messages.OperatorRequest, client: str) -> None:
        """What somebody asks of the station, before it is done or refused."""
        what = {
            messages.RecipeRequest: "the recipe {name}",
            messages.AcknowledgeRequest: "to acknowledge the alarm {alarm}",
            messages.ResetRequest: "to leave FAULT",
            messages.ResetCountersRequest: "to set the counts back",
            messages.UpdateRequest: "for the deployed bundle {bundle}, slot {slot}",
            messages.ChallengeRequest: "to {action} the challenge",
        }[type(request)].format_map(msgspec.structs.asdict(request))
        who = client if request.by is None else f"{request.by} ({client})"
        kind = request.__struct_config__.tag
        _say(logging.INFO, "asked", f"{who} asks {what}", client=client, by=request.by, request=kind)

    def reset_counts(self, core: StationCore, now: Moment) -> None:
        """Closes the present count; parts whose result comes later count in the next one."""
        self._counts.follow(core.counters, core.recipes.active.name, now.at)
        self._counts.reset(now.at)

    def shift_began(self, at: float) -> float:
        """When the shift of this moment began, in seconds since the epoch."""
        return self._counts.shift_began(at)

    def facts(self, core: StationCore, now: Moment) -> WatchedFacts:
        """What is known here of the present moment."""
        recipe = core.recipes.active.name
        self._counts.follow(core.counters, recipe, now.at)
        drift = {name: state.value for name, state in self._drift.items()}
        self._scorers = {number: one for number, one in self._scorers.items() if number in core.recipes.slots}
        scorers = ((name, self._scorers.get(slot.number)) for name, slot in core.recipes.active.scorers.items())
        inspections = {name: facts for name, facts in scorers if facts is not None}
        return WatchedFacts(self._counts.present(recipe, now.at), drift, self.states(), inspections)

    def tick(
        self, now: Moment, core: StationCore, outputs: Callable[[], dict[str, str]], clients: Mapping[int, str]
    ) -> int:
        """What is due; when to call again, in nanoseconds of the monotonic clock."""
        self._follow_clients(clients)
        if now.ns < self._due_ns:
            return self._due_ns
        self._due_ns = now.ns + _EVERY_NS
        self._recipe = core.recipes.active.name
        states = outputs() | self.states()
        for name, how in states.items():
            self._output(name, how)
        self._follow_shift(core, now)
        self._write_due(core, states, now)
        return self._due_ns

    def states(self) -> dict[str, str]:
        """How counters, metrics and log can be written."""
        writers = [one for one in (self._counts_writer, self._metrics_writer) if one is not None]
        log = {} if self._log is None else {"log": self._log.state}
        return {one.name: one.state for one in writers} | log

    def close(self, core: StationCore, now: Moment, outputs: dict[str, str]) -> None:
        """Writes everything that is kept."""
        self._counts.follow(core.counters, core.recipes.active.name, now.at)
        if self._counts_writer is not None:
            self._counts_writer.put(self._counts.encoded())
        self._write_metrics(core, outputs | self.states(), now)
        for writer in (self._counts_writer, self._metrics_writer):
            if writer is not None:
                writer.close()
        told = ", ".join(f"{count} {name}" for name, count in core.counters.parts.items())
        _say(logging.INFO, "stopped", f"station {self._file.station.name} has stopped: {told}")

    # --- the log

    def _once(self, key: str, text: str, level: int, event: str, **fields: object) -> None:
        if self._known.get(key) != text:
            self._known[key] = text
            _say(level, event, text, **fields)

    def _part(self, part: InspectedPart) -> None:
        self._counts.count(part)
        if logger.isEnabledFor(logging.DEBUG):
            text = f"part {part.part_id}: {part.state.value}{f' ({part.reason})' if part.reason else ''}"
            _say(logging.DEBUG, "part", text, part_id=part.part_id, trigger=part.trigger, state=part.state.value)
        for one in part.frames:
            drift = one.verdict.drift
            if drift is not None and drift.state is not self._drift.get(one.inspection):
                self._drift[one.inspection] = drift.state
                causes = f": {', '.join(drift.causes)}" if drift.causes else ""
                text = f"drift of {one.inspection}: {drift.state.value}{causes}"
                level = logging.INFO if drift.state.value == "OK" else logging.WARNING
                _say(level, "drift", text, inspection=one.inspection, state=drift.state.value)

    def _state(self, what: StateChanged) -> None:
        causes = tuple(what.cause.split("; ")) if what.cause else ()
        for cause in self._causes:
            if cause not in causes:
                _say(logging.INFO, "recovered", f"no longer a fault: {cause}", cause=cause)
        for cause in causes:
            if cause not in self._causes:
                _say(logging.ERROR, "cause", f"cause of a fault: {cause}", cause=cause)
        self._causes = causes
        level = logging.DEBUG if what.state in {StationState.READY, StationState.BUSY} else logging.INFO
        before, self._known["state"] = self._known.get("state"), what.state.value
        if what.state is StationState.READY and before != StationState.BUSY.value:
            level = logging.INFO
        if before != what.state.value:
            _say(level, "state", f"station: {what.state.value}", state=what.state.value)

    def _recipe_changed(self, what: RecipeChanged) -> None:
        fields = {"requested": what.requested, "active": what.active}
        if what.error is not None:
            text = f"recipe {what.requested} does not verify, {what.active} goes on: {what.error}"
            _say(logging.ERROR, "recipe", text, **fields)
        elif what.acknowledged:
            _say(logging.INFO, "recipe", f"recipe {what.active}: the change was acknowledged", **fields)
        elif what.requested == what.active:
            _say(logging.INFO, "recipe", f"recipe {what.active} is active", **fields)
        else:
            _say(logging.INFO, "recipe", f"recipe {what.requested} is being made ready", **fields)

    def _follow_clients(self, clients: Mapping[int, str]) -> None:
        if clients == self._clients:
            return
        for number, name in clients.items():
            if number not in self._clients:
                _say(logging.INFO, "client", f"client {name} has come", client=name, connected=True)
        for number, name in self._clients.items():
            if number not in clients:
                _say(logging.INFO, "client", f"client {name} has gone", client=name, connected=False)
        self._clients = dict(clients)

    def _output(self, name: str, how: str) -> None:
        key, is_failing = f"output {name}", how.startswith("failing")
        if is_failing:
            self._once(key, how.partition(",")[0], logging.ERROR, "output", output=name)
        elif self._known.get(key):
            self._known.pop(key)
            _say(logging.INFO, "output", f"output {name} works again", output=name)

    # --- counts and metrics

    def _follow_shift(self, core: StationCore, now: Moment) -> None:
        self._counts.follow(core.counters, core.recipes.active.name, now.at)
        shift = self._counts.shift(now.at).shift
        if self._shift not in {None, shift}:
            _say(logging.INFO, "shift", f"shift {shift} begins", shift=shift, before=self._shift)
        self._shift = shift

    def _write_due(self, core: StationCore, states: dict[str, str], now: Moment) -> None:
        counters, metrics = self._file.counters, self._file.metrics
        if counters is not None and self._counts_writer is not None and now.ns >= self._counts_due_ns:
            failed = self._counts_writer.error is not None
            if self._counts.has_changed or failed:
                self._counts_due_ns = now.ns + int(counters.every_s * 1e9)
                self._counts_writer.put(self._counts.encoded())
        if metrics is not None and now.ns >= self._metrics_due_ns:
            self._metrics_due_ns = now.ns + int(metrics.every_s * 1e9)
            self._write_metrics(core, states, now)

    def _write_metrics(self, core: StationCore, states: dict[str, str], now: Moment) -> None:
        if self._metrics_writer is None:
            return
        view = MetricsView(
            station=self._file.station.name,
            at=now.at,
            state=core.condition.state,
            recipe=core.recipes.active.name,
            total=self._counts.counts.total,
            shift=self._counts.shift(now.at).recipes,
            cameras={name: state.value for name, state in core.cameras.items()},
            outputs=states,
            drift=self._drift,
            alarms=len(core.condition.alarms),
        )
        self._metrics_writer.put(msgspec.json.encode(view))


def _say(level: int, event: str, message: str, **fields: object) -> None:
    log_event(logger, level, event, message, **fields)


def _file_writer(name: str, path: Path) -> LatestWriter:
    return LatestWriter(name, lambda data: atomic_write(path, data))


def _metrics_writer(path: Path) -> LatestWriter:
    def write(data: bytes) -> None:
        atomic_write(path, render_metrics(msgspec.json.decode(data, type=MetricsView)))

    return LatestWriter("metrics", write)
