"""A camera driven as a station drives it, and what is left behind of it."""

from __future__ import annotations

import contextlib
import gc
import os
import select
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_ad.cameras import (
    CameraEnded,
    CameraEvent,
    CameraProcess,
    CameraSettings,
    CameraState,
    CameraStatus,
    FrameInfo,
)

__all__ = ["Driver", "camera", "open_files", "shared_memory"]

PATIENCE_S = 60
_NS = 1_000_000_000


@dataclass
class Driver:
    """Keeps a camera going until something is true, and keeps what it said meanwhile.

    Frames are copied, and released at once unless ``releases`` is false.
    """

    camera: CameraProcess
    releases: bool = True
    frames: list[FrameInfo] = field(default_factory=list)
    pixels: list[NDArray[np.uint8]] = field(default_factory=list)
    statuses: list[CameraStatus] = field(default_factory=list)
    ended: CameraEnded | None = None
    pids: set[int] = field(default_factory=set)

    def until(self, condition: Callable[[], object], seconds: float = PATIENCE_S) -> None:
        """Returns as soon as ``condition()`` is true; fails after ``seconds``."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"in vain, with {len(self.frames)} frames: {self.statuses}"
            self.step()

    def step(self) -> None:
        """One round of a station's loop."""
        due = self.camera.tick(time.monotonic_ns())
        self._see_process()  # it may have ended by the time that what it said is taken
        for event in self.camera.receive():
            self._take(event)
        self._see_process()
        wait = 0.05 if due is None else min(max((due - time.monotonic_ns()) / _NS, 0), 0.05)
        watched = self.camera.fileno()
        select.select([] if watched is None else [watched], [], [], wait)

    def _see_process(self) -> None:
        if self.camera.pid is not None:
            self.pids.add(self.camera.pid)

    def until_state(self, state: CameraState) -> None:
        """Returns once the camera is in this state."""
        self.until(lambda: self.camera.state is state)

    def trigger(self, number: int) -> FrameInfo:
        """The frame that answers."""
        self.until(lambda: self.camera.trigger(number))
        self.until(lambda: any(frame.trigger == number for frame in self.frames))
        return self.frames[-1]

    def _take(self, event: CameraEvent) -> None:
        if isinstance(event, FrameInfo):
            self.frames.append(event)
            if event.slot >= 0:
                self.pixels.append(self.camera.ring.view(event).copy())
            if self.releases:
                self.camera.release(event.slot, self.camera.ring)
        elif isinstance(event, CameraStatus):
            self.statuses.append(event)
        else:
            self.ended = event


@contextmanager
def camera(settings: CameraSettings) -> Iterator[Driver]:
    """A camera that is closed at the end, with nothing of it left behind: no process, no file, no shared memory."""
    gc.collect()  # what earlier tests have left
    files, memory = open_files(), shared_memory()
    process = CameraProcess("camera", settings)
    driver = Driver(process)
    try:
        yield driver
    finally:
        process.close()
    assert [pid for pid in driver.pids if Path(f"/proc/{pid}").exists()] == []
    end = time.monotonic() + 20  # the other ends of its connections, which are closed by threads of this process
    while open_files() > files and time.monotonic() < end:
        time.sleep(0.01)
    assert open_files() <= files
    assert shared_memory() <= memory


def open_files() -> int:
    """How many files this process has open, without the connections that a test's own server may have."""
    links = []
    for one in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # the one that lists them
            links.append(os.readlink(one))  # noqa: PTH115
    ours = {f"socket:[{line.split()[6]}]" for line in Path("/proc/net/unix").read_text().splitlines()[1:]}
    return sum(not link.startswith("socket:") or link in ours for link in links)


def shared_memory() -> int:
    """How many rings of frames this process has in its memory."""
    return Path("/proc/self/maps").read_text().count("memfd:edge-ad-frames")
