"""A video file as a camera: each frame is decoded into the ring where it lies, a damaged one is marked."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge_ad.capture.backends.folder import too_large
from edge_ad.capture.backends.pacing import Pacer
from edge_ad.capture.backends.protocol import CameraRefusedError, CounterRange, FetchedPicture, Grab, SourceEndedError
from edge_ad.sources.damage import DamageWatch
from edge_ad.sources.ffmpeg import StoredJpegs, WatchedStream, frame_count, open_stream
from edge_ad.sources.frame_name import FrameName

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge_ad.cameras.messages import Setting
    from edge_ad.cameras.settings import CameraSettings

__all__ = ["VideoCamera", "check_decoder", "fetch_into"]

_DEFAULT_FPS = 25.0


class VideoCamera:
    """The frames of a video file; ``first``: how many of them were given already."""

    is_live = False
    has_trigger = True
    counter_range: CounterRange | None = None

    def __init__(self, settings: CameraSettings, first: int) -> None:
        self._settings = settings
        self._path = Path(settings.source)
        self._next = first
        self._pacer = Pacer(settings, _DEFAULT_FPS)
        self._watch: DamageWatch | None = None
        self._capture: cv2.VideoCapture | None = None
        self._stream: WatchedStream | None = None

    def open(self) -> dict[str, Setting]:
        """Open the file and go to the frame that is next."""
        capture = self._begin()
        fps = capture.get(cv2.CAP_PROP_FPS)
        self._pacer = Pacer(self._settings, fps if fps > 0 else _DEFAULT_FPS)
        size: dict[str, Setting] = {
            "width": int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)),
            "height": int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)),
        }
        count = frame_count(capture)
        at = self._next % count if self._settings.loop and count else self._next
        for _ in range(at):
            if not self._opened().grab():
                break
        return size | self._pacer.described()

    def trigger(self) -> None:
        """Nothing to do: the next frame is given whenever it is asked for."""

    def grab(self, timeout_s: float) -> Grab | None:
        """The next frame, when its time has come."""
        if not self._pacer.wait(timeout_s):
            return None
        if not self._opened().grab():
            check_decoder(self._opened(), self._settings.source)
            if not self._settings.loop:
                raise SourceEndedError(f"{self._settings.source}: all {self._next} frames were given")
            self._begin()
            if not self._opened().grab():
                raise CameraRefusedError(f"{self._settings.source}: has no frame")
        name = str(FrameName(self._settings.source, self._next))
        self._next += 1
        return Grab(captured_at=time.time(), captured_ns=time.monotonic_ns(), name=name)

    def fetch(self, slot: NDArray[np.uint8]) -> FetchedPicture:
        """The frame's pixels, decoded into the slot."""
        return fetch_into(self._opened(), slot, self._settings.source)

    def close(self) -> None:
        """Close the file."""
        if self._capture is not None:
            self._capture.release()

    def _begin(self) -> cv2.VideoCapture:
        try:
            self._path.open("rb").close()  # FFmpeg would not say why it cannot
        except OSError as error:
            raise CameraRefusedError(f"{self._path}: cannot be opened: {error.strerror}") from error
        self.close()
        # An absolute name, so that FFmpeg cannot take a colon or a dash in it for something else.
        self._capture = open_stream(str(self._path.absolute()))
        if not self._capture.isOpened():
            raise CameraRefusedError(f"{self._path}: is no video, damaged, or of a format that FFmpeg does not know")
        self._watch = self._watch or DamageWatch()
        self._capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)
        name = str(self._path.absolute())
        self._stream = WatchedStream(self._capture, self._watch, StoredJpegs.open(name, self._capture))
        return self._capture

    def _opened(self) -> WatchedStream:
        if self._stream is None:
            raise CameraRefusedError("the video was not opened")
        return self._stream


def check_decoder(stream: WatchedStream, name: str) -> None:
    """Raise ``CameraRefusedError`` where a stream gives nothing because this machine cannot decode it."""
    if stream.has_no_decoder:
        raise CameraRefusedError(f"{name}: FFmpeg has no decoder for it on this machine: use another codec")


def fetch_into(stream: WatchedStream, slot: NDArray[np.uint8], name: str) -> FetchedPicture:
    """The frame that was grabbed, decoded straight into the slot where its size is known beforehand."""
    if not stream.has_pixels:
        return FetchedPicture(0, 0, 0, stream.complaint or "the frame has no pixels")
    target = stream.target(slot)
    image = stream.fetch(target)
    if image is None:
        return FetchedPicture(0, 0, 0, stream.complaint or "the frame cannot be decoded")
    if image.dtype != np.uint8:
        raise CameraRefusedError(f"{name}: expected 8 bits per channel, found {image.dtype}: set the encoder to 8 bits")
    if image.size > len(slot):
        return FetchedPicture(0, 0, 0, too_large(name, image.size, len(slot)))
    if target is None or image.ctypes.data != slot.ctypes.data:
        slot[: image.size] = image.reshape(-1)
    height, width = image.shape[:2]
    return FetchedPicture(height, width, 1 if image.ndim == 2 else image.shape[2], stream.complaint)
