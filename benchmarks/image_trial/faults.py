"""Each fault of the table: what is done to the device, and what its next boot ends in."""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from benchmarks.image_trial.cuts import good_update, model_cuts, system_cuts
from benchmarks.image_trial.disks import damage_slot, fill_data, slot_digest
from benchmarks.image_trial.emulator import MIB, Disk
from benchmarks.image_trial.material import broken_update, make_certificate, make_stick
from benchmarks.image_trial.trial import BOOT_S, Row, Trial

__all__ = ["DISK_SIZE", "FAULTS", "make_updates"]

DISK_SIZE = "2G"


def models(trial: Trial) -> Iterator[Row]:
    """Models that a device must not keep: golden frames that differ, a crash at load, too slow."""
    names = {"golden": "golden frames fail", "crash": "crashes the engine at load", "slow": "too slow"}
    for kind, name in names.items():
        disk = trial.disk()
        with trial.device(disk, frozen=trial.frozen) as emulator:
            emulator.thaw()
            asked = trial.deploy(kind)
            asked.wait(BOOT_S)
            found = trial.judged()
        passed = asked.returncode == 3 and found.bundle == "tiny@1"
        yield found.row(f"a model: {name}", f"exit code {asked.returncode}: {trial.deploy_said[-1]}", passed)
        disk.remove()


def refused_updates(trial: Trial) -> Iterator[Row]:
    """Updates of the system that a device must not take. None may touch the other slot."""
    names = {
        "broken": ("payload changed", "is damaged"),
        "expired": ("expired certificate", "certificate has expired"),
        "older": ("older version", "is older than"),
    }
    before = slot_digest(trial, Disk(trial.base), "B")
    for kind, (name, reason) in names.items():
        stick = make_stick(trial.material.empty(), trial.material.folder / "refused.stick", trial.updates[kind])
        disk = trial.disk()
        with trial.device(disk, frozen=trial.frozen) as emulator:
            emulator.thaw()
            emulator.plug_in(stick)
            line = emulator.wait_for("update.raucb was refused|the new system is installed", BOOT_S)
            found = trial.judged()
        is_untouched = slot_digest(trial, disk, "B") == before
        said = line.partition("edge-ad: ")[2][:160]
        outcome = f"{said}; the other slot is {'untouched' if is_untouched else 'overwritten'}"
        yield found.row(f"a system update: {name}", outcome, reason in line and is_untouched)
        disk.remove()


def system_update(trial: Trial) -> Iterator[Row]:
    """A good update, and one that does not start."""
    found, _ = good_update(trial)
    yield found.row("a system update: good", "installed beside the running station", found.system.endswith("B"))
    stick = make_stick(trial.material.empty(), trial.material.folder / "dead.stick", trial.updates["dead"])
    disk = trial.disk()
    with trial.device(disk, frozen=trial.frozen) as emulator:
        emulator.thaw()
        emulator.plug_in(stick)
        emulator.wait_for("edge-ad: starting slot B", BOOT_S)
        emulator.wait_for("edge-ad: starting slot A", BOOT_S)
        found = trial.healthy(emulator)
        tries = emulator.serial().count("edge-ad: starting slot B")
    yield found.row(
        "a system update: does not start",
        f"slot B was tried {tries} times, then slot A started by itself",
        found.system.endswith("A"),
    )
    disk.remove()


def full_data(trial: Trial) -> Iterator[Row]:
    """No block of the data partition is free at boot."""
    disk = trial.disk()
    fill_data(trial, disk)
    with trial.device(disk) as emulator:
        yield trial.healthy(emulator).row("full data partition", "READY")
    disk.remove()


def corrupted_slot(trial: Trial) -> Iterator[Row]:
    """The slot that was updated and that is started first has a hole at its head."""
    last = trial.material.folder / "updated.qcow2"
    if not last.exists():
        good_update(trial)
    disk = Disk(last).copy(trial.disk().path)
    damage_slot(trial, disk, "B", 0, 16 * MIB)
    with trial.device(disk) as emulator:
        found = trial.healthy(emulator)
        tries = emulator.serial().count("edge-ad: starting slot B")
    yield found.row(
        "corrupted slot", f"slot B was tried {tries} times, then slot A started by itself", found.system.endswith("A")
    )
    disk.remove()


def wrong_clock(trial: Trial) -> Iterator[Row]:
    """The clock's battery is empty."""
    disk = trial.disk()
    with trial.device(disk, clock="1970-01-02") as emulator:
        yield trial.healthy(emulator).row("clock at 1970", "READY")
    disk.remove()


def no_camera(trial: Trial) -> Iterator[Row]:
    """A new device whose camera is not plugged in: it is reachable, says FAULT, and accepts nothing."""
    stick = make_stick(trial.material.station("/dev/video9"), trial.material.folder / "camera.stick")
    disk = Disk.over(trial.updates["image"], trial.material.folder / "camera.qcow2", DISK_SIZE)
    with trial.device(disk, stick=stick):
        found = trial.wait_until(lambda one: one["state"] == "FAULT")
        accepted = found["counts"]["ok"]
        results = trial.ask("results?limit=1000")
    accepted += sum(one["passes"] for one in results)
    yield Row("camera absent at boot", f"FAULT, reachable: {found['cause']}", "none", accepted, accepted == 0)
    disk.remove()


FAULTS: tuple[Callable[[Trial], Iterable[Row]], ...] = (
    models,
    refused_updates,
    system_update,
    corrupted_slot,
    full_data,
    wrong_clock,
    no_camera,
    model_cuts,
    system_cuts,
)


def make_updates(image: Path, newer: Path, signer: Path, folder: Path) -> dict[str, Path]:
    """The updates of the trial. ``newer``: an update to a later version; ``signer``: without ``.pem`` and ``.key``."""
    made = {"good": newer, "image": image, "broken": broken_update(newer, folder / "broken.raucb")}
    make_certificate(folder / "expired", "trial", expired_by=signer)
    content = folder / "dead"
    for kind, version, key in (("expired", "3", folder / "expired"), ("older", "0", signer), ("dead", "3", signer)):
        shutil.rmtree(content, ignore_errors=True)
        content.mkdir()
        (content / "root.img").write_bytes(random.Random(3).randbytes(1 << 20))  # noqa: S311
        (content / "version").write_text(f"{version}\n")
        (content / "manifest.raucm").write_text(
            f"[update]\ncompatible=edge-ad-amd64\nversion={version}\n[bundle]\nformat=verity\n"
            "[image.rootfs]\nfilename=root.img\n"
        )
        made[kind] = folder / f"{kind}.raucb"
        made[kind].unlink(missing_ok=True)
        pair = [f"--cert={key.with_suffix('.pem')}", f"--key={key.with_suffix('.key')}"]
        subprocess.run(["rauc", "bundle", *pair, content, made[kind]], check=True, capture_output=True)
    return made
