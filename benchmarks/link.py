"""The link beside a bare socket: from a client's trigger to its result, the station being another process."""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np

from edge_ad.link import Client

STATION = """
import sys
from edge_ad.link import FakeStation, LinkLimits
unlimited = LinkLimits(requests_per_s=1e9, burst=1e9) if sys.argv[2] == "unlimited" else None
with FakeStation(sys.argv[1], limits=unlimited, keep=1) as station:
    print("ready", flush=True)
    sys.stdin.read()
"""
ECHO = """
import socket, sys
with socket.socket(socket.AF_UNIX) as listener:
    listener.bind(sys.argv[1])
    listener.listen()
    print("ready", flush=True)
    accepted, _ = listener.accept()
    with accepted:
        while data := accepted.recv(4096):
            accepted.sendall(data)
"""
FLOOD = """
import socket, sys
with socket.socket(socket.AF_UNIX) as flooding:
    flooding.connect(sys.argv[1])
    flooding.sendall(b'{"type":"hello","version":1,"client":"flood"}\\n{"type":"subscribe"}\\n')
    print("ready", flush=True)
    while True:
        flooding.sendall(b'{"type":"heartbeat"}\\n' * 1000)
"""
LINE = b'{"type":"trigger","id":"12345","part_id":"A-17"}\n'
FRAME = np.zeros((1080, 1920, 3), np.uint8)


def report(trips: int = 20_000) -> None:
    """Prints p50, p99 and maximum in milliseconds, and the ratio of the medians to the bare echo's."""
    print(f"link: {trips} round trips to another process, in turns with a bare echo of one line")
    print(f"  {'':<34}{'p50':>9}{'p99':>9}{'max':>9}{'ratio':>8}")
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        path, echoes = str(Path(folder) / "station.sock"), str(Path(folder) / "echo.sock")
        stack.enter_context(_process(STATION, path, "unlimited"))
        stack.enter_context(_process(ECHO, echoes))
        bare = stack.enter_context(socket.socket(socket.AF_UNIX))
        bare.connect(echoes)
        link = stack.enter_context(Client(path))
        turns: dict[str, tuple[Callable[[], object], int]] = {
            "bare echo": (lambda: _echo(bare), 1),
            "trigger to result": (lambda: _passes(link.passes("A-17")), 1),
            "frame of 1920x1080x3 to result": (lambda: _passes(link.passes("A-17", FRAME)), 20),
        }
        times = _in_turns(turns, trips)
        for name, measured in times.items():
            _print(name, measured, times["bare echo"])
        _beside_a_flood(folder, trips, times["bare echo"])


def _beside_a_flood(folder: str, trips: int, bare_times: list[float]) -> None:
    path = str(Path(folder) / "flooded.sock")
    with _process(STATION, path, "limited"), _process(FLOOD, path), Client(path) as link:
        times: list[float] = []
        for _ in range(trips // 10):
            time.sleep(0.001)  # within what one client may ask a second
            begin = time.perf_counter()
            _passes(link.passes("A-17"))
            times.append(time.perf_counter() - begin)
        _print("trigger, one client floods", times, bare_times)


def _in_turns(turns: dict[str, tuple[Callable[[], object], int]], trips: int) -> dict[str, list[float]]:
    """Seconds of each call. A turn is a call, and in which rounds it has its turn: every one, or every so many."""
    times: dict[str, list[float]] = {name: [] for name in turns}
    for trip in range(trips):
        for name, (call, every) in turns.items():
            if trip % every == 0:
                begin = time.perf_counter()
                call()
                times[name].append(time.perf_counter() - begin)
    return times


def _echo(bare: socket.socket) -> None:
    bare.sendall(LINE)
    bare.recv(4096)


def _passes(accepted: bool) -> None:
    if not accepted:
        raise RuntimeError("the fake station did not accept a part: the measurement is void")


def _print(name: str, seconds: list[float], bare: list[float]) -> None:
    milliseconds = np.sort(np.asarray(seconds)) * 1e3
    middle, late = milliseconds[len(milliseconds) // 2], milliseconds[len(milliseconds) * 99 // 100]
    ratio = middle / (np.median(bare) * 1e3)
    print(f"  {name:<34}{middle:>9.3f}{late:>9.3f}{milliseconds[-1]:>9.2f}{ratio:>8.2f}")


@contextmanager
def _process(code: str, *arguments: str) -> Iterator[None]:
    command = [sys.executable, "-c", code, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            if process.stdout is None or process.stdout.readline() != b"ready\n":
                raise RuntimeError(f"a process of the benchmark did not start: {arguments}")
            yield
        finally:
            process.kill()
