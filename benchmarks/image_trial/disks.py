"""The disk of a device that is off: what its next boot would find there, and damage done to it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import threading
from pathlib import Path

from benchmarks.image_trial.emulator import Disk, kernel_seconds
from benchmarks.image_trial.trial import BOOT_S, Found, Trial
from edge_ad_deploy.image.grub import TRIES
from edge_ad_deploy.image.layout import DiskLayout

__all__ = ["damage_slot", "fill_data", "grub_choice", "judge_here", "slot_digest", "start_moments"]

# As the options of edge-ad image have them.
ESP, ROOT_A, ROOT_B, DATA = DiskLayout(slot_mib=640).partitions
_TIMER = re.compile(r"timer_ms = \d+")


def judge_here(trial: Trial, disk: Disk) -> Found:
    """What a boot would come to, without the boot.

    The journal of the data partition is replayed as the kernel does it, and the station starts from its files on this
    machine, with the runtime of the image: which slot of ``[update]`` counts, signature, hashes, golden frames, and
    the first verdicts. Every result that the device has written down before is held as well.
    """
    place = _extract_data(trial, disk)
    station = place / "edge-ad/line1"
    held = trial.verdicts()
    held.add_lines((station / "results.jsonl").read_text(encoding="utf-8", errors="replace").splitlines())
    (station / "results.jsonl").unlink()
    text = (station / "station.toml").read_text(encoding="utf-8")
    text = text.replace("/var/lib/edge-ad/trust", str(place / "edge-ad/trust"))
    (station / "station.toml").write_text(_TIMER.sub("timer_ms = 200", text), encoding="utf-8")
    bundle = ""
    states: set[str] = set()
    with subprocess.Popen(
        ["edge-ad", "run", "station.toml", "--json"],
        cwd=station,
        env=dict(os.environ) | {"XDG_RUNTIME_DIR": str(place)},
        stdout=subprocess.PIPE,
        stderr=(place / "log").open("wb"),
        text=True,
    ) as running:
        limit = threading.Timer(BOOT_S, running.kill)
        limit.start()
        assert running.stdout is not None
        for line in running.stdout:
            part = json.loads(line)
            held.add_lines([line])
            if not part["frames"]:
                continue
            now = part["frames"][0]["verdict"]["bundle"]
            states = {part["state"]} | (states if now == bundle else set())
            bundle = now
            if {"ACCEPT", "REJECT"} <= states:
                break
        running.send_signal(signal.SIGTERM)
        running.stdout.read()
        running.wait()
        limit.cancel()
    if not {"ACCEPT", "REJECT"} <= states:
        raise RuntimeError(f"the station gave no verdicts: {(place / 'log').read_text()[-2000:]}")
    return Found("", bundle, held)


def start_moments(trial: Trial, disk: Disk) -> dict[str, float]:
    """When the station took its steps at the last boot, by the device's journal: seconds after the kernel's start."""
    folder = _extract_data(trial, disk, "journal") / "journal"
    command = ["journalctl", "--directory", str(folder), "--boot", "--output=short-monotonic", "--no-pager"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    marks = {
        "starts": r"Starting edge-ad@line1",
        "imported": r"Started edge-ad@line1",
        "loaded": r'"event":"scorer_ready"',
        "ready": r'"message":"station: READY"',
    }
    return {name: kernel_seconds(said, pattern) for name, pattern in marks.items()}


def _extract_data(trial: Trial, disk: Disk, folder: str = "edge-ad") -> Path:
    """The files of a folder of the data partition, below one of this machine."""
    part, place = trial.material.folder / "data.part", trial.material.folder / "data"
    disk.part(DATA.start, disk.size() - DATA.start, part)
    _check_data(part)
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    subprocess.run(["debugfs", "-R", f"rdump /{folder} {place}", part], check=True, capture_output=True)
    part.unlink()
    return place


def _check_data(part: Path) -> None:
    """Replays the journal. 0: nothing to do; 1: replayed or corrected."""
    done = subprocess.run(["e2fsck", "-fy", part], check=False, capture_output=True, text=True)
    if done.returncode not in {0, 1}:
        raise RuntimeError(f"the data partition cannot be checked: {done.stdout[-500:]}")


def grub_choice(trial: Trial, disk: Disk) -> str:
    """The slot that GRUB starts first, by its environment on the ESP."""
    part, copy = trial.material.folder / "esp.part", trial.material.folder / "grubenv"
    disk.part(ESP.start, ESP.size, part)
    subprocess.run(["mcopy", "-n", "-o", "-i", part, "::/EFI/edge-ad/grubenv", copy], check=True, capture_output=True)
    part.unlink()
    data = copy.read_bytes()
    assert len(data) == 1024, f"GRUB's environment has {len(data)} bytes"
    lines = data.decode("ascii").splitlines()
    values = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    order = values["ORDER"].split()
    return next(slot for slot in order if values[f"{slot}_OK"] == "1" and values[f"{slot}_TRY"] != str(TRIES))


def slot_digest(trial: Trial, disk: Disk, slot: str) -> str:
    """The SHA-256 of a slot's whole contents."""
    where = ROOT_A if slot == "A" else ROOT_B
    part = disk.part(where.start, where.size, trial.material.folder / "slot.part")
    found = hashlib.sha256()
    with part.open("rb") as file:
        while data := file.read(1 << 22):
            found.update(data)
    part.unlink()
    return found.hexdigest()


def damage_slot(trial: Trial, disk: Disk, slot: str, start: int, size: int) -> None:
    """Writes zeros over a part of a slot."""
    where = ROOT_A if slot == "A" else ROOT_B
    hole = trial.material.folder / "hole"
    with hole.open("wb") as file:
        file.truncate(size)
    disk.put(where.start + start, size, hole)
    hole.unlink()


def fill_data(trial: Trial, disk: Disk) -> None:
    """Fills the data partition to its last block."""
    size = disk.size() - DATA.start - 34 * 512  # the second partition table lies behind it
    part = disk.part(DATA.start, size, trial.material.folder / "data.part")
    _check_data(part)
    free = _free_blocks(part)
    commands = ["write /dev/null full", f"fallocate full 0 {free}"]
    while free:
        subprocess.run(
            ["debugfs", "-w", "-f", "-", part], input="\n".join(commands), check=True, capture_output=True, text=True
        )
        left = _free_blocks(part)
        if left == free:
            break
        free, commands = left, [f"write /dev/null full-{left}", f"fallocate full-{left} 0 {left - 1}"]
    _check_data(part)
    disk.put(DATA.start, size, part)
    part.unlink()


def _free_blocks(part: Path) -> int:
    said = subprocess.run(["dumpe2fs", "-h", part], check=True, capture_output=True, text=True).stdout
    return int(re.findall(r"^Free blocks: +(\d+)", said, re.MULTILINE)[0])
