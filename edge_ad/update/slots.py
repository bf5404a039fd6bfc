"""Where deployed bundles lie, and the journal that says which of them is in force.

Each bundle that the station file names has a folder of its own: ``slots/N`` are the bundles that were deployed in its
place, and ``journal.jsonl`` has a line for each step of each of them. A step has been taken when its line has reached
the disk. Nothing else says which bundle is in force, so after a power cut it is the one before a step or the one after.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from enum import Enum
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from edge_ad.bundle import Bundle, BundleWriter, calibration_name
from edge_ad.bundle.fields import Record
from edge_ad.bundle.signature import read_signature
from edge_ad.errors import BundleError, DeviceError, OutputError
from edge_ad.files import append_synced, check_space, output_error, read_small, sync_folder

__all__ = ["FOLLOWING", "JournalLine", "SlotState", "Slots", "Step", "UpdateSettings", "slot_number"]

_SLOTS, _JOURNAL, _LOCK = "slots", "journal.jsonl", "lock"
_LOCK_S, _LOCK_PAUSE_S = 5.0, 0.01
_MOST_BYTES = 256 << 20


class UpdateSettings(Record, frozen=True, kw_only=True):
    """``[update]``: bundles may be deployed to this station; they lie in ``folder``.

    ``watch_parts``: how many parts a new bundle inspects before it is kept. ``latency_ms``: how long it may take for a
    frame. ``allowed_percent``: how many of the watched parts may take longer, and how many may be INVALID because of
    the bundle. ``drift``: the state of drift that sends it back.
    """

    folder: str
    watch_parts: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 100
    latency_ms: Annotated[float, msgspec.Meta(gt=0, le=600_000)] | None = None
    allowed_percent: Annotated[float, msgspec.Meta(ge=0, lt=100)] = 1.0
    drift: Literal["WATCH", "RECALIBRATE", "off"] = "RECALIBRATE"


class Step(str, Enum):
    """What has been done with a deployed bundle."""

    STAGED = "STAGED"
    CHECKED = "CHECKED"
    REFUSED = "REFUSED"
    SWITCHED = "SWITCHED"
    WATCHED = "WATCHED"
    KEPT = "KEPT"
    RETURNED = "RETURNED"


FOLLOWING: dict[Step | None, tuple[Step, ...]] = {
    None: (Step.STAGED, Step.REFUSED),
    Step.STAGED: (Step.CHECKED, Step.REFUSED),
    Step.CHECKED: (Step.SWITCHED, Step.RETURNED),
    Step.SWITCHED: (Step.WATCHED, Step.RETURNED),
    Step.WATCHED: (Step.KEPT, Step.RETURNED),
    Step.KEPT: (Step.RETURNED,),
}
"""Which steps may follow each step of a slot."""


class JournalLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One step. ``bundle``: name and version. ``manifest``: its SHA-256. ``time``: UTC."""

    time: str
    slot: int
    step: Step
    bundle: str
    manifest: str = ""
    who: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class SlotState:
    """``active`` is in force, and ``previous`` was before it; ``None``: the bundle that the station file names.

    ``trial``: is watched, and not kept yet. ``last``: the last line of the journal.
    """

    active: int | None = None
    previous: int | None = None
    trial: int | None = None
    last: JournalLine | None = None


def slot_number(bundle: str | Path) -> int | None:
    """The number of the slot that a bundle lies in; ``None`` where it lies somewhere else."""
    path = Path(bundle)
    return int(path.name) if path.parent.name == _SLOTS and path.name.isdecimal() else None


