"""Annotated videos of what a scorer saw, written beside the scoring, which never waits for them."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from edge_ad.errors import EdgeAdError
from edge_ad.files import output_error
from edge_ad.outputs.video_file import VideoSink
from edge_ad.sources.frame import Frame

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge_ad.detector import Detector
    from edge_ad.verdict import Verdict

__all__ = ["VideoChoice", "VideoWriter"]

_CLOSE_WAIT_S = 2.0
_OUTLINE = (245, 245, 245)


class VideoChoice(msgspec.Struct, frozen=True, kw_only=True):
    """An output of kind ``video``. ``limit_bytes``: of all videos of an inspection. ``queue``: frames that may wait."""

    name: str
    folder: str
    fps: float
    file_s: float
    file_bytes: int
    limit_bytes: int
    queue: int


class VideoWriter:
    """Writes the frames of one inspection as Motion JPEG, a new file after a time or size; the oldest files go first.

    Frames that come faster than they are written are left out and counted (``dropped``). ``error``: why the last one
    was not written; ``None`` while all is well.
    """

    def __init__(
        self, choice: VideoChoice, inspection: str, detector: Detector, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.name = choice.name
        self.dropped = 0
        self.error: str | None = None
        self._choice = choice
        self._folder = Path(choice.folder) / inspection
        self._detector = detector
        self._clock = clock
        self._sink: VideoSink | None = None
        self._until_s = 0.0
        self._queue: queue.Queue[tuple[Verdict, NDArray[np.uint8], NDArray[np.float32] | None] | None]
        self._queue = queue.Queue(choice.queue)
        self._thread = threading.Thread(target=self._run, name=f"video-{choice.name}", daemon=True)
        self._thread.start()

    @property
    def state(self) -> str:
        """``ok``, or what is wrong, in one line."""
        return f"{f'failing: {self.error}' if self.error else 'ok'}, {self.dropped} dropped"

    def observe(self, verdict: Verdict, frame: NDArray[np.uint8], anomaly_map: NDArray[np.float32] | None) -> None:
        """One frame more; never waits. Frame and map are copied."""
        if self._queue.full():
            self.dropped += 1
            return
        self._queue.put((verdict, frame.copy(), None if anomaly_map is None else anomaly_map.copy()))

    def close(self) -> None:
        """Finishes the file, for some seconds at most."""
        try:
            self._queue.put(None, timeout=_CLOSE_WAIT_S)
        except queue.Full:
            return
        self._thread.join(_CLOSE_WAIT_S)

    def _run(self) -> None:
        while (given := self._queue.get()) is not None:
            self._tried(*given)
        try:
            self._finish()
        except EdgeAdError as error:
            self.error = str(error)

    def _tried(self, verdict: Verdict, frame: NDArray[np.uint8], anomaly_map: NDArray[np.float32] | None) -> None:
        try:
            self._write(verdict, frame, anomaly_map)
        except EdgeAdError as error:
            self.error = str(error)
            self.dropped += 1

    def _write(self, verdict: Verdict, frame: NDArray[np.uint8], anomaly_map: NDArray[np.float32] | None) -> None:
        if self._sink is not None and (
            self._clock() >= self._until_s or self._sink.size_bytes >= self._choice.file_bytes
        ):
            self._finish()
        if self._sink is None:
            self._begin(verdict.captured_at)
        assert self._sink is not None  # noqa: S101
        picture = frame if anomaly_map is None else self._outlined(frame, anomaly_map, verdict)
        try:
            self._sink.write(Frame(picture, "", verdict.frame_id, verdict.captured_at), verdict, None)
        except EdgeAdError:
            self._sink = None
            raise
        self.error = None

    def _begin(self, at: float) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._make_room()
        except OSError as error:
            raise output_error(self._folder, error) from error
        when = datetime.fromtimestamp(at, timezone.utc)
        self._sink = VideoSink(self._folder / f"{when:%Y%m%dT%H%M%S.%fZ}.avi", fps=self._choice.fps)
        self._until_s = self._clock() + self._choice.file_s

    def _make_room(self) -> None:
        """Deletes what a killed process left, and the oldest videos, until another one fits."""
        for left in self._folder.glob(".*.part.avi"):
            if time.time() - left.stat().st_mtime > self._choice.file_s:
                left.unlink(missing_ok=True)
        videos = sorted(self._folder.glob("*Z.avi"))
        sizes = [one.stat().st_size for one in videos]
        room = self._choice.limit_bytes - self._choice.file_bytes
        while videos and sum(sizes) > room:
            videos.pop(0).unlink(missing_ok=True)
            sizes.pop(0)

    def _finish(self) -> None:
        sink, self._sink = self._sink, None
        if sink is not None:
            sink.close()

    def _outlined(
        self, frame: NDArray[np.uint8], anomaly_map: NDArray[np.float32], verdict: Verdict
    ) -> NDArray[np.uint8]:
        """The frame with the outline of all that lies over the pixel threshold."""
        import cv2

        if verdict.pixel_threshold is None:
            return frame
        heat = self._detector.map_in_camera_pixels(anomaly_map, frame)
        over = (np.nan_to_num(heat, nan=-np.inf) > verdict.pixel_threshold).astype(np.uint8)
        outlines, _ = cv2.findContours(over, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        picture = cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR) if frame.ndim == 2 else frame
        line = max(1, min(frame.shape[:2]) // 240)
        drawn: NDArray[np.uint8] = cv2.drawContours(picture, outlines, -1, _OUTLINE, line)
        return drawn
