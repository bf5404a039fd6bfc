"""Which recipe is active, which is being made ready, and the scorers of both."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_ad.link.messages import RecipeChanged
from edge_ad.station.actions import Action, ChangeCamera, Publish, StartScorer, StopScorer
from edge_ad.station.scorers import JobBoard, RecipeRun, ScorerSlot

if TYPE_CHECKING:
    from edge_ad.station.station_file import StationFile

__all__ = ["Recipes"]


class Recipes:
    """Makes the scorers of a recipe ready beside those of the active one, and changes over between two parts.

    ``changing``: the cameras that are being set as the pending recipe wants them; ``None`` before that began.
    """

    def __init__(self, out: list[Action], file: StationFile, jobs: JobBoard) -> None:
        self._out = out
        self._file = file
        self._jobs = jobs
        self._next_slot = 1
        self._replaced: dict[str, str] = {}
        self.slots: dict[int, ScorerSlot] = {}
        self.pending: RecipeRun | None = None
        self.active = self._run_of(file.first_recipe, None)
        self.changing: set[str] | None = None
        self._retired: list[ScorerSlot] = []

    def request(self, name: str) -> None:
        """Begins to make a recipe ready; the one that is active needs nothing."""
        if name != self.active.name:
            self.pending = self._run_of(name, self.active)
        self.tell(name)

    def change_cameras(self) -> set[str]:
        """Sets the cameras that the pending recipe, which has verified, wants otherwise; once. Those cameras."""
        if self.pending is None or not self.pending.is_ready or self.changing is not None:
            return set()
        before, after = self._file.cameras(self.active.name), self._file.cameras(self.pending.name)
        self.changing = {name for name in after if after[name] != before[name]}
        self._out += [ChangeCamera(name, self.pending.name) for name in sorted(self.changing)]
        return self.changing

    def switch(self) -> None:
        """Changes over to the pending recipe; the caller sees to it that no part is open, and all of it is ready."""
        if self.pending is None:
            return
        old, self.active, self.pending, self.changing = self.active, self.pending, None, None
        self._stop_unused(old)
        self.tell(self.active.name)

    def give_up(self, why: str) -> set[str]:
        """The pending recipe does not verify: the active one goes on. The cameras that get its settings back."""
        failed, changed = self.pending, self.changing or set()
        self.pending = self.changing = None
        if failed is not None:
            self._stop_unused(failed)
            self._out += [ChangeCamera(name, self.active.name) for name in sorted(changed)]
            self.tell(failed.name, error=why)
        return changed

    def bundles(self, recipe: str | None = None) -> dict[str, str]:
        """The bundle in force of each inspection of a recipe, by default the active one. One on trial is not."""
        inspections = self._file.inspections(recipe or self.active.name)
        return {name: self._replaced.get(one.bundle, one.bundle) for name, one in inspections.items()}

    # --- a deployed bundle

    def begin_trial(self, old: str, new: str) -> RecipeRun:
        """The active recipe with the bundle ``new`` in the place of ``old``, opened beside the one in force."""
        return self._run_of(self.active.name, self.active, {old: new})

    def give_back(self, run: RecipeRun, standby: RecipeRun | None) -> None:
        """The trial of ``run`` is over; where it was active, ``standby`` goes on."""
        if standby is not None:
            self.active = standby
        self._retire(run)

    def keep(self, old: str, new: str, standby: RecipeRun | None) -> None:
        """From now on ``new`` is used wherever ``old`` was."""
        self._replaced = {path: new if used == old else used for path, used in self._replaced.items()} | {old: new}
        if standby is not None:
            self._retire(standby)

    def stop_retired(self, used: set[int]) -> None:
        """Ends scorers that were replaced, as soon as no open part needs them. ``used``: numbers of those that are."""
        for slot in [one for one in self._retired if one.number not in used]:
            self._retired.remove(slot)
            self._jobs.lost(slot)
            del self.slots[slot.number]
            self._out.append(StopScorer(slot.number))

    def is_active(self, slot: ScorerSlot) -> bool:
        """Whether the active recipe uses this scorer."""
        return any(one is slot for one in self.active.scorers.values())

    def is_pending(self, slot: ScorerSlot) -> bool:
        """Whether this scorer is only there for the recipe that is being made ready."""
        return self.pending is not None and slot in self.pending.scorers.values() and not self.is_active(slot)

    def tell(self, requested: str, *, error: str | None = None, acknowledged: bool = False) -> None:
        """Publishes where the recipe stands."""
        event = RecipeChanged(requested=requested, active=self.active.name, error=error, acknowledged=acknowledged)
        self._out.append(Publish(event))

    def _run_of(self, name: str, base: RecipeRun | None, trial: dict[str, str] | None = None) -> RecipeRun:
        """The scorers of a recipe; those that ``base`` has with the same settings are shared."""
        scorers: dict[str, ScorerSlot] = {}
        before = {} if base is None else self._file.inspections(base.name)
        for inspection, settings in self._file.inspections(name).items():
            used = self._replaced.get(settings.bundle, settings.bundle)
            bundle = (trial or {}).get(used, used)
            if base is not None and before[inspection] == settings and bundle == used:
                scorers[inspection] = base.scorers[inspection]
                continue
            slot = ScorerSlot(self._next_slot, inspection, settings.camera, settings.hang_ms * 1_000_000)
            self._next_slot += 1
            self.slots[slot.number] = scorers[inspection] = slot
            other = None if bundle == settings.bundle else bundle
            self._out.append(StartScorer(slot.number, name, inspection, other, is_trial=bundle != used))
        return RecipeRun(name, scorers)

    def _retire(self, run: RecipeRun) -> None:
        self._retired += [one for one in run.scorers.values() if not self.is_active(one)]

    def _stop_unused(self, run: RecipeRun) -> None:
        for slot in run.scorers.values():
            if not self.is_active(slot):
                self._jobs.lost(slot)
                del self.slots[slot.number]
                self._out.append(StopScorer(slot.number))
