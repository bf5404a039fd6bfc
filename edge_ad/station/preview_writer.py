"""The newest scored frame of an inspection as a small picture with its map, for people who look: written only then.

A scorer writes it to ``INSPECTION.preview`` in a folder, as a line of JSON followed by a JPEG and a PNG. Whoever shows
it touches the file ``wanted`` in that folder every few seconds; without that nothing is drawn and nothing is written.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import numpy as np

from edge_ad.bundle.fields import Record
from edge_ad.errors import EdgeAdError, one_line
from edge_ad.files import output_error
from edge_ad.outputs.anomaly_map import ColourScale, coloured
from edge_ad.verdict import FrameStatistics, Reason, State, Verdict

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge_ad.detector import Detector

__all__ = ["PREVIEW_SUFFIX", "WANTED", "PreviewChoice", "PreviewHead", "PreviewWriter", "want_previews"]

PREVIEW_SUFFIX = ".preview"
WANTED = "wanted"
"""The file that says, by being touched, that somebody looks."""

_WANTED_S = 10.0
_LOOK_EVERY_S = 0.5
_REST = 25
"""The pause after a picture, in times of what it took: so the drawing takes at most 4 % of a processor core."""
_REST_REJECTED = 5
_CLOSE_WAIT_S = 2.0
_MAP_PX = 320
_QUALITY = 80


class PreviewChoice(Record, frozen=True, kw_only=True):
    """``[preview]``: small pictures of the newest frames, at most ``per_s`` a second and ``side_px`` long, in
    ``folder``, for a page that shows them. ``folder`` should be in memory, such as one below ``/run``.
    """

    folder: str
    per_s: Annotated[float, msgspec.Meta(gt=0, le=25)] = 4.0
    side_px: Annotated[int, msgspec.Meta(ge=160, le=4_096)] = 960


class PreviewHead(msgspec.Struct, frozen=True, kw_only=True):
    """The first line of a preview. ``height``, ``width``: of the camera's frame, whose pixels the verdict's boxes are
    in. ``picture``, ``map``: how many bytes of JPEG and of PNG follow; 0 where there is no map. ``looks``: of the
    model's input, as its limits count them; ``None`` where the frame was not looked at.
    """

    inspection: str
    part_id: str
    height: int
    width: int
    picture: int
    map: int
    verdict: Verdict
    looks: FrameStatistics | None = None


def want_previews(folder: Path) -> None:
    """Says that somebody looks, for some seconds.

    Raises:
        OutputError: the folder cannot be made or written to.
    """
    try:
        folder.mkdir(exist_ok=True)
        (folder / WANTED).touch()
    except OSError as error:
        raise output_error(folder, error) from error


class PreviewWriter:
    """Draws and writes previews of one inspection in a thread of its own; never waits, and leaves out what is too much.

    ``error``: why the last one was not written; ``None`` while all is well.
    """

    def __init__(
        self, choice: PreviewChoice, inspection: str, detector: Detector, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.error: str | None = None
        self._choice = choice
        self._folder = Path(choice.folder)
        self._inspection = inspection
        self._detector = detector
        self._clock = clock
        self._scale = ColourScale()
        self._due_s = self._reject_due_s = self._look_s = self._wanted_until_s = 0.0
        self._touched_ns = self._touched()
        self._copied: _Taken | None = None
        self._queue: queue.Queue[_Taken | None] = queue.Queue(1)
        self._thread = threading.Thread(target=self._run, name="preview", daemon=True)
        self._thread.start()

    def observe(
        self, verdict: Verdict, part_id: str, frame: NDArray[np.uint8], anomaly_map: NDArray[np.float32] | None
    ) -> None:
        """One frame more. Of a frame that is shown every n-th pixel is copied, so that it takes little time.

        What was copied is drawn after :meth:`draw`: a thread that draws would hold up the answer to the station.
        """
        now = self._clock()
        due_s = self._due_s if verdict.state is State.ACCEPT else self._reject_due_s
        if now < due_s or self._queue.full() or not self._somebody_looks(now):
            return
        step = max(1, max(frame.shape[:2]) // self._choice.side_px)
        small = np.ascontiguousarray(frame[::step, ::step])
        shape = (frame.shape[0], frame.shape[1])
        one = None if anomaly_map is None else anomaly_map.copy()
        self._due_s = self._reject_due_s = now + 1 / self._choice.per_s
        self._copied = _Taken(verdict, part_id, small, shape, frame.ndim, one, self._looks(verdict))

    def draw(self) -> None:
        """Lets the thread draw what was copied, if anything was."""
        copied, self._copied = self._copied, None
        if copied is not None:
            self._queue.put(copied)

    def _looks(self, verdict: Verdict) -> FrameStatistics | None:
        """How the frame just scored looks; nothing of one that was refused before the model's input was made of it."""
        if verdict.score is None and verdict.reason is not Reason.OUT_OF_RANGE:
            return None
        return next(iter(self._detector.scorer.statistics()), None)

    def close(self) -> None:
        """Ends the thread."""
        try:
            self._queue.put(None, timeout=_CLOSE_WAIT_S)
        except queue.Full:
            return
        self._thread.join(_CLOSE_WAIT_S)

    def _somebody_looks(self, now: float) -> bool:
        """Whether the file was touched of late. Its date itself is not read: a clock may be set meanwhile."""
        if now >= self._look_s:
            self._look_s = now + _LOOK_EVERY_S
            touched_ns = self._touched()
            if touched_ns != self._touched_ns:
                self._touched_ns = touched_ns
                self._wanted_until_s = now if touched_ns is None else now + _WANTED_S
        return now < self._wanted_until_s

    def _touched(self) -> int | None:
        try:
            return (self._folder / WANTED).stat().st_mtime_ns
        except OSError:
            return None

    def _run(self) -> None:
        while (taken := self._queue.get()) is not None:
            begun, cpu_s = self._clock(), time.thread_time()
            try:
                self._write(taken)
                self.error = None
            except (EdgeAdError, OSError, ValueError) as error:
                self.error = one_line(error)
            spent_s = time.thread_time() - cpu_s
            self._due_s = begun + max(1 / self._choice.per_s, _REST * spent_s)
            self._reject_due_s = begun + max(1 / self._choice.per_s, _REST_REJECTED * spent_s)

    def _write(self, taken: _Taken) -> None:
        import cv2

        picture = _shrunk(taken.small, self._choice.side_px)
        jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()
        png = self._map(taken)
        head = PreviewHead(
            inspection=self._inspection,
            part_id=taken.part_id,
            height=taken.shape[0],
            width=taken.shape[1],
            picture=len(jpeg),
            map=len(png),
            verdict=taken.verdict,
            looks=taken.looks,
        )
        path = self._folder / f"{self._inspection}{PREVIEW_SUFFIX}"
        part = path.with_name(f".{path.name}.part")
        self._folder.mkdir(exist_ok=True)
        part.write_bytes(msgspec.json.encode(head) + b"\n" + jpeg + png)  # worth nothing after a power cut: no fsync
        part.replace(path)

    def _map(self, taken: _Taken) -> bytes:
        import cv2

        if taken.map is None:
            return b""
        shape = taken.shape if taken.dimensions == 2 else (*taken.shape, 3)
        blank = np.broadcast_to(np.uint8(0), shape)  # only its size counts
        whole = self._detector.map_in_camera_pixels(taken.map, blank, taken.verdict.objects)
        step = max(1, max(taken.shape) // _MAP_PX)
        small = np.ascontiguousarray(whole[step // 2 :: step, step // 2 :: step])
        colours = self._scale.fit(small, taken.verdict.pixel_threshold)
        if colours is None:
            return b""
        return cv2.imencode(".png", coloured(small, colours), [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()


class _Taken(msgspec.Struct, frozen=True):
    """What is drawn. ``small``: every n-th pixel of a frame of ``shape`` pixels and so many ``dimensions``."""

    verdict: Verdict
    part_id: str
    small: NDArray[np.uint8]
    shape: tuple[int, int]
    dimensions: int
    map: NDArray[np.float32] | None
    looks: FrameStatistics | None


def _shrunk(picture: NDArray[np.uint8], side_px: int) -> NDArray[np.uint8]:
    import cv2

    scale = side_px / max(picture.shape[:2])
    if scale >= 1:
        return picture
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    shrunk: NDArray[np.uint8] = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return shrunk
