"""The deployed bundles of a station: which are in force, which one is wanted, and writing down what became of it."""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edge_ad.bundle import Bundle, TrustStore
from edge_ad.errors import BundleError, EdgeAdError, InputError, one_line
from edge_ad.link import default_path
from edge_ad.station.actions import NoteUpdate, WantedUpdate
from edge_ad.update import BundleUse, DeployOrder, Slots, Step, UpdateSettings

if TYPE_CHECKING:
    from edge_ad.station.station_file import StationFile
    from edge_ad.update.road import RecordStep

__all__ = ["StationUpdates", "bundles_in_force", "damaged_bundles", "deploy_order", "in_force"]


def deploy_order(
    file: StationFile, bundle: Path, recipe: str | None, inspection: str | None, who: str | None
) -> DeployOrder:
    """What it takes to deploy a bundle to this station.

    ``recipe``, ``inspection``: whose bundle is replaced; where only one bundle comes into question, they may be left
    out.

    Raises:
        InputError: the station file does not say where to, or more than one bundle comes into question.
    """
    if file.update is None:
        raise InputError('the station takes no deployed bundles: add a table [update] with folder = "updates"')
    if file.link is None:
        raise InputError("deploying a bundle needs a table [link] in the station file")
    for name, known, option in ((recipe, file.recipes, "recipe"), (inspection, tuple(file.inspect), "inspection")):
        if name is not None and name not in known:
            raise InputError(f"no {option} {name!r} in the station file: there are {', '.join(known)}")
    uses = list(_uses(file))
    wanted = sorted(
        {path for path, use in uses if recipe in {None, use.recipe} and inspection in {None, use.inspection}}
    )
    if len(wanted) != 1:
        options = ", ".join(f"{use.recipe}/{use.inspection}" for path, use in uses if path in wanted)
        raise InputError(f"several bundles could be replaced ({options}): name one by --recipe and --inspection")
    given = file.link.socket
    return DeployOrder(
        bundle=bundle,
        settings=file.update,
        named=wanted[0],
        uses=tuple(use for path, use in uses if path == wanted[0]),
        socket=Path(given) if given is not None else default_path(file.station.name),
        trust=None if file.trust is None else file.trust.store,
        who=who,
    )


def _uses(file: StationFile) -> list[tuple[str, BundleUse]]:
    """Each bundle that the file names, and how an inspection of a recipe uses it."""
    return [
        (
            one.bundle,
            BundleUse(
                recipe=recipe,
                inspection=name,
                variant=one.variant,
                calibration=one.calibration,
                device=one.device,
                threads=one.threads,
                challenge=one.challenge,
            ),
        )
        for recipe in file.recipes
        for name, one in file.inspections(recipe).items()
    ]


def bundles_in_force(file: StationFile) -> dict[str, str]:
    """For each bundle that the file names, where the one lies that is used in its place."""
    return {} if file.update is None else {one.named: one.in_force()[0] for one in _stores(file, file.update)}


def damaged_bundles(file: StationFile) -> tuple[str, ...]:
    """What is wrong with deployed bundles, so that others are used in their places."""
    stores = [] if file.update is None else _stores(file, file.update)
    return tuple(said for one in stores for said in one.in_force()[1])


def in_force(file: StationFile) -> StationFile:
    """The same station with the bundles that were deployed to it, where they are whole."""
    places = bundles_in_force(file)

    def replaced(path: str | None) -> str | None:
        return None if path is None else places.get(path, path)

    inspect = {k: msgspec.structs.replace(v, bundle=replaced(v.bundle)) for k, v in file.inspect.items()}
    recipe = {}
    for name, settings in file.recipe.items():
        changed = {k: msgspec.structs.replace(v, bundle=replaced(v.bundle)) for k, v in settings.inspect.items()}
        recipe[name] = msgspec.structs.replace(settings, inspect=changed)
    return msgspec.structs.replace(file, inspect=inspect, recipe=recipe)


def _stores(file: StationFile, settings: UpdateSettings) -> list[Slots]:
    return [Slots(Path(settings.folder), path) for path in sorted({path for path, _ in _uses(file)})]


