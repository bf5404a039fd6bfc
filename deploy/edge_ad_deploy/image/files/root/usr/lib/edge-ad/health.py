"""Decides at every boot whether the system that runs is good, and tells GRUB so through RAUC.

A system is good when every station of the device is READY and ``edge-ad verify`` agrees with the golden frames of its
bundles. One that was good before on this device stays good with a camera that is unplugged, or with a bundle that is
refused: that is not the system's fault, and the one before would do no better. A system that is not good is marked bad,
and the device starts the one before, if there is one.

It runs on the device with Debian's own Python.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PATIENCE_S = 600.0
PROGRAM = "/opt/edge-ad/bin/edge-ad"
NOT_THE_SYSTEM = (2, 3)
"""edge-ad's exit codes for a station file that is wrong, and for a bundle that it does not take."""

Run = Callable[[Sequence[str], Path], "subprocess.CompletedProcess[str]"]


def run(command: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs a program in a folder, and keeps what it says."""
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def seconds_up() -> float:
    """How long the kernel runs."""
    return float(Path("/proc/uptime").read_text(encoding="utf-8").split()[0])


@dataclass(frozen=True)
class WatchedDevice:
    """Where things lie on the device, and how programs are run and time passes."""

    stations: Path = Path("/var/lib/edge-ad")
    kept: Path = Path("/data/rauc")
    version_file: Path = Path("/usr/lib/edge-ad/image-version")
    command_line: Path = Path("/proc/cmdline")
    environment: Path = Path("/boot/efi/EFI/edge-ad/grubenv")
    user: str = "edge-ad"
    run: Run = run
    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    up: Callable[[], float] = seconds_up

    @property
    def version(self) -> str:
        """The version of the system that runs."""
        return self.version_file.read_text(encoding="utf-8").strip()

    @property
    def slot(self) -> str:
        """The slot that runs, A or B."""
        found = re.search(r"\brauc\.slot=([AB])\b", self.command_line.read_text(encoding="utf-8"))
        if found is None:
            raise SystemExit("the kernel's command line names no rauc.slot")
        return found[1]

    def names(self) -> list[str]:
        """The stations of this device."""
        return sorted(file.parent.name for file in self.stations.glob("[!.]*/station.toml"))

    def state(self, name: str) -> str:
        """What the station says of itself: its state and, in FAULT, the cause; empty before it runs."""
        asked = ["systemctl", "show", "--property=StatusText", "--value", f"edge-ad@{name}.service"]
        return self.run(asked, Path("/")).stdout.strip()

    def other_can_start(self) -> bool:
        """Whether GRUB would start the other slot."""
        listed = self.run(["grub-editenv", str(self.environment), "list"], Path("/")).stdout
        values = dict(line.split("=", 1) for line in listed.splitlines() if "=" in line)
        other = "B" if self.slot == "A" else "A"
        return values.get(f"{other}_OK") == "1" and values.get(f"{other}_TRY", "0") != "3"


@dataclass(frozen=True)
class Health:
    """What was found. ``good``: mark it good. ``ready``: every station is."""

    good: bool
    ready: bool
    lines: list[str] = field(default_factory=list)


def check(device: WatchedDevice, proven: bool) -> Health:
    """Waits for the stations, then replays the golden frames of their bundles."""
    names = device.names()
    states = _wait_for_ready(device, names, proven)
    ready = bool(names) and all(state.startswith(("READY", "BUSY")) for state in states.values())
    up = device.up()
    lines = [f"station {name}: {state or 'not running'}, {up:.0f} s after the kernel" for name, state in states.items()]
    codes = []
    for name in names:
        code, said = _verify(device, name)
        codes.append(code)
        lines += [f"station {name}: {line}" for line in said]
    if proven:
        running = all(state for state in states.values())
        good = running and all(code in {0, *NOT_THE_SYSTEM} for code in codes)
    else:
        good = ready and all(code == 0 for code in codes)
    return Health(good, ready, lines)


def _wait_for_ready(device: WatchedDevice, names: Sequence[str], proven: bool) -> dict[str, str]:
    """The states when all are READY, or when waiting makes no sense any more."""
    end = device.now() + PATIENCE_S
    while True:
        states = {name: device.state(name) for name in names}
        waiting = [state for state in states.values() if not state.startswith(("READY", "BUSY"))]
        # A station of a system that was good before, and that runs and names its fault, is not waited for.
        if not waiting or device.now() > end or (proven and all(one.startswith("FAULT") for one in waiting)):
            return states
        device.sleep(2.0)


def _verify(device: WatchedDevice, name: str) -> tuple[int, list[str]]:
    """``edge-ad verify`` of all bundles that the station uses now, deployed ones included: exit code, what it said."""
    as_user = ["runuser", "-u", device.user, "--"]
    done = device.run([*as_user, PROGRAM, "verify", "station.toml"], device.stations / name)
    if done.returncode == 0:
        return 0, [line.strip() for line in done.stdout.splitlines() if line.strip()]
    said = done.stderr.strip().splitlines()
    return done.returncode, [said[-1] if said else f"edge-ad verify ended with {done.returncode}"]


def decide(device: WatchedDevice) -> tuple[str, list[str]]:
    """Checks this boot and acts: ``good``, ``bad`` (the device starts the other slot), ``kept`` or ``unused``."""
    if not device.names():
        return "unused", ["no station yet: nothing says whether this system is good"]
    slot, version = device.slot, device.version
    proof = device.kept / f"proven-{slot}"
    proven = _text(proof) == version
    finding = check(device, proven)
    if finding.good:
        if finding.ready:
            _write(proof, version)
            _remember(device, version)
        done = device.run(["rauc", "status", "mark-good"], Path("/"))
        if done.returncode:
            raise SystemExit(f"rauc cannot mark slot {slot} as good: {done.stderr.strip()}")
        return "good", finding.lines
    if not device.other_can_start():
        return "kept", [*finding.lines, "there is no other system to go back to"]
    device.run(["rauc", "status", "mark-bad"], Path("/"))
    device.run(["systemctl", "reboot"], Path("/"))
    return "bad", finding.lines


def _remember(device: WatchedDevice, version: str) -> None:
    """Keeps the newest version that was good here: an older one is refused from then on."""
    seen = device.kept / "good-version"
    before = _text(seen)
    if not before or device.run(["dpkg", "--compare-versions", version, "gt", before], Path("/")).returncode == 0:
        _write(seen, version)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _write(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("w", encoding="utf-8") as file:
            file.write(f"{text}\n")
            file.flush()
            os.fsync(file.fileno())
        part.rename(path)
    except OSError as error:  # Such as a full partition: the system is good all the same.
        sys.stderr.write(f"edge-ad: {path} cannot be written: {error.strerror}\n")


def main() -> None:
    """One check, and what came of it on the console."""
    device = WatchedDevice()
    verdict, lines = decide(device)
    up = device.up()
    for line in lines:
        print(f"edge-ad: {line}", flush=True)  # noqa: T201
    print(f"edge-ad: system {device.version} in slot {device.slot}: {verdict}, {up:.0f} s after the kernel", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
