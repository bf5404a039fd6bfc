"""A device under trial: its disks, its station as the fleet's owner sees it, and the verdicts that it gives."""

from __future__ import annotations

import json
import random
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.image_trial.emulator import Disk, Emulator
from benchmarks.image_trial.material import Material

__all__ = ["BOOT_S", "Found", "Row", "Trial", "Verdicts"]

BOOT_S = 3600.0
_SAME = 2e-3


@dataclass(frozen=True)
class Row:
    """A line of the table. ``wrong``: ACCEPTs of a part with a defect, or by no known bundle, which must be 0."""

    fault: str
    outcome: str
    verdict: str
    wrong: int
    passed: bool


@dataclass
class Verdicts:
    """Holds verdicts against what each bundle has to say of each picture. ``expected``: score and state, by bundle."""

    expected: dict[str, list[tuple[float, str]]]
    wrong: int = 0
    other: int = 0
    seen: int = 0

    def add(self, bundle: str, score: float | None, state: str) -> None:
        """Counts one: ``wrong``, when it lets pass what it must not; ``other``, when it is no expected verdict."""
        if state == "INVALID":
            return
        self.seen += 1
        known = [said for value, said in self.expected.get(bundle, []) if score is not None]
        fits = [
            said for value, said in self.expected.get(bundle, []) if score is not None and abs(value - score) < _SAME
        ]
        self.wrong += state == "ACCEPT" and "ACCEPT" not in fits
        self.other += not known or state not in fits

    def add_lines(self, lines: Iterable[str]) -> None:
        """Counts the parts of a file of results; a line that a power cut has torn is none."""
        for line in lines:
            try:
                part = json.loads(line)
            except ValueError:
                continue
            for frame in part["frames"]:
                self.add(frame["verdict"]["bundle"], frame["verdict"].get("score"), part["state"])


@dataclass(frozen=True)
class Found:
    """What a boot ended in. ``bundle``: of the last verdict, such as ``tiny@1``."""

    system: str
    bundle: str
    verdicts: Verdicts

    def row(self, fault: str, outcome: str, expected: bool = True) -> Row:
        """The line of the table."""
        held = self.verdicts
        passed = expected and held.wrong == held.other == 0
        said = f"{self.system}, {self.bundle}" if self.system else self.bundle
        return Row(fault, outcome, said, held.wrong, passed)


@dataclass
class Trial:
    """A device that is ready to be damaged. ``base``: its disk, switched off; ``frozen``: its memory when READY."""

    material: Material
    base: Path
    frozen: Path
    updates: dict[str, Path]
    port: int
    random: random.Random
    expected: dict[str, list[tuple[float, str]]]
    model_cuts: int = 30
    system_cuts: int = 10
    made: int = 0
    figures: dict[str, float] = field(default_factory=dict)

    def keep_figures(self) -> None:
        """Writes the figures down, for a run that goes on later."""
        (self.material.folder / "figures.json").write_text(json.dumps(self.figures), encoding="utf-8")

    def disk(self) -> Disk:
        """A new disk over the base."""
        self.made += 1
        return Disk.over(self.base, self.material.folder / f"disk-{self.made}.qcow2")

    def device(self, disk: Disk, **more: Any) -> Emulator:
        """The device with this disk, to be switched on by ``with``."""
        return Emulator(disk, self.port, **more)

    def verdicts(self) -> Verdicts:
        """Nothing seen yet."""
        return Verdicts(self.expected)

    def ask(self, path: str, timeout: float = 120.0) -> Any:
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
            time.sleep(1.0)

    @property
    def deploy_said(self) -> list[str]:
        """What ``edge-ad deploy`` has printed."""
        return (self.material.folder / "deploy.log").read_text(encoding="utf-8").strip().splitlines()

    def deploy(self, kind: str) -> subprocess.Popen[bytes]:
        """``edge-ad deploy`` to the device, as the fleet's owner runs it."""
        to = ["--to", f"https://localhost:{self.port}", "--ca", str(self.material.folder / "server.pem")]
        token = ["--token-file", str(self.material.folder / "token")]
        command = ["edge-ad", "deploy", str(self.material.bundle(kind)), *to, *token]
        with (self.material.folder / "deploy.log").open("wb") as log:
            return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)

    def judged(self, system: str = "", seconds: float = BOOT_S) -> Found:
        """Waits for READY, and until one bundle has accepted a part and rejected another. Every verdict is held."""
        self.wait_until(lambda one: one["state"] in {"READY", "BUSY"}, seconds)
        end = time.monotonic() + seconds
        while True:
            results = [one for one in self.ask("results?limit=1000") if one["verdicts"]]
            bundle = results[0]["verdicts"][0]["bundle"] if results else ""
            states = {one["state"] for one in results if one["verdicts"][0]["bundle"] == bundle}
            if {"ACCEPT", "REJECT"} <= states:
                held = self.verdicts()
                for one in results:
                    held.add(one["verdicts"][0]["bundle"], one["score"], one["state"])
                return Found(system, bundle, held)
            if time.monotonic() > end:
                raise TimeoutError(f"within {seconds:.0f} s the station has only said {states} with {bundle}")
            time.sleep(1.0)

    def healthy(self, emulator: Emulator) -> Found:
        """As :meth:`judged`, after the device has said on its serial line that its system is good."""
        line = emulator.wait_for(r"edge-ad: system \S+ in slot [AB]: good", BOOT_S)
        return self.judged(line.partition("edge-ad: ")[2].partition(":")[0])
