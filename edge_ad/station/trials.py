"""A deployed bundle on trial: opened beside the one before, used from the next part on, watched, kept or given back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from edge_ad.link.messages import UpdateChanged
from edge_ad.station.actions import Action, NoteUpdate, Publish, WantedUpdate
from edge_ad.station.parts import InspectedPart, PartReason
from edge_ad.update import Step, UpdateSettings
from edge_ad.verdict import Reason, State, Verdict

if TYPE_CHECKING:
    from edge_ad.station.condition import Condition
    from edge_ad.station.recipes import Recipes
    from edge_ad.station.scorers import RecipeRun, ScorerSlot

__all__ = ["BundleTrials"]

ALARM = "update"
_OF_THE_BUNDLE = {
    Reason.WRONG_SHAPE,
    Reason.WRONG_TYPE,
    Reason.NOT_FINITE,
    Reason.ENGINE_FAILED,
    Reason.UNCALIBRATED,
    Reason.OUT_OF_RANGE,
}


class _Phase(Enum):
    OPENING = 1
    SWITCHING = 2
    WATCHING = 3
    KEEPING = 4


@dataclass(slots=True)
class _Trial:
    """``run``: the active recipe with the new bundle; ``standby``: with the old one, its scorers ready to go on."""

    wanted: WantedUpdate
    run: RecipeRun
    phase: _Phase = _Phase.OPENING
    standby: RecipeRun | None = None
    first_trigger: int = 0
    parts: int = 0
    invalid: int = 0
    slow: int = 0

    @property
    def inspections(self) -> set[str]:
        """Those that use the new bundle."""
        before = self.standby.scorers if self.standby else {}
        return {name for name, one in self.run.scorers.items() if before.get(name) is not one}


class BundleTrials:
    """At most one bundle is on trial. What is decided is written down by the loop, which says when that is done."""

    def __init__(
        self, out: list[Action], settings: UpdateSettings | None, recipes: Recipes, condition: Condition
    ) -> None:
        self._out = out
        self._settings = settings or UpdateSettings(folder="")
        self._recipes = recipes
        self._condition = condition
        self._trial: _Trial | None = None

    @property
    def wanted(self) -> WantedUpdate | None:
        """What is on trial."""
        return None if self._trial is None else self._trial.wanted

    @property
    def is_keeping(self) -> bool:
        """Whether it is being written down that the bundle is kept."""
        return self._trial is not None and self._trial.phase is _Phase.KEEPING

    def begin(self, wanted: WantedUpdate) -> None:
        """Opens a bundle beside the one in force. Where the active recipe does not use it, there is nothing to open."""
        run = self._recipes.begin_trial(wanted.old, wanted.new)
        self._trial = _Trial(wanted, run)
        self.scorer_ready()

    def uses(self, slot: ScorerSlot) -> bool:
        """Whether this scorer is one of the new bundle's."""
        trial = self._trial
        return trial is not None and slot.inspection in trial.run.scorers and self._is_new(trial, slot)

    def scorer_ready(self) -> None:
        """A scorer has opened and verified its bundle: when all of them have, the switch is written down."""
        if self._trial is not None and self._trial.phase is _Phase.OPENING and self._trial.run.is_ready:
            self._trial.phase = _Phase.SWITCHING
            self._note(Step.SWITCHED)

    def noted(self, what: NoteUpdate, error: str | None, next_trigger: int) -> None:
        """A step has been written down, or could not be. ``next_trigger``: of the part that comes next."""
        text = what.reason if error is None else f"{what.reason or what.step}, and it cannot be written down: {error}"
        trial, is_done = self._trial, error is None
        if trial is not None and trial.wanted == what.update and what.step != Step.RETURNED.value:
            if not is_done:
                trial.phase = _Phase.WATCHING
                self.end(f"{what.step} cannot be written down: {error}")
            elif what.step == Step.SWITCHED.value and trial.phase is _Phase.SWITCHING:
                self._switch(trial, next_trigger)
            elif what.step == Step.KEPT.value:
                self._keep(trial)
        if is_done or what.step == Step.RETURNED.value:
            one = what.update
            told = UpdateChanged(bundle=one.key, slot=one.slot, title=one.title, step=what.step, reason=text)
            self._out.append(Publish(told))

    def part_done(self, part: InspectedPart) -> None:
        """Watches a part that the new bundle has inspected."""
        trial = self._trial
        if trial is None or trial.phase is not _Phase.WATCHING or part.trigger < trial.first_trigger:
            return
        verdicts = [one.verdict for one in part.frames if one.inspection in trial.inspections]
        fault = next((name for name in self._condition.latched if name.startswith("stop rule")), None)
        if fault is not None:
            self.end(self._condition.causes.get(fault, fault))
            return
        is_bad = part.reason in {PartReason.LATE, PartReason.SCORER_LOST} or _is_bad(verdicts)
        if part.state is State.INVALID and not is_bad:
            return  # its frames were lost or damaged, which says nothing of the bundle
        trial.parts += 1
        trial.invalid += part.state is State.INVALID
        most_ms = self._settings.latency_ms
        trial.slow += most_ms is not None and any(v.latency_ms and v.latency_ms.total > most_ms for v in verdicts)
        self._decide(trial, verdicts)

    def end(self, why: str) -> None:
        """Back to the bundle before, at once; its scorers have been kept ready."""
        trial = self._trial
        if trial is None or self.is_keeping:
            return
        self._trial = None
        self._recipes.give_back(trial.run, trial.standby)
        self._out.append(NoteUpdate(trial.wanted, Step.RETURNED.value, why))
        self._condition.alarm(ALARM, f"{trial.wanted.title} was given back: {why}")

    # --- inside

    def _is_new(self, trial: _Trial, slot: ScorerSlot) -> bool:
        old = trial.standby if trial.standby is not None else self._recipes.active
        return trial.run.scorers[slot.inspection] is slot and old.scorers.get(slot.inspection) is not slot

    def _switch(self, trial: _Trial, next_trigger: int) -> None:
        trial.standby, trial.phase, trial.first_trigger = self._recipes.active, _Phase.WATCHING, next_trigger
        self._recipes.active = trial.run
        for name in trial.inspections:
            self._condition.clear(f"scorer {name}")
        if not trial.inspections or self._settings.watch_parts == 0:
            self._keeping(trial, "its recipe is not active" if not trial.inspections else "no part is watched")

    def _decide(self, trial: _Trial, verdicts: list[Verdict]) -> None:
        settings = self._settings
        allowed = int(settings.watch_parts * settings.allowed_percent / 100)
        if settings.drift != "off" and (text := _drifted(verdicts, settings.drift)):
            self.end(text)
        elif trial.invalid > allowed:
            last = next((v.detail or v.reason for v in verdicts if v.state is State.INVALID), "late")
            self.end(f"{trial.invalid} of {trial.parts} parts are INVALID, allowed are {allowed}: {last}")
        elif trial.slow > allowed:
            self.end(
                f"{trial.slow} of {trial.parts} parts took longer than latency_ms = {settings.latency_ms:g}, "
                f"allowed are {allowed}"
            )
        elif trial.parts >= settings.watch_parts:
            counted = f"{trial.parts} parts, {trial.invalid} INVALID, {trial.slow} slow"
            self._keeping(trial, counted)

    def _keeping(self, trial: _Trial, watched: str) -> None:
        trial.phase = _Phase.KEEPING
        self._note(Step.WATCHED, watched)
        self._note(Step.KEPT)

    def _keep(self, trial: _Trial) -> None:
        self._trial = None
        self._recipes.keep(trial.wanted.old, trial.wanted.new, trial.standby)

    def _note(self, step: Step, reason: str | None = None) -> None:
        assert self._trial is not None  # noqa: S101
        self._out.append(NoteUpdate(self._trial.wanted, step.value, reason))


def _is_bad(verdicts: Iterable[Verdict]) -> bool:
    return any(one.state is State.INVALID and one.reason in _OF_THE_BUNDLE for one in verdicts)


def _drifted(verdicts: Iterable[Verdict], limit: str) -> str | None:
    bad = {"RECALIBRATE"} if limit == "RECALIBRATE" else {"WATCH", "RECALIBRATE"}
    for one in verdicts:
        if one.drift is not None and one.drift.state.value in bad:
            return f"drift says {one.drift.state.value}: {', '.join(one.drift.causes) or 'no cause given'}"
    return None
