"""Small videos whose frames can be told apart, and what became of the processes that decode them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_ad.errors import SourceError
from edge_ad.sources import Frame

WIDTH, HEIGHT, STEP = 64, 48, 5


def write_video(path: Path, frames: int = 40) -> Path:
    """Motion JPEG whose frame i is plain gray of value 5 i, over noise in a corner so that it has some bytes."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (WIDTH, HEIGHT))
    noise = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    for index in range(frames):
        image = np.full((HEIGHT, WIDTH, 3), STEP * index % 256, np.uint8)
        image[:16, :16] = noise
        writer.write(image)
    writer.release()
    return path


def number(frame: Frame) -> int:
    """Which frame of ``write_video`` this is, read from its pixels."""
    assert frame.image is not None
    return round(float(frame.image[32:, 32:].mean()) / STEP)


def until_failure(frames: Iterator[Frame]) -> tuple[list[Frame], SourceError]:
    """The frames that a source gives before it raises, and what it raises."""
    taken: list[Frame] = []
    try:
        for frame in frames:
            taken.append(frame)  # noqa: PERF402  what came before the error counts
    except SourceError as error:
        return taken, error
    pytest.fail("the source ended without an error")


def state_and_parent(pid: int) -> tuple[str, int]:
    """A process as the kernel lists it; a zombie (it ended, nobody has asked for its status) counts as gone."""
    try:
        state, parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
    except OSError:
        return "gone", 0
    return ("gone" if state == "Z" else "running"), int(parent)


def is_gone(pid: int) -> bool:
    return state_and_parent(pid)[0] == "gone"


def children(pid: int) -> list[int]:
    """The decoders that ``pid`` started and that still run."""
    everyone = [int(folder.name) for folder in Path("/proc").glob("[0-9]*")]
    return [one for one in everyone if state_and_parent(one) == ("running", pid) and is_decoder(one)]


def is_decoder(pid: int) -> bool:
    """Other tests of this process may have left helpers of their own, such as Python's resource tracker."""
    try:
        return b"decode_worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # it has ended meanwhile
        return False


def wait_for(condition: Callable[[], bool], seconds: float = 600) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