class Slots:
    """The bundles that were deployed in place of one that the station file names.

    ``named``: the path of that one, without which the same folder can be found by its ``key``.
    """

    def __init__(self, folder: Path, named: str) -> None:
        told = os.path.relpath(named, folder)
        stem = re.sub(r"[^A-Za-z0-9._-]", "-", Path(named).stem)[:64]
        self.key = f"{stem}-{hashlib.sha256(told.encode()).hexdigest()[:8]}"
        self.named = named
        self.folder = folder / self.key
        self._journal = self.folder / _JOURNAL

    def path(self, slot: int) -> Path:
        """Where the bundle of a slot lies."""
        return self.folder / _SLOTS / str(slot)

    def lines(self) -> tuple[JournalLine, ...]:
        """The journal. A line that a power cut has torn says nothing, and nobody was told that it stands there."""
        try:
            data = read_small(self._journal, _MOST_BYTES)
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise OutputError(f"{self._journal}: cannot be read: {error.strerror}") from error
        found = []
        for line in data.split(b"\n")[:-1]:
            with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
                found.append(msgspec.json.decode(line, type=JournalLine))
        return tuple(found)

    def state(self) -> SlotState:
        """Which slots count, as the journal has it."""
        return _state_of(self.lines())

    def in_force(self) -> tuple[str, tuple[str, ...]]:
        """The bundle to be used at a start, and what is wrong with those that came before it.

        The active one where all of its files are as they were, else the previous one, else the one that is named.
        """
        state, wrong = self.state(), []
        for slot in (state.active, state.previous):
            if slot is None:
                break
            try:
                check_files(Bundle.open(self.path(slot)))
            except (BundleError, OSError, ValueError) as error:
                wrong.append(f"the deployed bundle {self.path(slot)} cannot be used: {error}")
                continue
            return str(self.path(slot)), tuple(wrong)
        return self.named, tuple(wrong)

    def note(
        self, step: Step, slot: int, bundle: Bundle | None = None, *, who: str | None = None, reason: str | None = None
    ) -> JournalLine:
        """Takes a step: its line has reached the disk when this returns. ``bundle``: where its slot is new.

        Raises:
            OutputError: it cannot be written; then the step is not taken.
            DeviceError: it does not follow the last step of this slot.
        """
        with self._alone():
            last = next((one for one in reversed(self.lines()) if one.slot == slot), None)
            if step not in FOLLOWING.get(None if last is None else last.step, ()):
                raise DeviceError(f"slot {slot} cannot be {step.value}: it is {last.step.value if last else 'unknown'}")
            known = last or _line_of(slot, bundle)
            line = msgspec.structs.replace(known, time=_now(), step=step, who=who or known.who, reason=reason)
            _append(self._journal, msgspec.json.encode(line) + b"\n")
        return line

    @contextlib.contextmanager
    def staging(self) -> Iterator[int]:
        """The number of a new slot; nobody else stages or clears away meanwhile.

        Raises:
            DeviceError: somebody else does.
        """
        with self._held(wait=False) as is_held:
            if not is_held:
                raise DeviceError(f"another update of {self.named} is under way: wait until it has ended")
            there = [int(one.name) for one in self._slots() if one.name.isdecimal()]
            yield 1 + max([0, *there, *(one.slot for one in self.lines())])

    def stage(self, bundle: Bundle, slot: int) -> Bundle:
        """Copies a bundle into its slot, whole or not at all; each file is compared with its SHA-256 on the way.

        Raises:
            BundleError: a file is missing or was changed.
            OutputError: it cannot be written.
        """
        check_space(self.folder, 1.1 * sum(entry.bytes for entry in bundle.manifest.files.values()))
        with BundleWriter(self.path(slot)) as writer:
            companions = {
                name: data
                for name in map(calibration_name, bundle.manifest.variants)
                if (data := bundle.companion(name)) is not None
            } | read_signature(bundle)
            for name in (*bundle.manifest.files, *companions):
                path = writer.root / name
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("wb") as file:
                    file.write(companions[name] if name in companions else bundle.read(name))
                    file.flush()
                    os.fsync(file.fileno())
            for folder in [one for one in writer.root.rglob("*") if one.is_dir()]:
                sync_folder(folder)
            return writer.commit_sealed(bundle.manifest_bytes)

    def unfinished(self) -> tuple[JournalLine, ...]:
        """The last line of each slot that was staged or checked, where whoever did so has ended without another one."""
        if not self.folder.is_dir():
            return ()
        with self._held(wait=False) as is_held:
            last = {one.slot: one for one in self.lines()} if is_held else {}
        return tuple(one for one in last.values() if one.step in {Step.STAGED, Step.CHECKED})

    def unexplained(self) -> tuple[int, ...]:
        """The slots whose bundle is there, and of which the journal does not say what became: it has lost lines."""
        lines, there = self.lines(), [int(one.name) for one in self._slots() if one.name.isdecimal()]
        last, trial = {one.slot: one.step for one in lines}, _state_of(lines).trial
        # A copy that was ended before its first line has the next number.
        next_one = max(last) + 1 if last else 1 - (self.folder / f"{_JOURNAL}.lock").exists()
        return tuple(
            one
            for one in sorted(there)
            if (last[one] in {Step.SWITCHED, Step.WATCHED} and one != trial if one in last else one > next_one)
        )

    def discard(self, slot: int) -> None:
        """Removes a slot that was not taken into use."""
        shutil.rmtree(self.path(slot), ignore_errors=True)

    def clear_away(self, *others: int) -> None:
        """Removes what is neither active nor previous nor one of ``others``, unless somebody stages a bundle now."""
        if not self.folder.is_dir():
            return
        state = self.state()
        kept = {str(one) for one in (state.active, state.previous, *others)}
        with self._held(wait=False) as is_held:
            for one in self._slots() if is_held else []:
                if one.name not in kept:
                    shutil.rmtree(one, ignore_errors=True)

    # --- inside

    def _slots(self) -> list[Path]:
        try:
            return list((self.folder / _SLOTS).iterdir())
        except FileNotFoundError:
            return []
        except OSError as error:
            raise OutputError(f"{self.folder / _SLOTS}: cannot be read: {error.strerror}") from error

    @contextlib.contextmanager
    def _held(self, *, wait: bool, name: str = _LOCK) -> Iterator[bool]:
        """Whether the lock is ours now. ``wait``: for some seconds, where another process has it."""
        try:
            self._make_folders()
            file = os.open(self.folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o664)
        except OSError as error:
            raise output_error(self.folder, error) from error
        try:
            end = time.monotonic() + (_LOCK_S if wait else 0.0)
            while not (is_ours := _locked(file)) and time.monotonic() < end:
                time.sleep(_LOCK_PAUSE_S)
            yield is_ours
        finally:
            os.close(file)

    def _make_folders(self) -> None:
        new = [one for one in (self.folder / _SLOTS, self.folder, self.folder.parent) if not one.exists()]
        (self.folder / _SLOTS).mkdir(parents=True, exist_ok=True)
        for one in reversed(new):
            sync_folder(one.parent)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """No other process appends to the journal meanwhile."""
        with self._held(wait=True, name=f"{_JOURNAL}.lock") as is_ours:
            if not is_ours:
                raise OutputError(f"{self._journal}: another process holds the journal")
            yield


