"""Starts programs, drives them in turn and collects what they answer."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.worker import Answer

__all__ = ["Conditions", "Entry", "Result", "run_comparison"]

# The program before may have left threads that still spin, as those of ONNX Runtime do for some milliseconds.
_PAUSE_S = 0.05
WORKER = Path(__file__).with_name("worker.py")


@dataclass(frozen=True)
class Entry:
    """A program: ``kind`` is one of the worker's, ``python`` the interpreter that has what it needs."""

    name: str
    kind: str
    model: Path
    python: Path
    files: tuple[Path, ...]

    @property
    def size_mib(self) -> float:
        return sum(path.stat().st_size for path in self.files) / 2**20


@dataclass
class Result:
    """``scores`` in the order of the images; ``maps`` by image. ``start_s``: process start to first score."""

    entry: Entry
    start_s: list[float] = field(default_factory=list)
    peak_mib: list[float] = field(default_factory=list)
    total_ms: list[float] = field(default_factory=list)
    engine_ms: list[float] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    maps: list[NDArray[np.float32]] = field(default_factory=list)
    precision: str = ""


@dataclass(frozen=True)
class Conditions:
    """``threads``: of every engine, 0 leaves it the choice. ``environment`` adds to this process's own."""

    threads: int
    environment: Mapping[str, str]


class _Process:
    """A worker at the other end of two pipes."""

    def __init__(self, entry: Entry, folder: Path, conditions: Conditions) -> None:
        self._name = entry.name
        self._process = subprocess.Popen(
            [str(entry.python), str(WORKER), entry.kind, str(entry.model.resolve()), str(conditions.threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=folder,  # the peer writes a cache into the working directory
            env={**os.environ, **conditions.environment},
        )

    def ask(self, image: Path, target: Path | None = None) -> Answer:
        """Raises :class:`RuntimeError` when the worker has died."""
        if self._process.stdin is None or self._process.stdout is None:
            raise AssertionError("the process was started with pipes")
        print(image, target or "", sep="\t", file=self._process.stdin, flush=True)
        for line in self._process.stdout:
            if line.startswith("{"):  # libraries print there too
                return Answer(**json.loads(line))
        raise RuntimeError(f"{self._name} ended without an answer")

    def __enter__(self) -> _Process:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()


def run_comparison(
    entries: Sequence[Entry],
    images: Sequence[Path],
    folder: Path,
    *,
    runs: int,
    starts: int,
    conditions: Conditions,
) -> tuple[Result, ...]:
    """Every program scores every image; then ``runs`` rounds, one after the other, are timed.

    Before that each is started ``starts`` times, in turn. ``folder`` takes what the programs write.
    """
    results = tuple(Result(entry) for entry in entries)
    for _ in range(starts):
        for result in results:
            _start(result, images[0], folder, conditions)
    with ExitStack() as stack:
        processes = [stack.enter_context(_Process(entry, folder, conditions)) for entry in entries]
        for image in images:
            for result, process in zip(results, processes, strict=True):
                _score(result, process, image, folder / "map.npy")
        for run in range(runs):
            for result, process in zip(results, processes, strict=True):
                time.sleep(_PAUSE_S)
                process.ask(images[run % len(images)])
                answer = process.ask(images[run % len(images)])
                result.total_ms.append(answer.total_ms)
                result.engine_ms += [] if answer.engine_ms is None else [answer.engine_ms]
    return results


def _start(result: Result, image: Path, folder: Path, conditions: Conditions) -> None:
    begin = time.perf_counter()
    with _Process(result.entry, folder, conditions) as process:
        answer = process.ask(image)
        result.start_s.append(time.perf_counter() - begin)
    result.peak_mib.append(answer.peak_mib)


def _score(result: Result, process: _Process, image: Path, target: Path) -> None:
    answer = process.ask(image, target)
    result.precision = answer.precision
    result.scores.append(answer.score)
    result.maps.append(np.load(target))
