"""Keeps the frames of the parts that are being taught, beside the scoring, which never waits for the disk."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from edge_ad.errors import EdgeAdError, one_line
from edge_ad.files import append_synced, atomic_write
from edge_ad.teaching.session import TaughtFrame, TeachingFolder, TeachingSession, TeachingSettings
from edge_ad.verdict import Reason, State, Verdict

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["TeachingWriter"]

_LOOK_EVERY_S = 0.5
_WAITING = 8
_CLOSE_WAIT_S = 5.0

# The frame itself is whole; what is wrong is the calibration or the model, and that must not choose the normals.
_OF_THE_MODEL = {Reason.UNCALIBRATED, Reason.OUT_OF_RANGE, Reason.NOT_FINITE, Reason.ENGINE_FAILED}


class TeachingWriter:
    """Keeps frames of one scorer while its session wants parts. Verdicts play no role: normals chosen by their scores
    would promise too much.

    ``error``: why the last frame was not kept; ``None`` while all is well.
    """

    def __init__(
        self,
        settings: TeachingSettings,
        inspection: str,
        recipe: str,
        frames_each: int = 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.error: str | None = None
        self._folder = TeachingFolder(Path(settings.folder), inspection, recipe)
        self._limit_bytes = settings.limit_mb * 1_000_000
        self._frames_each = frames_each
        self._clock = clock
        self._look_s = 0.0
        self._touched_ns: int | None = None
        self._session = TeachingSession(version=0, changed_by="", changed_at=0.0)
        self._counts: dict[str, int] = {}
        self._spent = 0
        self._queue: queue.Queue[tuple[TaughtFrame, NDArray[np.uint8]] | None] = queue.Queue(_WAITING)
        self._lost: list[TaughtFrame] = []
        self._thread = threading.Thread(target=self._run, name="teaching", daemon=True)
        self._thread.start()

    def observe(self, verdict: Verdict, part_id: str, frame: NDArray[np.uint8]) -> None:
        """Keeps the frame where its part is wanted; never waits. The frame is copied."""
        now = self._clock()
        if now >= self._look_s:
            self._look_s = now + _LOOK_EVERY_S
            self._look()
        session = self._session
        if not session.collecting or verdict.captured_at < session.since:
            return
        if verdict.state is State.INVALID and verdict.reason not in _OF_THE_MODEL:
            return
        part = part_id or f"frame {verdict.frame_id} at {verdict.captured_at:.3f}"
        taken = self._counts.get(part, 0)
        if (not taken and len(self._counts) >= session.wanted) or taken >= self._frames_each:
            return
        self._counts[part] = taken + 1
        name = f"{int(verdict.captured_at * 1e6):016d}-{verdict.frame_id:08d}"
        try:
            self._queue.put_nowait((TaughtFrame(part=part, name=name, captured_at=verdict.captured_at), frame.copy()))
        except queue.Full:
            self._lost.append(TaughtFrame(part=part, name=None, captured_at=verdict.captured_at))

    @property
    def is_behind(self) -> bool:
        """Whether the next frame would find no room."""
        return self._queue.full()

    def close(self) -> None:
        """Writes what waits, for some seconds at most."""
        try:
            self._queue.put(None, timeout=_CLOSE_WAIT_S)
        except queue.Full:
            return
        self._thread.join(_CLOSE_WAIT_S)

    def _look(self) -> None:
        """Reads the session where it has changed: what was kept before a restart counts on."""
        touched_ns = self._folder.touched_ns()
        if touched_ns == self._touched_ns:
            return
        self._touched_ns = touched_ns
        try:
            session = self._folder.session()
        except EdgeAdError as error:
            self.error = one_line(error)
            self._session = msgspec.structs.replace(self._session, collecting=False)
            return
        if session.since != self._session.since or not self._counts:
            self._counts = {part: len(frames) for part, frames in self._folder.parts().items()}
            self._spent = sum(_size(self._folder, one) for one in self._folder.frames()) if session.collecting else 0
        self._session = session

    def _run(self) -> None:
        while (taken := self._queue.get()) is not None:
            try:
                self._write(*taken)
                self.error = None
            except (EdgeAdError, OSError) as error:
                self.error = one_line(error)
                self._note(msgspec.structs.replace(taken[0], name=None))
            while self._lost:
                self._note(self._lost.pop())

    def _write(self, told: TaughtFrame, frame: NDArray[np.uint8]) -> None:
        import cv2

        data = cv2.imencode(".png", frame, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()
        self._spent += len(data)
        if self._spent > self._limit_bytes:
            raise OSError(f"the taught parts take more than teaching.limit_mb = {self._limit_bytes // 1_000_000}")
        path = self._folder.picture(told.name or "")
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, data)
        self._append(told)

    def _note(self, told: TaughtFrame) -> None:
        """Says that a part does not count, where that can be written at all; another one is counted in its place."""
        self._counts.pop(told.part, None)
        try:
            self._append(told)
        except OSError as error:
            self.error = one_line(error)

    def _append(self, told: TaughtFrame) -> None:
        file = os.open(self._folder.frames_file(), os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o664)
        try:
            append_synced(file, msgspec.json.encode(told) + b"\n")
        finally:
            os.close(file)


def _size(folder: TeachingFolder, one: TaughtFrame) -> int:
    try:
        return 0 if one.name is None else folder.picture(one.name).stat().st_size
    except OSError:
        return 0
