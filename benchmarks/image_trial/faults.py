"""Each fault of the table: what is done to the device, and what its next boot ends in."""

from __future__ import annotations

import json
import random
import shutil
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.image_trial.emulator import MIB, Disk, Emulator
from benchmarks.image_trial.material import Material, broken_update, make_certificate, make_stick

__all__ = ["FAULTS", "Row", "Trial"]

BOOT_S = 1200.0
ROOT_A, SLOT = 65 * MIB, 640 * MIB
SCORES = {"first": 1 / 255, "second": 1 / 250}


@dataclass(frozen=True)
class Row:
    """A line of the table. ``wrong``: ACCEPTs of the part with a defect, which must be 0."""

    fault: str
    outcome: str
    verdict: str
    wrong: int
    passed: bool


@dataclass
class Trial:
    """A device that is ready to be damaged. ``base``: its disk, switched off; ``frozen``: its memory when READY."""

    material: Material
    base: Path
    frozen: Path
    updates: dict[str, Path]
    port: int
    random: random.Random
    made: int = 0
    figures: dict[str, float] = field(default_factory=dict)

    def disk(self) -> Disk:
        """A new disk over the base."""
        self.made += 1
        return Disk.over(self.base, self.material.folder / f"disk-{self.made}.qcow2")

    def device(self, disk: Disk, **more: Any) -> Emulator:
        """The device with this disk, to be switched on by ``with``."""
        return Emulator(disk, self.port, **more)

    def ask(self, path: str, timeout: float = 60.0) -> Any:
        """What the station answers over HTTPS, as the fleet's owner asks it."""
        context = ssl.create_default_context(cafile=str(self.material.folder / "server.pem"))
        token = (self.material.folder / "token").read_text()
        address = f"https://localhost:{self.port}/api/v1/{path}"
        request = urllib.request.Request(address, headers={"Authorization": f"Bearer {token}"})
        with urllib.request.urlopen(request, timeout=timeout, context=context) as answer:  # noqa: S310
            return json.load(answer)

    def wait_until(self, holds: Callable[[dict[str, Any]], bool], seconds: float = BOOT_S) -> dict[str, Any]:
        """Asks for the station until what it says of itself holds."""
        end = time.monotonic() + seconds
        while True:
            try:
                found: dict[str, Any] = self.ask("station")
                if holds(found):
                    return found
            except (OSError, urllib.error.URLError, ValueError):
                found = {}
            if time.monotonic() > end:
                raise TimeoutError(f"the station was {found.get('state')} for {seconds:.0f} s")
            time.sleep(2.0)

    def deploy(self, kind: str) -> subprocess.Popen[str]:
        """``edge-ad deploy`` to the device, as the fleet's owner runs it."""
        to = ["--to", f"https://localhost:{self.port}", "--ca", str(self.material.folder / "server.pem")]
        token = ["--token-file", str(self.material.folder / "token")]
        return subprocess.Popen(
            ["edge-ad", "deploy", str(self.material.bundle(kind)), *to, *token],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def judged(self) -> tuple[str, int]:
        """Which model judges, by its scores, when every picture had its turn; and how many defects were accepted."""
        results = [one for one in self.ask("results?limit=12") if one["score"] is not None]
        defects = [one for one in results if one["score"] > 0.5]
        wrong = sum(1 for one in defects if one["passes"])
        plain = min(one["score"] for one in results)
        shown = {kind: scale * self.figures["dimmest"] for kind, scale in SCORES.items()}
        nearest = min(shown, key=lambda kind: abs(shown[kind] - plain))
        return nearest, wrong

    def healthy(self, emulator: Emulator) -> tuple[str, str, int]:
        """Waits for READY and eight results. Returns the system's slot and version, the model, the wrong accepts."""
        self.wait_until(lambda one: one["state"] in {"READY", "BUSY"} and one["counts"]["total"] >= 8)
        line = emulator.wait_for(r"edge-ad: system \S+ in slot [AB]: good", BOOT_S)
        system = line.partition("edge-ad: ")[2].partition(":")[0]
        model, wrong = self.judged()
        return system, model, wrong


def _row(fault: str, outcome: str, found: tuple[str, str, int], expected: bool = True) -> Row:
    system, model, wrong = found
    return Row(fault, outcome, f"{system}, model {model}", wrong, wrong == 0 and expected)


def model_cuts(trial: Trial, count: int = 30) -> Iterator[Row]:
    """The power goes at a random moment of ``edge-ad deploy``; every cut is followed by a boot."""
    for number in range(count):
        disk = trial.disk()
        with trial.device(disk, frozen=trial.frozen) as emulator:
            emulator.thaw()
            trial.ask("station")
            asked = trial.deploy("second")
            moment = trial.random.uniform(0, trial.figures["deploy_s"] * 1.1)
            time.sleep(moment)
            emulator.cut()
            asked.kill()
            asked.wait()
        with trial.device(disk) as emulator:
            yield _row(
                f"power cut {number + 1} of a model update, after {moment:.1f} s", "READY", trial.healthy(emulator)
            )


def system_cuts(trial: Trial, count: int = 10) -> Iterator[Row]:
    """The power goes at a random moment between the stick and the first healthy boot of the new system."""
    stick = make_stick(trial.material.station(), trial.material.folder / "update.stick", trial.updates["good"])
    for number in range(count):
        disk = trial.disk()
        with trial.device(disk, frozen=trial.frozen) as emulator:
            emulator.thaw()
            emulator.plug_in(stick)
            moment = trial.random.uniform(0, trial.figures["update_s"])
            time.sleep(moment)
        with trial.device(disk) as emulator:
            yield _row(
                f"power cut {number + 1} of a system update, after {moment:.0f} s", "READY", trial.healthy(emulator)
            )


def models(trial: Trial) -> Iterator[Row]:
    """Models that a device must not keep: golden frames that differ, a crash at load, too slow."""
    names = {"golden": "golden frames fail", "crash": "crashes the engine at load", "slow": "too slow"}
    for kind, name in names.items():
        with trial.device(trial.disk(), frozen=trial.frozen) as emulator:
            emulator.thaw()
            asked = trial.deploy(kind)
            said = asked.communicate(timeout=BOOT_S)[0].strip().splitlines()
            trial.wait_until(lambda one: one["state"] in {"READY", "BUSY"})
            model, wrong = trial.judged()
            passed = asked.returncode == 3 and model == "first" and wrong == 0
            yield Row(f"a model: {name}", f"exit code {asked.returncode}: {said[-1]}", f"model {model}", wrong, passed)


def refused_updates(trial: Trial) -> Iterator[Row]:
    """Updates of the system that a device must not take."""
    names = {"broken": "payload changed", "expired": "expired certificate", "older": "older version"}
    for kind, name in names.items():
        stick = make_stick(trial.material.station(), trial.material.folder / "refused.stick", trial.updates[kind])
        with trial.device(trial.disk(), frozen=trial.frozen) as emulator:
            emulator.thaw()
            emulator.plug_in(stick)
            line = emulator.wait_for("update.raucb was refused|the new system is installed", BOOT_S)
            model, wrong = trial.judged()
            refused = "was refused" in line
            outcome = line.partition("edge-ad: ")[2][:160]
            yield Row(f"a system update: {name}", outcome, f"model {model}", wrong, refused and wrong == 0)


def system_update(trial: Trial) -> Iterator[Row]:
    """A good update, and one that does not start."""
    for kind, name in (("good", "good"), ("dead", "does not start")):
        stick = make_stick(trial.material.station(), trial.material.folder / "update.stick", trial.updates[kind])
        disk = trial.disk()
        with trial.device(disk, frozen=trial.frozen) as emulator:
            emulator.thaw()
            emulator.plug_in(stick)
            emulator.wait_for("the new system is installed", BOOT_S)
            if kind == "good":
                trial.figures["install_s"] = time.monotonic() - emulator.began
                trial.figures["written_mb"] = disk.written_bytes() / 1e6
            found = trial.healthy(emulator)
            if kind == "good":
                trial.figures["update_s"] = time.monotonic() - emulator.began
            tries = emulator.serial().count("edge-ad: starting slot B")
            passed = found[0].endswith("B" if kind == "good" else "A")
            yield _row(f"a system update: {name}", f"slot B was started {tries} times", found, passed)


def damaged_disks(trial: Trial) -> Iterator[Row]:
    """A full data partition, and a slot with a hole; the device is off meanwhile."""
    for name in ("full data partition", "corrupted slot"):
        disk = trial.disk()
        raw = disk.raw()
        if name == "full data partition":
            _fill(raw, trial.material.folder)
        else:
            with raw.open("r+b") as file:
                file.seek(ROOT_A + SLOT + 2 * MIB)
                file.write(bytes(60 * MIB))
        damaged = Disk.over(raw, disk.path.with_suffix(".damaged.qcow2"))
        with trial.device(damaged) as emulator:
            yield _row(name, "READY", trial.healthy(emulator))
        raw.unlink()


def _fill(raw: Path, folder: Path) -> None:
    """Fills the data partition to its last block, without mounting it."""
    start = ROOT_A + 2 * SLOT
    part, filler = folder / "data.part", folder / "filler"
    with raw.open("rb") as file, part.open("wb") as out:
        file.seek(start)
        shutil.copyfileobj(file, out, 1 << 22)
    subprocess.run(["e2fsck", "-fy", part], check=False, capture_output=True)
    for size in (1 << 30, 1 << 28, 1 << 24, 1 << 20, 1 << 14):
        filler.write_bytes(b"x" * size)
        for number in range(4):
            subprocess.run(
                ["debugfs", "-w", "-R", f"write {filler} fill-{size}-{number}", part], check=False, capture_output=True
            )
    filler.unlink()
    with raw.open("r+b") as file, part.open("rb") as source:
        file.seek(start)
        shutil.copyfileobj(source, file, 1 << 22)
    part.unlink()


def wrong_clock(trial: Trial) -> Iterator[Row]:
    """The clock's battery is empty."""
    with trial.device(trial.disk(), clock="1970-01-02") as emulator:
        yield _row("clock at 1970", "READY", trial.healthy(emulator))


def no_camera(trial: Trial) -> Iterator[Row]:
    """A new device whose camera is not plugged in: it is reachable, says FAULT, and accepts nothing."""
    stick = make_stick(trial.material.station("/dev/video9"), trial.material.folder / "camera.stick")
    image = trial.updates["image"]
    disk = Disk.over(image, trial.material.folder / "camera.qcow2", "4G")
    with trial.device(disk, stick=stick):
        found = trial.wait_until(lambda one: one["state"] == "FAULT")
        accepted = found["counts"]["ok"]
        yield Row("camera absent at boot", f"FAULT, reachable: {found['cause']}", "none", accepted, accepted == 0)


FAULTS: tuple[Callable[[Trial], Iterable[Row]], ...] = (
    system_update,
    refused_updates,
    models,
    damaged_disks,
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
