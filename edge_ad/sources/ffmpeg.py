"""FFmpeg through OpenCV, opened so that damaged frames can be told from sound ones."""

from __future__ import annotations

import contextlib
import math
import os
import re
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge_ad.sources.damage import DamageWatch, Dependence

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["StoredJpegs", "WatchedStream", "ffmpeg_reason", "frame_count", "open_stream"]

_OPEN_TIMEOUT_MS = 10_000
_READ_TIMEOUT_S = 10.0
_MOST_LOST_IN_A_ROW = 1000
_LINE = re.compile(r"\[[^\]]* @ 0x[0-9a-f]+\] (.*\S)")
_NO_DECODER = "Failed to get pixel format"  # FFmpeg has a decoder of hardware only, and there is no such hardware
# FFV1 has no motion, but its statistics go on from frame to frame up to the next key frame.
_CALLS_ALL_KEYS = "ffv1"
_JPEGS = frozenset({"mjpg", "jpeg"})
# They would change what FFmpeg prints, and what it prints is what tells damaged frames.
_LOUDNESS = ("OPENCV_FFMPEG_LOGLEVEL", "OPENCV_FFMPEG_DEBUG")


def open_stream(name: str, *, read_timeout_s: float = _READ_TIMEOUT_S, as_stored: bool = False) -> cv2.VideoCapture:
    """A video file or URL, decoded in one thread; ask ``isOpened()`` whether it is.

    ``as_stored``: its frames are the bytes of the file, uint8 ``(1, n)``, not decoded.
    """
    for variable in _LOUDNESS:
        os.environ.pop(variable, None)
    timeouts = [
        cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
        _OPEN_TIMEOUT_MS,
        cv2.CAP_PROP_READ_TIMEOUT_MSEC,
        round(read_timeout_s * 1000),
        cv2.CAP_PROP_N_THREADS,
        1,  # several would complain of frames that are not due yet, and hold frames of cameras back
    ]
    if as_stored:
        timeouts += [cv2.CAP_PROP_FORMAT, -1]
    # FFmpeg by name: left to choose, OpenCV takes a name with digits for a numbered series of image files.
    return cv2.VideoCapture(name, cv2.CAP_FFMPEG, timeouts)


def ffmpeg_reason(text: str) -> str:
    """Why a stream was not opened, from the lines that FFmpeg has printed; empty: it does not say."""
    reasons = [found.group(1) for line in text.splitlines() if (found := _LINE.match(line))]
    return reasons[-1] if reasons else ""


def frame_count(capture: cv2.VideoCapture) -> int:
    """The number of frames as the container states it, 0 for unknown."""
    return max(int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), 0)


class StoredJpegs:
    """The pictures of a Motion JPEG file, which libjpeg looks at again: it finds more damage than FFmpeg does.

    It decodes them at an eighth of their size, which reads all of their data and leaves out most of the arithmetic.
    """

    def __init__(self, capture: cv2.VideoCapture) -> None:
        self._capture = capture
        self._place = -math.inf

    @classmethod
    def open(cls, name: str, capture: cv2.VideoCapture) -> StoredJpegs | None:
        """Beside the ``capture`` that decodes the same file; ``None`` of other codecs, and of what is no file."""
        if _codec(capture).lower() not in _JPEGS or not os.path.isfile(name):  # noqa: PTH113  a URL is no path
            return None
        stored = open_stream(name, as_stored=True)
        return cls(stored) if stored.isOpened() else None

    def look_at(self, place: float) -> None:
        """Decodes the picture at this place, in the stream's units of time; damage ends up on standard error."""
        while self._place < place:
            if not self._capture.grab():
                self._place = math.inf
                return
            self._place = self._capture.get(cv2.CAP_PROP_PTS)
        if self._place == place:
            _, data = self._capture.retrieve()
            with contextlib.suppress(cv2.error):
                cv2.imdecode(np.asarray(data, np.uint8).reshape(-1), cv2.IMREAD_REDUCED_GRAYSCALE_8)


class WatchedStream:
    """The frames of an open capture one after the other, each with what the decoder complained of.

    Takes over this process's standard error, where the complaints are. ``jpegs``: of a file of Motion JPEG.
    """

    def __init__(self, capture: cv2.VideoCapture, watch: DamageWatch, jpegs: StoredJpegs | None = None) -> None:
        self._capture = capture
        self._watch = watch
        self._jpegs = jpegs
        self._is_joined_midway = frame_count(capture) == 0
        self._dependence = Dependence(_codec(capture), is_live=self._is_joined_midway)
        self._lost = 0
        self.complaint: str | None = None
        """Of the frame that was grabbed last: why it is damaged; ``None``: it is sound."""
        self.has_pixels = False
        """Whether the frame that was grabbed last gave any pixels."""
        self.has_no_decoder = False
        """Whether the stream has ended because FFmpeg cannot decode it on this machine."""

    def grab(self) -> bool:
        """Decode the next frame; ``False``: the stream has ended."""
        while self._lost < _MOST_LOST_IN_A_ROW:
            self.has_pixels = self._capture.grab()
            complaints = self._watch.complaints()
            if self.has_pixels:
                self._lost = 0
                self._is_joined_midway = False
                if self._jpegs is not None:
                    self._jpegs.look_at(self._capture.get(cv2.CAP_PROP_PTS))
                    complaints += self._watch.complaints()
                is_damaged = self._dependence.is_damaged(complaints, _frame_kind(self._capture))
                self.complaint = _said(complaints) if is_damaged else None
                return True
            self.has_no_decoder = any(one.startswith(_NO_DECODER) for one in complaints)
            if not complaints or self.has_no_decoder:  # a frame without any picture has some; the end has none
                return False
            self._lost += 1
            if not self._is_joined_midway:
                self._dependence.lose()
                self.complaint = _said(complaints)
                return True
        return False

    def target(self, memory: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
        """The part of ``memory``, uint8 (n,), that a frame of this stream fills; ``None``: it is larger."""
        height = int(self._capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
        width = int(self._capture.get(cv2.CAP_PROP_FRAME_WIDTH))
        size = height * width * 3
        return memory[:size].reshape(height, width, 3) if 0 < size <= len(memory) else None

    def fetch(self, target: NDArray[np.generic] | None = None) -> NDArray[np.generic] | None:
        """The pixels of the frame that was grabbed, in ``target`` where they fit exactly; ``None``: it has none."""
        decoded, image = self._capture.retrieve(target)
        # Pictures of USB cameras are decoded only here.
        complaints = self._watch.complaints()
        if self.complaint is None and complaints:
            self.complaint = complaints[0]
        return image if decoded and image is not None and image.size else None


def _said(complaints: list[str]) -> str:
    return complaints[0] if complaints else "predicted from a damaged frame"


def _codec(capture: cv2.VideoCapture) -> str:
    code = int(capture.get(cv2.CAP_PROP_FOURCC))
    return (code & 0xFFFFFFFF).to_bytes(4, "little").decode("latin-1")


def _frame_kind(capture: cv2.VideoCapture) -> str:
    """``I``, ``P``, ``B``, or ``?`` where the codec does not say."""
    if _codec(capture).lower() == _CALLS_ALL_KEYS:
        return "I" if capture.get(cv2.CAP_PROP_LRF_HAS_KEY_FRAME) else "P"
    return chr(max(int(capture.get(cv2.CAP_PROP_FRAME_TYPE)), 0)) or "?"
