"""``python -m edge_ad.sources.decode_worker``: decodes one video, camera or URL for its parent process.

Damaged or hostile bytes can crash a decoder. In a process of its own, that ends only this process.
Standard input: which stream (``SPEC``), and then nothing; when it closes, the parent is gone and this process ends at
once, even in the middle of a decoder's call. Standard output: ``GREETING`` and then frames. All is little-endian.
"""

from __future__ import annotations

import os
import struct
import sys
import threading
import time
from enum import IntEnum
from typing import TYPE_CHECKING, BinaryIO

import cv2
import numpy as np

from edge_ad.sources.damage import DamageWatch, Dependence
from edge_ad.sources.declared_size import MOST_PIXELS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = ["FRAME", "GREETING", "SPEC", "Ended"]

SPEC = struct.Struct("<cI")
"""To the child: ``i`` (camera index) or ``n`` (name of a file or URL), and the bytes of text that follow."""

GREETING = struct.Struct("<qd")
"""From the child, once opened: frames and frames per second as the container states them, 0 for unknown."""

FRAME = struct.Struct("<IIId")
"""Before each picture's uint8 pixels: height, width, channels, seconds since the epoch. A frame that is damaged, or
predicted from a damaged one, has a height of 0 and no pixels."""


class Ended(IntEnum):
    """The child's exit status. A negative one is the signal that killed it."""

    CLEANLY = 0
    CANNOT_OPEN = 3
    WRONG_PIXELS = 4
    STUCK = 5
    NO_DECODER = 6
    TOO_LARGE = 7


_OPEN_TIMEOUT_MS = 10_000
_READ_TIMEOUT_MS = 10_000
_MOST_LOST_IN_A_ROW = 1000
# No decoder works on one frame for that long; longer than it takes to find out that a camera or a network is silent.
_STUCK_S = 60.0
_NO_DECODER = "Failed to get pixel format"  # FFmpeg has a decoder of hardware only, and there is no such hardware
# They would change what FFmpeg prints, and what it prints is what tells damaged frames.
_LOUDNESS = ("OPENCV_FFMPEG_LOGLEVEL", "OPENCV_FFMPEG_DEBUG")


def main() -> int:
    """Decode until the stream, the reader or the parent ends; returns the exit status."""
    output = _claim_output()
    kind, size = SPEC.unpack(sys.stdin.buffer.read(SPEC.size))
    name = os.fsdecode(sys.stdin.buffer.read(size))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    progress = _Progress()
    for variable in _LOUDNESS:
        os.environ.pop(variable, None)
    watch = DamageWatch()  # a decoder may complain about every frame, for days
    capture = _open(name, is_camera=kind == b"i")
    if not capture.isOpened():
        watch.release()
        return Ended.CANNOT_OPEN
    if capture.get(cv2.CAP_PROP_FRAME_WIDTH) * capture.get(cv2.CAP_PROP_FRAME_HEIGHT) > MOST_PIXELS:
        return Ended.TOO_LARGE
    capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)  # pixels as stored, as of image files
    output.write(GREETING.pack(_frame_count(capture), max(capture.get(cv2.CAP_PROP_FPS), 0.0)))
    output.flush()
    try:
        status = _send_frames(capture, watch, output, progress)
    except _NoDecoderError:
        status = Ended.NO_DECODER
    # A crash on the way out counts as well: it means that memory was damaged while frames were decoded.
    capture.release()
    return status


class _NoDecoderError(Exception):
    """FFmpeg knows the codec, but cannot decode it here."""


class _Progress:
    """Ends this process when it works on one frame for too long: damaged bytes can keep a decoder busy for ever."""

    def __init__(self) -> None:
        self._began: float | None = time.monotonic()
        threading.Thread(target=self._watch, daemon=True).start()

    def begin(self) -> None:
        """The decoder begins with a frame."""
        self._began = time.monotonic()

    def wait(self) -> None:
        """The reader may take as long as it likes."""
        self._began = None

    def _watch(self) -> None:
        while True:
            time.sleep(1)
            began = self._began
            if began is not None and time.monotonic() - began > _STUCK_S:
                os._exit(Ended.STUCK)


def _claim_output() -> BinaryIO:
    """Standard output for the frames alone: whatever else is printed to it goes nowhere."""
    output = os.fdopen(os.dup(1), "wb")
    _silence(1)
    return output


def _silence(descriptor: int) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


def _end_with_parent() -> None:
    os.read(0, 1)
    os._exit(Ended.CLEANLY)


def _open(name: str, *, is_camera: bool) -> cv2.VideoCapture:
    if is_camera:
        return cv2.VideoCapture(int(name), cv2.CAP_V4L2)
    timeouts = [
        cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
        _OPEN_TIMEOUT_MS,
        cv2.CAP_PROP_READ_TIMEOUT_MSEC,
        _READ_TIMEOUT_MS,
        cv2.CAP_PROP_N_THREADS,
        1,  # several would complain of frames that are not due yet, and hold frames of cameras back
    ]
    # FFmpeg by name: left to choose, OpenCV takes a name with digits for a numbered series of image files.
    return cv2.VideoCapture(name, cv2.CAP_FFMPEG, timeouts)


def _frame_count(capture: cv2.VideoCapture) -> int:
    return max(int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), 0)


def _send_frames(capture: cv2.VideoCapture, watch: DamageWatch, output: BinaryIO, progress: _Progress) -> Ended:
    for captured_at, image in _frames(capture, watch, progress):
        progress.wait()
        if image is None:
            output.write(FRAME.pack(0, 0, 0, captured_at))
            output.flush()
            continue
        if image.dtype != np.uint8:
            return Ended.WRONG_PIXELS
        height, width = image.shape[:2]
        channels = 1 if image.ndim == 2 else image.shape[2]
        output.write(FRAME.pack(height, width, channels, captured_at))
        output.write(image.data)
        output.flush()
    return Ended.CLEANLY


def _frames(
    capture: cv2.VideoCapture, watch: DamageWatch, progress: _Progress
) -> Iterator[tuple[float, NDArray[np.generic] | None]]:
    """Each frame with its time, in one buffer that the next frame overwrites; ``None``: the frame is damaged."""
    image = None
    is_joined_midway = _frame_count(capture) == 0
    dependence = Dependence(_codec(capture), is_live=is_joined_midway)
    lost = 0
    while lost < _MOST_LOST_IN_A_ROW:
        progress.begin()
        grabbed = capture.grab()
        captured_at = time.time()
        decoded = False
        if grabbed:
            decoded, image = capture.retrieve(image)
        complaints = watch.complaints()
        if decoded and image is not None and image.size:
            lost = 0
            is_joined_midway = False
            is_damaged = dependence.is_damaged(complaints, _frame_kind(capture))
            yield captured_at, None if is_damaged else image
        elif any(one.startswith(_NO_DECODER) for one in complaints):
            raise _NoDecoderError
        elif complaints or grabbed:  # a frame without any picture; at the end there would be none to grab
            lost += 1
            if not is_joined_midway:
                dependence.lose()
                yield captured_at, None
        else:
            return


def _codec(capture: cv2.VideoCapture) -> str:
    code = int(capture.get(cv2.CAP_PROP_FOURCC))
    return (code & 0xFFFFFFFF).to_bytes(4, "little").decode("latin-1")


def _frame_kind(capture: cv2.VideoCapture) -> str:
    """``I``, ``P``, ``B``, or ``?`` where the codec does not say."""
    return chr(max(int(capture.get(cv2.CAP_PROP_FRAME_TYPE)), 0)) or "?"


if __name__ == "__main__":
    sys.exit(main())
