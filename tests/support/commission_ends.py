"""A real station with an inspection to be commissioned, its scorer and its HTTP controller; parts are handed in."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

from edge_ad.link import Client
from edge_ad.link.messages import PartResult
from support import tiny
from support.ports import free_port
from support.station_files import to_toml
from support.videos import wait_for

__all__ = ["Line", "line_with", "running"]

PLACE = "page/commission/default/top"


@dataclass
class Line:
    """``parts``: hands parts in, each picture once. ``results``: what came of them."""

    folder: Path
    port: int
    link: Client
    station: ExitStack
    handed: int = 0
    states: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def restart(self) -> None:
        """The station ends and is started again."""
        self.station.close()
        self.station.enter_context(running("run", self.folder / "station.toml"))
        assert wait_for(lambda: _answers(self.port), 120)
        self.link = self.station.enter_context(_ready(self.folder))

    def part(self, picture: NDArray[np.uint8]) -> PartResult:
        """One part through the station."""
        self.handed += 1
        result = self.link.result(self.link.hand_in(picture, f"P-{self.handed}"), timeout_s=60)
        self.states.append(str(getattr(result.state, "value", result.state)))
        return result

    def parts(self, count: int, seed: int) -> None:
        """So many good parts, no two alike."""
        for picture in tiny.frames(count, seed=seed):
            self.part(picture)

    def taught(self, count: int) -> None:
        """Good parts until so many were counted; a line that is as fast as this one outruns the disk."""
        for _ in range(300):
            if self.get()["state"]["parts"] >= count:
                return
            self.parts(3, 5_000 + self.handed)  # exact copies would be counted once
        raise AssertionError(self.get()["state"])

    def get(self, path: str = PLACE) -> Any:
        return httpx.get(f"{self.url}/{path}", timeout=30).raise_for_status().json()

    def ask(self, action: str, method: str = "POST", **body: object) -> httpx.Response:
        """Asks for a change, seen in the version of this moment unless one is given."""
        given = {"version": self.get()["state"]["session"]["version"], **body}
        return httpx.request(method, f"{self.url}/{PLACE}/{action}", json=given, timeout=60)

    def settled(self) -> Any:
        """Waits until nothing is being done any more."""
        assert wait_for(lambda: not (self.get()["work"] or {"is_going": False})["is_going"], 120)
        return self.get()

    def kept(self, slot: int) -> None:
        """Hands parts in until the bundle of this slot is kept: the first that was deployed is slot 1."""
        assert wait_for(lambda: "SWITCHED" in self.steps(slot), 120), self.get()
        for seed in range(100 * slot + 1000, 100 * slot + 1030):
            self.parts(3, seed)
            if "KEPT" in self.steps(slot):
                return
        raise AssertionError(self.get()["state"]["steps"])

    def steps(self, slot: int) -> list[str]:
        return [one["step"] for one in self.get()["state"]["steps"] if one["slot"] == slot]


@contextmanager
def line_with(bundle: Path, folder: Path, **more: dict[str, Any]) -> Iterator[Line]:
    """Runs until the end of the block. ``more``: tables of the station file."""
    port = free_port()
    tables: dict[str, Any] = {
        "station": {"name": "line-7", "trigger": "link", "deadline_ms": 60_000},
        "camera": {"top": {"source": "link"}},
        "inspect": {"top": {"camera": "top", "bundle": str(bundle)}},
        "link": {"socket": "s.sock"},
        "evidence": {"folder": "evidence", "every": 1},
        "preview": {"folder": "preview"},
        "audit": {"file": "audit.jsonl"},
        "update": {"folder": "updates", "watch_parts": 3},
        "teaching": {"folder": "teaching"},
        "controller": {
            "page": {
                "protocol": "http",
                "port": port,
                "preview": "preview",
                "evidence": "evidence",
                "local_role": "engineer",
            }
        },
        **more,
    }
    (folder / "station.toml").write_text(to_toml(tables))
    file = folder / "station.toml"
    with ExitStack() as station, running("connect", file):
        station.enter_context(running("run", file))
        assert wait_for(lambda: _answers(port), 120)
        line = Line(folder, port, station.enter_context(_ready(folder)), station)
        yield line


@contextmanager
def running(command: str, file: Path) -> Iterator[subprocess.Popen[bytes]]:
    """``edge-ad run`` or ``edge-ad connect`` until the end of the block."""
    process = subprocess.Popen([sys.executable, "-m", "edge_ad", command, str(file)], stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


@contextmanager
def _ready(folder: Path) -> Iterator[Client]:
    """A client of the link, as soon as the station takes parts."""
    with Client(folder / "s.sock") as link:
        assert wait_for(lambda: link.snapshot().state == "READY", 120)
        yield link


def _answers(port: int) -> bool:
    try:
        return bool(httpx.get(f"http://127.0.0.1:{port}/page/state", timeout=10).json()["station"]["connected"])
    except httpx.HTTPError:
        return False
