"""An annotated video of the whole run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edge_ad.errors import InputError, OutputError
from edge_ad.files import output_error, part_file
from edge_ad.outputs.annotate import BLANK, annotate
from edge_ad.outputs.anomaly_map import ColourScale
from edge_ad.outputs.sink import Sink

if TYPE_CHECKING:
    import cv2
    import numpy as np
    from numpy.typing import NDArray

    from edge_ad.sources import Frame
    from edge_ad.verdict import Verdict

__all__ = ["VideoSink"]

# Container -> the codec that OpenCV's wheels bring along for it (none has an encoder for H.264).
_CODECS = {".mp4": "mp4v", ".avi": "MJPG"}
_DEFAULT_FPS = 25.0


class VideoSink(Sink):
    """Writes one video, ``.mp4`` (MPEG-4) or ``.avi`` (Motion JPEG), of the size that its first frame has.

    Frames of another size are scaled to it. Before the first frame that has a picture there is no size yet, so
    frames without one are left out there. The file appears under its name when the sink is closed, replacing an
    earlier one, and only if every frame that was written is in it.

    Args:
        fps: frames per second; the source's, where it has any.

    Raises:
        InputError: another suffix.
    """

    needs_map = True

    def __init__(self, path: Path, *, fps: float | None = None) -> None:
        if path.suffix.lower() not in _CODECS:
            raise InputError(f"{path}: expected a name that ends with {' or '.join(_CODECS)}, found {path.suffix!r}")
        self._path = path
        self._part = part_file(path)
        self._fps = fps or _DEFAULT_FPS
        self._scale = ColourScale()
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)
        self._frames = 0

    def write(self, frame: Frame, verdict: Verdict, anomaly_map: NDArray[np.float32] | None) -> None:
        if frame.image is None and self._writer is None:
            return
        colour_range = None if anomaly_map is None else self._scale.fit(anomaly_map, verdict.pixel_threshold)
        picture = annotate(BLANK if frame.image is None else frame.image, verdict, anomaly_map, colour_range)
        if self._writer is None:
            height, width = picture.shape[:2]
            # Codecs halve the colour planes: of an odd size the last row or column would be lost.
            self._size = (width + width % 2, height + height % 2)
            self._writer = self._open()
        self._writer.write(_fitted(picture, self._size))
        self._frames += 1

    @property
    def size_bytes(self) -> int:
        """What the file that is being written takes so far."""
        try:
            return self._part.stat().st_size
        except OSError:
            return 0

    def close(self) -> None:
        if self._writer is None:
            return
        self._writer.release()
        self._writer = None
        try:
            self._check()
            self._rename()
        finally:
            self._part.unlink(missing_ok=True)

    def _open(self) -> cv2.VideoWriter:
        import cv2

        try:
            self._part.touch(exist_ok=False)  # OpenCV would not say why it cannot
        except OSError as error:
            raise output_error(self._path, error) from error
        codec = cv2.VideoWriter.fourcc(*_CODECS[self._path.suffix.lower()])
        writer = cv2.VideoWriter(str(self._part), cv2.CAP_FFMPEG, codec, self._fps, self._size)
        if not writer.isOpened():
            self._part.unlink()
            width, height = self._size
            raise OutputError(f"{self._path}: this OpenCV cannot encode a video of {width} x {height} pixels")
        return writer

    def _rename(self) -> None:
        try:
            self._part.replace(self._path)
        except OSError as error:
            raise output_error(self._path, error) from error

    def _check(self) -> None:
        """OpenCV reports no write that failed; the finished file tells."""
        import cv2

        written = int(cv2.VideoCapture(str(self._part), cv2.CAP_FFMPEG).get(cv2.CAP_PROP_FRAME_COUNT))
        if written < self._frames:
            raise OutputError(f"{self._path}: not all of {self._frames} frames could be written: is the disk full?")


def _fitted(picture: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    import cv2

    width, height = size
    missing_rows, missing_columns = height - picture.shape[0], width - picture.shape[1]
    fitted: NDArray[np.uint8]
    if missing_rows in (0, 1) and missing_columns in (0, 1):
        fitted = cv2.copyMakeBorder(picture, 0, missing_rows, 0, missing_columns, cv2.BORDER_REPLICATE)
    else:
        fitted = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return fitted
