"""``make bench-station``: from trigger to result beside the bare runtime; idle load; memory; one and two cameras.

What the station adds is measured pair by pair: the round trip of each part less the time that its own verdict names for
geometry, engine and decision. That leaves the link, the hand-over to the scorer and back, and the station's decision.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks import machine
from edge_ad import Detector
from edge_ad.bundle import Bundle
from edge_ad.engines import EngineOptions
from edge_ad.link import Client, StationState
from edge_ad.sources import list_images, read_image

_WARM_UP = 50
_OPEN, _TURNS = 4, 5
_MEMORY = Path("/dev/shm")  # noqa: S108  a folder of its own is made in it
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Tree:
    """The process of a station, and its children."""

    pid: int

    def pids(self) -> list[int]:
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return [self.pid, *map(int, children)]

    def cpu_s(self) -> float:
        """Processor time of all of them so far."""
        fields = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in self.pids()]
        return sum(int(one[11]) + int(one[12]) for one in fields) / _TICKS

    def memory_mib(self) -> float:
        """What they hold together, shared pages counted once."""
        lines = (line for pid in self.pids() for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines())
        return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024

    def open_files(self) -> int:
        return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in self.pids())


@contextmanager
def running(folder: Path, tables: str) -> Iterator[tuple[Tree, Path]]:
    """A station in a process of its own, and its socket."""
    file, path = folder / "station.toml", folder / "bench.sock"
    file.write_text(f'{tables}\n[link]\nsocket = "{path}"\n', encoding="utf-8")
    program = [sys.executable, "-c", "from edge_ad.cli import main; main()", "run", str(file)]
    with subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        try:
            _wait_until_ready(process, path)
            yield Tree(process.pid), path
        finally:
            process.terminate()


def _wait_until_ready(process: subprocess.Popen[str], path: Path) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end and process.poll() is None:
        if path.exists():
            with Client(path) as client:
                if client.snapshot().state in {StationState.READY, StationState.BUSY}:
                    return
        time.sleep(0.05)
    process.kill()
    said = process.stderr.read() if process.stderr else ""
    raise click.ClickException(f"the station did not become ready: {said}")


def by_link(bundle: Path, variant: str) -> str:
    head = ["[station]", 'name = "bench"', 'trigger = "link"', "deadline_ms = 5000", "[camera.c0]", 'source = "link"']
    return "\n".join([*head, _inspection(0, bundle, variant)])


def _inspection(number: int, bundle: Path, variant: str) -> str:
    lines = [f"[inspect.c{number}]", f'camera = "c{number}"', f'bundle = "{bundle}"', f'variant = "{variant}"']
    return "\n".join([*lines, "threads = 1"])


def trips(
    client: Client, frames: list[NDArray[np.uint8]], count: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Round trips, and what their verdicts name, in milliseconds: two arrays ``(count,)``."""
    taken, named = np.empty(count), np.empty(count)
    for number in range(count):
        begin = time.perf_counter()
        result = client.result(client.hand_in(frames[number % len(frames)]), timeout_s=30)
        taken[number] = (time.perf_counter() - begin) * 1e3
        named[number] = result.verdicts[0].latency_ms.total
    return taken, named


def show(name: str, values: NDArray[np.float64]) -> None:
    p50, p99 = np.percentile(values, [50, 99])
    print(f"  {name:<44}{p50:>9.2f}{p99:>9.2f}{values.max():>9.2f}")


