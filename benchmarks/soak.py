"""``make soak MINUTES=60``: a whole station at full rate for a long time. Nothing may grow, no part may be lost.

The station keeps all that it can keep: results, evidence, counters, metrics, drift and a log, each within its limit.
Frames are handed in by one client as fast as results come back.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter, deque
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from benchmarks import machine
from benchmarks.station import Tree, by_link, running
from edge_ad.bundle import Bundle
from edge_ad.errors import EdgeAdError, LinkError
from edge_ad.link import Client
from edge_ad.sources import list_images, read_image

_OPEN = 3
_GROWTH = 0.05
"""What memory may grow by between the settled station and the end."""
_SETTLED_S = 300.0

_KEEPS = """
[output.results]
kind = "jsonl"
path = "/dev/null"
[output.table]
kind = "csv"
path = "results.csv"
[evidence]
folder = "evidence"
limit_mb = 50
every = 20
[drift]
folder = "drift"
[counters]
file = "counters.json"
every_s = 1
[log]
file = "log"
level = "debug"
limit_mb = 1
"""


@dataclass(frozen=True, slots=True)
class Reading:
    """What the processes of the station hold. Memory in MiB: resident, and with shared pages counted once."""

    rss_mib: float
    pss_mib: float
    open_files: int
    threads: int

    @classmethod
    def of(cls, tree: Tree) -> Reading:
        """Of this moment."""
        pids = tree.pids()
        fields = [dict(_status(pid)) for pid in pids]
        return cls(
            rss_mib=sum(int(one["VmRSS"].split()[0]) for one in fields) / 1024,
            pss_mib=tree.memory_mib(),
            open_files=tree.open_files(),
            threads=sum(int(one["Threads"]) for one in fields),
        )


def _status(pid: int) -> list[tuple[str, str]]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]


class Line:
    """Brings parts without a pause, a few of them open at a time, and counts what comes back."""

    def __init__(self, client: Client, frames: list[NDArray[np.uint8]]) -> None:
        self._client = client
        self._frames = frames
        self._open: deque[tuple[int, str]] = deque()
        self.brought = 0
        self.outcomes = Counter[str]()

    def bring(self) -> None:
        """One part more."""
        part = f"P{self.brought}"
        self._open.append((self._client.hand_in(self._frames[self.brought % len(self._frames)], part), part))
        self.brought += 1
        while len(self._open) >= _OPEN:
            self._take()

    def finish(self) -> None:
        """Waits for the results that are open."""
        while self._open:
            self._take()

    def _take(self) -> None:
        trigger, part = self._open.popleft()
        try:
            result = self._client.result(trigger, timeout_s=60)
        except LinkError as error:
            self.outcomes[f"LOST ({type(error).__name__})"] += 1
            return
        self.outcomes[result.state.value if result.part_id == part else "WRONG PART"] += 1


def soak(folder: Path, bundle: Path, frames: list[NDArray[np.uint8]], minutes: float) -> bool:
    """Whether nothing grew and nothing was lost; prints a line each minute."""
    variant = Bundle.open(bundle).variant(None).id
    print(f"{bundle.name}, {variant}, one thread; frames of {frames[0].shape[1]}x{frames[0].shape[0]}")
    print(f"{'minute':>6}{'parts':>10}{'parts/s':>9}{'RSS MiB':>9}{'PSS MiB':>9}{'files':>7}{'threads':>9}")
    with running(folder, by_link(bundle, variant) + _KEEPS) as (tree, path), Client(path) as client:
        line, begin, readings = Line(client, frames), time.monotonic(), list[tuple[float, Reading]]()
        seen = 0
        while (passed := time.monotonic() - begin) < minutes * 60 or not readings:
            if passed >= 60 * len(readings) + min(10, minutes * 30):
                readings.append((passed, Reading.of(tree)))
                now = readings[-1][1]
                rate = (line.brought - seen) / (passed - (readings[-2][0] if len(readings) > 1 else 0))
                seen = line.brought
                print(
                    f"{passed / 60:>6.1f}{line.brought:>10}{rate:>9.1f}{now.rss_mib:>9.1f}{now.pss_mib:>9.1f}"
                    f"{now.open_files:>7}{now.threads:>9}",
                    flush=True,
                )
            line.bring()
        line.finish()
        counts = client.snapshot()
        last = Reading.of(tree)
    return _judged(line, readings, last, counts.counters, counts.outputs | counts.files)


def _judged(
    line: Line, readings: list[tuple[float, Reading]], last: Reading, counters: dict[str, int], states: dict[str, str]
) -> bool:
    first = readings[0][1]
    settled = next((one for when, one in readings if when >= _SETTLED_S), first)
    counted = sum(counters[f"parts_{name}"] for name in ("ACCEPT", "REJECT", "INVALID"))
    lost = line.brought - counted
    print(f"{line.brought} parts brought, {dict(line.outcomes)}, {lost} without a result")
    print(f"first   {first}\nsettled {settled}\nlast    {last}\n{states}")
    return (
        lost == 0
        and set(line.outcomes) <= {"ACCEPT", "REJECT"}
        and last.rss_mib <= settled.rss_mib * (1 + _GROWTH)
        and last.open_files <= settled.open_files
        and last.threads <= settled.threads
    )


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path, exists=True))
@click.argument("images", type=click.Path(path_type=Path, exists=True))
@click.option("--minutes", default=60.0, show_default=True)
def main(bundle: Path, images: Path, minutes: float) -> None:
    """Run a station with BUNDLE on IMAGES at full rate, and end with 1 where it grew or lost a part."""
    print(machine.describe())
    frames = [read_image(path) for path in list_images(images)[:8]]
    try:
        with tempfile.TemporaryDirectory() as folder:
            is_good = soak(Path(folder), bundle.absolute(), frames, minutes)
    except EdgeAdError as error:
        raise click.ClickException(str(error)) from error
    print("nothing grew, nothing was lost" if is_good else "FAILED: something grew or was lost")
    sys.exit(not is_good)


if __name__ == "__main__":
    main()
