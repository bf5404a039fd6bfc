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

from edge_ad.sources.damage import DamageWatch
from edge_ad.sources.ffmpeg import StoredJpegs, WatchedStream, frame_count, open_stream

if TYPE_CHECKING:
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


# No decoder works on one frame for that long; longer than it takes to find out that a camera or a network is silent.
_STUCK_S = 60.0


def main() -> int:
    """Decode until the stream, the reader or the parent ends; returns the exit status."""
    output = _claim_output()
    kind, size = SPEC.unpack(sys.stdin.buffer.read(SPEC.size))
    name = os.fsdecode(sys.stdin.buffer.read(size))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    progress = _Progress()
    capture = _open(name, is_camera=kind == b"i")
    if not capture.isOpened():
        return Ended.CANNOT_OPEN
    watch = DamageWatch()  # from here on a decoder may complain about every frame, for days
    capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)  # pixels as stored, as of image files
    output.write(GREETING.pack(frame_count(capture), max(capture.get(cv2.CAP_PROP_FPS), 0.0)))
    output.flush()
    jpegs = None if kind == b"i" else StoredJpegs.open(name, capture)
    status = _send_frames(WatchedStream(capture, watch, jpegs), output, progress)
    # A crash on the way out counts as well: it means that memory was damaged while frames were decoded.
    capture.release()
    return status


class _Progress:
    """Ends this process when it works on one frame for too long: damaged bytes can keep a decoder busy for ever."""

    def __init__(self) -> None:
        self._began: float | None = time.monotonic()
        threading.Thread(target=self._watch, daemon=True).start()

    def begin(self) -> None:
        """The decoder begins with a frame."""
        self._began = time.monotonic()

    def end(self) -> None:
        """The frame is decoded. Its reader may take as long as it likes."""
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
    return cv2.VideoCapture(int(name), cv2.CAP_V4L2) if is_camera else open_stream(name)


def _send_frames(stream: WatchedStream, output: BinaryIO, progress: _Progress) -> Ended:
    image: NDArray[np.generic] | None = None
    while stream.grab():
        captured_at = time.time()
        image = stream.fetch(image) if stream.has_pixels else None
        progress.end()
        if image is None or stream.complaint is not None:
            output.write(FRAME.pack(0, 0, 0, captured_at))
            output.flush()
            progress.begin()
            continue
        if image.dtype != np.uint8:
            return Ended.WRONG_PIXELS
        height, width = image.shape[:2]
        channels = 1 if image.ndim == 2 else image.shape[2]
        output.write(FRAME.pack(height, width, channels, captured_at))
        output.write(image.data)
        output.flush()
        progress.begin()
    return Ended.NO_DECODER if stream.has_no_decoder else Ended.CLEANLY


if __name__ == "__main__":
    sys.exit(main())
