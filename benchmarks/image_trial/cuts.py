"""The power goes: QEMU is killed at random moments of updates of the model and of the system."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.image_trial.disks import grub_choice, judge_here, slot_digest
from benchmarks.image_trial.emulator import Disk, Emulator
from benchmarks.image_trial.material import make_stick
from benchmarks.image_trial.trial import BOOT_S, Found, Row, Trial, Verdicts

__all__ = ["good_update", "model_cuts", "system_cuts"]

_BOOTED_EVERY = 6


def model_cuts(trial: Trial) -> Iterator[Row]:
    """Cuts during ``edge-ad deploy``, spread over all of it; each is judged by its disk, and some by a boot."""
    for number in range(trial.model_cuts):
        moment = trial.figures["deploy_s"] * (number + trial.random.random()) / trial.model_cuts
        disk = trial.disk()
        with trial.device(disk, frozen=trial.frozen) as emulator:
            emulator.thaw()
            trial.ask("station")
            asked = trial.deploy("second")
            time.sleep(moment)
            emulator.cut()
            asked.kill()
            asked.wait()
        said = [line for line in trial.deploy_said if line.startswith("tiny@2")]
        is_booted = number % _BOOTED_EVERY == _BOOTED_EVERY - 2
        found, how = judge_here(trial, disk), "its disk"
        if is_booted:
            with trial.device(disk):
                booted, how = trial.judged(), "its disk and a boot"
            assert booted.bundle == found.bundle, f"the boot used {booted.bundle}, its disk said {found.bundle}"
            found = Found("", found.bundle, _both(trial, found, booted))
        was_kept = any("KEPT" in line for line in said)
        allowed = {"tiny@2"} if was_kept else {"tiny@1", "tiny@2"}
        step = said[-1].split()[1] if said else "nothing said yet"
        outcome = f"READY, judged by {how}"
        title = f"power cut {number + 1} of a model update, after {moment:.1f} s ({step})"
        yield found.row(title, outcome, found.bundle in allowed)
        disk.remove()


def _both(trial: Trial, one: Found, other: Found) -> Verdicts:
    held = trial.verdicts()
    for found in (one.verdicts, other.verdicts):
        held.wrong += found.wrong
        held.other += found.other
        held.seen += found.seen
    return held


@dataclass(frozen=True)
class Point:
    """A device in the midst of a system update. ``after``: seconds since the stick was plugged in."""

    after: float
    disk: str
    memory: str


def good_update(trial: Trial) -> tuple[Found, str]:
    """An update of the system that nobody disturbs, and what the device has said.

    On its way the device is frozen a few times, so that cuts need not begin at the stick each time.
    """
    stick = make_stick(trial.material.empty(), trial.material.folder / "update.stick", trial.updates["good"])
    disk, points, paused = trial.disk(), [], 0.0
    with trial.device(disk, frozen=trial.frozen) as emulator:
        emulator.thaw()
        emulator.plug_in(stick)
        began = time.monotonic()
        for number, wait in enumerate(_POINTS):
            wait(emulator)
            stopped = time.monotonic()
            memory = trial.material.folder / f"point-{number}.memory"
            emulator.freeze(memory)
            copy = disk.copy(trial.material.folder / f"point-{number}.qcow2")
            points.append(Point(stopped - began - paused, str(copy.path), str(memory)))
            emulator.thaw()
            paused += time.monotonic() - stopped
            if number == _INSTALLED:
                trial.figures["install_s"] = points[-1].after
                trial.figures["install_written_mb"] = emulator.written_bytes() / 1e6
        found = trial.healthy(emulator)
        trial.figures["update_s"] = time.monotonic() - began - paused
        trial.figures["update_written_mb"] = emulator.written_bytes() / 1e6
        said = emulator.serial()
    _points_file(trial).write_text(json.dumps([asdict(one) for one in points]), encoding="utf-8")
    trial.keep_figures()
    disk.copy(trial.material.folder / "updated.qcow2")
    disk.remove()
    return found, said


def _wait_written(megabytes: float) -> Callable[[Emulator], None]:
    def wait(emulator: Emulator) -> None:
        end = time.monotonic() + BOOT_S
        while emulator.written_bytes() < megabytes * 1e6:
            if time.monotonic() > end:
                raise TimeoutError(f"the device has not written {megabytes} MB")
            time.sleep(0.2)

    return wait


def _wait_said(pattern: str) -> Callable[[Emulator], None]:
    def wait(emulator: Emulator) -> None:
        emulator.wait_for(pattern, BOOT_S)

    return wait


_INSTALLED = 2
_POINTS = (
    _wait_written(30),
    _wait_written(250),
    _wait_said("the new system is installed"),
    _wait_said("edge-ad: starting slot B"),
    _wait_said("Starting .*edge-ad@line1"),
)


def _points_file(trial: Trial) -> Path:
    return trial.material.folder / "points.json"


def system_cuts(trial: Trial) -> Iterator[Row]:
    """Cuts between the stick and the first healthy boot of the new system, each judged by its disk, and half by a boot.

    By the disk: the slot that GRUB starts holds the old or the new system to the last byte, and the station starts from
    the data partition.
    """
    if not _points_file(trial).exists():
        good_update(trial)
    points = [Point(**one) for one in json.loads(_points_file(trial).read_text(encoding="utf-8"))]
    stick, updated = trial.material.folder / "update.stick", Disk(trial.material.folder / "updated.qcow2")
    whole = {"A": slot_digest(trial, Disk(trial.base), "A"), "B": slot_digest(trial, updated, "B")}
    for number in range(trial.system_cuts):
        moment = trial.figures["update_s"] * (number + trial.random.random()) / trial.system_cuts
        disk = _cut_at(trial, moment, points, stick)
        slot = grub_choice(trial, disk)
        is_whole = slot_digest(trial, disk, slot) == whole[slot]
        found, how = judge_here(trial, disk), "its disk"
        if number % 2 == 1:
            with trial.device(disk) as emulator:
                booted, how = trial.judged(), "its disk and a boot"
                started = emulator.serial().rpartition("edge-ad: starting slot ")[2][:1]
            assert (started, booted.bundle) == (slot, found.bundle), f"GRUB has started {started}, expected {slot}"
            found = Found("", found.bundle, _both(trial, found, booted))
        outcome = f"READY, judged by {how}; slot {slot} is {'whole' if is_whole else 'damaged'}"
        title = f"power cut {number + 1} of a system update, after {moment:.0f} s of {trial.figures['update_s']:.0f} s"
        yield Found(f"slot {slot}", found.bundle, found.verdicts).row(
            title, outcome, is_whole and found.bundle == "tiny@1"
        )
        disk.remove()


def _cut_at(trial: Trial, moment: float, points: list[Point], stick: Path) -> Disk:
    """The disk of a device whose power went so many seconds after the stick was plugged in."""
    before = [one for one in points if one.after <= moment]
    if not before:
        disk = trial.disk()
        with trial.device(disk, frozen=trial.frozen) as emulator:
            emulator.thaw()
            emulator.plug_in(stick)
            time.sleep(moment)
        return disk
    point = before[-1]
    disk = Disk(Path(point.disk)).copy(trial.disk().path)
    with trial.device(disk, frozen=Path(point.memory), stick=stick) as emulator:
        emulator.thaw()
        time.sleep(moment - point.after)
    return disk