class StationUpdates:
    """The deployed bundles of a running station. Writes in a thread of its own: a verdict never waits for the disk.

    ``file``: as it was read. ``record``: puts a step into the audit trail.
    """

    def __init__(self, file: StationFile, record: RecordStep | None = None) -> None:
        self._stores = {} if file.update is None else {one.key: one for one in _stores(file, file.update)}
        self._trust = None if file.trust is None else Path(file.trust.store)
        self._record = record
        self._in_force = {key: one.in_force()[0] for key, one in self._stores.items()}
        self._orders: queue.SimpleQueue[NoteUpdate | None] = queue.SimpleQueue()
        self._done: deque[tuple[NoteUpdate, str | None]] = deque()
        self._woken, self._waking = socket.socketpair()
        self._woken.setblocking(False)
        self._thread = threading.Thread(target=self._run, name="updates", daemon=True)
        self._thread.start()

    def begin(self) -> list[str]:
        """Gives back what was on trial when the station ended, and clears away what is left; what was done."""
        return [said for slots in self._stores.values() for said in self._begin(slots)]

    def _begin(self, slots: Slots) -> list[str]:
        said: list[str] = []
        try:
            self._clear_up(slots, said)
        except EdgeAdError as error:
            said.append(str(error))
        return said

    def _clear_up(self, slots: Slots, said: list[str]) -> None:
        state, (used, wrong) = slots.state(), slots.in_force()
        unexplained = slots.unexplained()
        if unexplained:
            said.append(
                f"the journal of {slots.folder} has lost lines: it does not say what became of the bundles in slots "
                f"{', '.join(map(str, unexplained))}; {used} is used, deploy the one that you want again"
            )
        ended = [] if state.trial is None else [(state.trial, "the station ended before it was kept")]
        ended += [(one.slot, "its deployment ended before the station used it") for one in slots.unfinished()]
        damaged = [one for one in (state.active, state.previous) if one is not None]
        for slot, why in [*ended, *zip(damaged, wrong, strict=False)]:
            last = next(one for one in reversed(slots.lines()) if one.slot == slot)
            step = Step.REFUSED if last.step is Step.STAGED else Step.RETURNED
            said.append(f"{last.bundle} was {'refused' if step is Step.REFUSED else 'given back'}: {why}")
            try:
                slots.note(step, slot, reason=why)
                if self._record is not None:
                    self._record(slots, step.value, last.bundle, None, why)
            except EdgeAdError as error:
                said.append(str(error))
        slots.clear_away(*unexplained)

    def find(self, key: str, slot: int) -> WantedUpdate:
        """The bundle that is asked for.

        Raises:
            InputError: there is none, or it was not checked.
        """
        slots = self._stores.get(key)
        if slots is None:
            raise InputError(f"the station file names no bundle that {key!r} could replace")
        last = next((one for one in reversed(slots.lines()) if one.slot == slot), None)
        if last is None or last.step is not Step.CHECKED or not slots.path(slot).is_dir():
            raise InputError(
                f"slot {slot} of {key} was not checked: expected CHECKED, found {last and last.step.value}"
            )
        return WantedUpdate(key, slot, last.bundle, self._in_force[key], str(slots.path(slot)))

    def note(self, what: NoteUpdate) -> None:
        """Writes a step down, in the order of the calls."""
        self._orders.put(what)

    def fileno(self) -> int:
        """Readable when something has been written down."""
        return self._woken.fileno()

    def noted(self) -> list[tuple[NoteUpdate, str | None]]:
        """What has been written down since the last call, and the error where it could not be."""
        with contextlib.suppress(BlockingIOError):
            self._woken.recv(4096)
        found = []
        while self._done:
            found.append(self._done.popleft())
        return found

    def close(self) -> None:
        """Ends when all of it is written."""
        self._orders.put(None)
        self._thread.join(5.0)
        self._woken.close()
        self._waking.close()

    def _run(self) -> None:
        while (what := self._orders.get()) is not None:
            error = None
            try:
                self._write(what)
            except (EdgeAdError, OSError) as problem:
                error = one_line(problem)
            self._done.append((what, error))
            with contextlib.suppress(OSError):
                self._waking.send(b"\0")

    def _write(self, what: NoteUpdate) -> None:
        slots, update = self._stores[what.update.key], what.update
        if self._record is not None:
            who = next((one.who for one in reversed(slots.lines()) if one.slot == update.slot), None)
            self._record(slots, what.step, update.title, who, what.reason)
        slots.note(Step(what.step), update.slot, reason=what.reason)
        if what.step == Step.KEPT.value:
            self._in_force[update.key] = update.new
            self._remember(update.new)
        if what.step in {Step.KEPT.value, Step.RETURNED.value}:
            slots.clear_away()

    def _remember(self, path: str) -> None:
        """From now on no older bundle of its name is taken; not before, or the one in force could not be used again."""
        if self._trust is not None:
            with contextlib.suppress(BundleError, OSError):  # its scorer remembers it at the next start
                bundle, store = Bundle.open(path), TrustStore(self._trust)
                store.remember(bundle, store.check(bundle))