def _locked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def check_files(bundle: Bundle) -> None:
    """Compares every file of a bundle with its SHA-256. Raises :class:`BundleError`."""
    for name in bundle.manifest.files:
        bundle.check_file(name)


def _state_of(lines: tuple[JournalLine, ...]) -> SlotState:
    active: int | None = None
    previous: int | None = None
    trial: int | None = None
    for line in lines:
        if line.step is Step.KEPT:
            active, previous = line.slot, active
        elif line.step is Step.RETURNED and line.slot == active:
            active, previous = previous, None
        if line.step in {Step.SWITCHED, Step.WATCHED}:
            trial = line.slot
        elif line.slot == trial:
            trial = None
    return SlotState(active, previous, trial, lines[-1] if lines else None)


def _line_of(slot: int, bundle: Bundle | None) -> JournalLine:
    if bundle is None:
        return JournalLine(time="", slot=slot, step=Step.STAGED, bundle="unknown")
    manifest = hashlib.sha256(bundle.manifest_bytes).hexdigest()
    name = f"{bundle.manifest.name}@{bundle.manifest.version}"
    return JournalLine(time="", slot=slot, step=Step.STAGED, bundle=name, manifest=manifest)


def _now() -> str:
    return datetime.fromtimestamp(time.time(), timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _append(path: Path, line: bytes) -> None:
    """Adds a line, or nothing. Half a line that a power cut has left is ended first."""
    is_new = not path.exists()
    try:
        file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o664)
        try:
            size = os.fstat(file).st_size
            torn = size and os.pread(file, 1, size - 1) != b"\n"
            append_synced(file, b"\n" + line if torn else line)
        finally:
            os.close(file)
        if is_new:
            sync_folder(path.parent)
    except OSError as error:
        raise output_error(path, error) from error
