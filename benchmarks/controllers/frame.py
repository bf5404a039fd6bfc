"""A fake station, an adapter and a client, each a process of its own; the client of each protocol takes its turn."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from edge_ad.link import Client

__all__ = ["Trip", "connect_process", "free_port", "report"]

Trip = Callable[[int], float]
"""One part with this number: the milliseconds from its trigger until its result was read. Raises where it is no ACCEPT.

What a controller does before the next trigger is part of the trip, but not of the time.
"""

PROTOCOLS = {
    "modbus": ("benchmarks.controllers.modbus", "pymodbus"),
    "modbus-client": ("benchmarks.controllers.modbus_client", "pymodbus"),
    "s7": ("benchmarks.controllers.polled_plcs:s7_trips", "snap7"),
    "ethernet-ip": ("benchmarks.controllers.polled_plcs:ethernet_ip_trips", "cpppo"),
    "opcua": ("benchmarks.controllers.opcua:method_trips", "asyncua"),
    "opcua-event": ("benchmarks.controllers.opcua:event_trips", "asyncua"),
    "mqtt": ("benchmarks.controllers.mqtt", "paho"),
    "http": ("benchmarks.controllers.http", "uvicorn"),
}
"""By name: a function of a module, ``trips`` where none is named, and the library that it needs.

The function gets a folder and the station's socket, and is a context manager of a ``Trip``.
"""

STATION = """
import sys
from edge_ad.link import FakeStation, LinkLimits
with FakeStation(sys.argv[1], limits=LinkLimits(requests_per_s=1e9, burst=1e9), keep=1):
    print("ready", flush=True)
    sys.stdin.read()
"""
_FILE = """
[station]
name = "bench"
[camera.top]
source = "0"
[inspect.top]
camera = "top"
bundle = "bundle"
[link]
socket = "{socket}"
[controller.bench]
"""
_WARM_UP = 50


def report(names: list[str], trips: int) -> None:
    """Prints p50, p99 and maximum in milliseconds, and what a protocol adds to the link's median and p99."""
    print(f"controllers: {trips} parts for each, one after the other, in turns with the bare link; milliseconds")
    print(f"  {'':<16}{'p50':>9}{'p99':>9}{'max':>9}{'p50 added':>12}{'p99 added':>12}")
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        socket = Path(folder) / "station.sock"
        stack.enter_context(_process([sys.executable, "-c", STATION, str(socket)]))
        link = stack.enter_context(Client(socket))
        turns: dict[str, Trip] = {"link": lambda number: _by_link(link, number)}
        for name in names:
            where, library = PROTOCOLS[name]
            module, _, function = where.partition(":")
            if find_spec(library) is None:
                print(f"  {name:<16}not measured: {library} is not installed")
                continue
            place = Path(folder) / name
            place.mkdir()
            turns[name] = stack.enter_context(getattr(import_module(module), function or "trips")(place, socket))
        times = _in_turns(turns, trips)
    bare = np.percentile(times["link"], [50, 99])
    for name, measured in times.items():
        p50, p99 = np.percentile(measured, [50, 99])
        added = f"{p50 - bare[0]:>12.3f}{p99 - bare[1]:>12.3f}" if name != "link" else ""
        print(f"  {name:<16}{p50:>9.3f}{p99:>9.3f}{max(measured):>9.2f}{added}")


@contextmanager
def connect_process(folder: Path, socket: Path, table: str, ready: Callable[[], bool]) -> Iterator[None]:
    """``edge-ad connect`` with this table ``[controller.bench]``, once ``ready`` is true."""
    file = folder / "station.toml"
    file.write_text(_FILE.format(socket=socket) + table, encoding="utf-8")
    log = folder / "log"
    command = [sys.executable, "-m", "edge_ad", "connect", str(file), "bench"]
    with log.open("wb") as said, subprocess.Popen(command, stdout=said, stderr=said, env=dict(os.environ)) as process:
        try:
            end = time.monotonic() + 30
            while not ready():
                if process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError(f"the adapter does not serve: {log.read_text(encoding='utf-8')}")
                time.sleep(0.02)
            yield
        finally:
            process.kill()


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    import socket

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def _in_turns(turns: dict[str, Trip], trips: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in turns}
    for number in range(1, trips + _WARM_UP + 1):
        for name, trip in turns.items():
            taken = trip(number)
            if number > _WARM_UP:
                times[name].append(taken)
    return times


def _by_link(link: Client, number: int) -> float:
    begin = time.perf_counter()
    if not link.passes(f"link {number}"):
        raise RuntimeError("the fake station did not accept a part: the measurement is void")
    return (time.perf_counter() - begin) * 1e3


@contextmanager
def _process(command: list[str]) -> Iterator[None]:
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            if process.stdout is None or process.stdout.readline() != b"ready\n":
                raise RuntimeError("the fake station did not start")
            yield
        finally:
            process.kill()