def latency(folder: Path, bundle: Path, variant: str, frames: list[NDArray[np.uint8]], count: int) -> None:
    print(f"{count} parts, one after the other, frames of {frames[0].shape[1]}x{frames[0].shape[0]}; milliseconds")
    print(f"  {'':<44}{'p50':>9}{'p99':>9}{'max':>9}")
    options = EngineOptions(threads=1, spin=False)
    with running(folder, by_link(bundle, variant)) as (tree, path), Client(path) as client:
        with Detector.open(bundle, variant, engine=options) as detector:
            trips(client, frames, _WARM_UP)
            bare, taken, named = [], [], []
            for _ in range(10):  # in turns, so that a disturbance hits both
                shown = (frames[number % len(frames)] for number in range(count // 10))
                bare += [detector.score(frame).latency_ms.total for frame in shown]
                one, other = trips(client, frames, count // 10)
                taken.append(one)
                named.append(other)
        show("bare runtime, in the process that asks", np.asarray(bare))
        show("the same in the scorer, as its verdicts name it", np.concatenate(named))
        show("trigger to result", np.concatenate(taken))
        show("what the station adds, part by part", np.concatenate(taken) - np.concatenate(named))
        with _flood(path):
            one, other = trips(client, frames, count // 10)
        show("the same, with a client that floods", one - other)
        begin, before = time.monotonic(), tree.cpu_s()
        time.sleep(10)
        share = (tree.cpu_s() - before) / (time.monotonic() - begin)
        print(f"  idle: {share:.1%} of a core; {tree.memory_mib():.0f} MiB in {len(tree.pids())} processes\n")


@contextmanager
def _flood(path: Path) -> Iterator[None]:
    is_over = threading.Event()

    def send() -> None:
        with socket.socket(socket.AF_UNIX) as one:
            one.settimeout(0.5)
            try:
                one.connect(str(path))
                one.sendall(b'{"type":"hello","version":1,"client":"flood"}\n{"type":"subscribe"}\n')
                while not is_over.is_set():
                    one.sendall(b'{"type":"snapshot","id":"x"}\n' * 100)
                    time.sleep(0.01)
            except OSError:
                return

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def cameras(folder: Path, bundle: Path, variant: str, frames: list[NDArray[np.uint8]], seconds: float) -> None:
    """How many parts a second one and two cameras give, each with a scorer of one thread, in turns.

    Pictures come from memory, uncompressed, and a few parts are open at a time: only scoring takes long.
    """
    with ExitStack() as stack:
        images = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=_MEMORY if _MEMORY.is_dir() else None)))
        for number, frame in enumerate(frames):
            cv2.imwrite(str(images / f"{number}.bmp"), frame)
        stations = []
        for number in (1, 2):
            own = folder / str(number)
            own.mkdir()
            tree, path = stack.enter_context(running(own, _by_cameras(number, bundle, variant, images)))
            stations.append((number, tree, stack.enter_context(Client(path))))
        parts, spent, cpu = [0, 0], [0.0, 0.0], [0.0, 0.0]
        for _ in range(_TURNS):
            for index, (_, tree, client) in enumerate(stations):
                before, begin = tree.cpu_s(), time.monotonic()
                parts[index] += _bring(client, seconds / _TURNS)
                spent[index] += time.monotonic() - begin
                cpu[index] += tree.cpu_s() - before
        rates = [count / taken for count, taken in zip(parts, spent, strict=True)]
        for (number, tree, _), rate, used, taken in zip(stations, rates, cpu, spent, strict=True):
            print(
                f"  {number} camera(s): {rate:.1f} parts/s, {number * rate:.1f} frames/s on {used / taken:.2f} cores, "
                f"{tree.memory_mib():.0f} MiB in {len(tree.pids())} processes"
            )
        print(f"  two cameras score {2 * rates[1] / rates[0]:.2f} times the frames of one\n")


def _by_cameras(number: int, bundle: Path, variant: str, images: Path) -> str:
    tables = ['[station]\nname = "bench"\ntrigger = "link"\ndeadline_ms = 60000']
    for one in range(number):
        tables += [f"[camera.c{one}]", f'source = "{images}"', "loop = true", "allow_repeats = true"]
        tables += ['trigger = "software"', _inspection(one, bundle, variant)]
    return "\n".join(tables)


def _bring(client: Client, seconds: float) -> int:
    """Brings parts without a pause, a few of them open at a time; how many."""
    waiting: deque[int] = deque()
    count, end = 0, time.monotonic() + seconds
    while time.monotonic() < end or waiting:
        if time.monotonic() < end and len(waiting) < _OPEN:
            waiting.append(client.trigger())
            continue
        result = client.result(waiting.popleft(), timeout_s=60)
        if result.reason is not None:
            raise click.ClickException(f"a part was not inspected: {result.reason}: {result.detail}")
        count += 1
    return count


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path, exists=True))
@click.argument("images", type=click.Path(path_type=Path, exists=True))
@click.option("--variant", help="Otherwise the bundle's default.")
@click.option("--parts", default=20_000, show_default=True)
@click.option("--seconds", default=20.0, show_default=True, help="How long one and two cameras are compared, each.")
def main(bundle: Path, images: Path, variant: str | None, parts: int, seconds: float) -> None:
    """Measure a station with BUNDLE on IMAGES."""
    print(machine.describe())
    chosen = Bundle.open(bundle).variant(variant).id
    print(f"{bundle.name}, {chosen}, one thread")
    frames = [read_image(path) for path in list_images(images)[:8]]
    with tempfile.TemporaryDirectory() as folder:
        if parts:
            latency(Path(folder), bundle.absolute(), chosen, frames, parts)
        cameras(Path(folder), bundle.absolute(), chosen, frames, seconds)


if __name__ == "__main__":
    main()
