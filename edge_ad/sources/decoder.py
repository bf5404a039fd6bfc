"""The parent's side of a decoding process: pictures out, and one clear line when it fails."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, cast

import numpy as np

from edge_ad.errors import SourceError, counted
from edge_ad.sources.decode_worker import FRAME, GREETING, SPEC, Ended
from edge_ad.sources.ffmpeg import ffmpeg_reason

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["DecodedImage", "Decoder", "StreamAddress"]

_PIPE_BYTES = 1 << 20
# Containers count a little wrong (748 frames decoded of 750 stated is normal); a cut-off file lacks more.
_MISSING_FRACTION = 0.05
_MISSING_FRAMES = 2


@dataclass(frozen=True, slots=True)
class StreamAddress:
    """What to decode: ``text`` is a camera's index, a file's name or a URL; ``label``: its public name."""

    text: str
    label: str
    is_camera: bool = False


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """Pixels, uint8 (H, W, 3) BGR or (H, W) gray, and when they were captured, seconds since the epoch.

    ``image`` is ``None`` where the frame is damaged, or predicted from a damaged one.
    """

    image: NDArray[np.uint8] | None
    captured_at: float


class Decoder:
    """Decodes a stream in a process of its own, because damaged bytes can crash a decoder.

    The pipe between the two holds the child back when nobody reads, so no frame of a file is lost. The child
    ends when this object is closed and when this process dies.

    ``frame_count``, ``fps``: as the container states them, ``None`` where it does not. ``shown_share``: the part of
    these frames that the container's edit list shows, and ``frame_count`` counts only those.

    Raises:
        SourceError: the stream cannot be opened.
    """

    def __init__(self, stream: StreamAddress, *, shown_share: float = 1.0) -> None:
        self._stream = stream
        self._shown_share = shown_share
        self._decoded = 0
        self.frame_count: int | None = None
        self.fps: float | None = None
        with os.fdopen(os.memfd_create("decoder-stderr"), "w+b") as complaints:
            self._process = _start(complaints)
            self._pipe = cast(io.BufferedReader, self._process.stdout)
            try:
                self._greet(complaints)
            except BaseException:
                self.close()
                raise

    def read(self) -> DecodedImage | None:
        """The next picture, in pixels that the caller may keep; ``None`` at the end.

        Raises:
            SourceError: the decoder died, stopped long before the stated end, or gives wrong pixels.
        """
        header = self._pipe.read(FRAME.size)
        if len(header) < FRAME.size:
            self._check_end()
            return None
        height, width, channels, captured_at = FRAME.unpack(header)
        if height == 0:
            self._decoded += 1
            return DecodedImage(None, captured_at)
        image = np.empty((height, width) if channels == 1 else (height, width, channels), np.uint8)
        # A buffered readinto goes on until the picture is full or the child is gone.
        if self._pipe.readinto(image.data) < image.nbytes:
            self._check_end()
            return None
        self._decoded += 1
        return DecodedImage(image, captured_at)

    def close(self) -> None:
        """End the child. May be called twice, and while another thread reads."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def _greet(self, complaints: BinaryIO) -> None:
        name = os.fsencode(self._stream.text)
        kind = b"i" if self._stream.is_camera else b"n"
        # Written past Python's buffer, which would try again at close. A child that is gone is noticed below.
        with contextlib.suppress(BrokenPipeError):
            os.write(cast(BinaryIO, self._process.stdin).fileno(), SPEC.pack(kind, len(name)) + name)
        greeting = self._pipe.read(GREETING.size)
        if len(greeting) < GREETING.size:
            raise _not_opened(self._stream, self._process.wait(), complaints)
        count, fps = GREETING.unpack(greeting)
        self.frame_count, self.fps = round(count * self._shown_share) or None, fps or None

    def _check_end(self) -> None:
        """Return if the stream ended as it should; raise if not."""
        status = self._process.wait()
        if status != Ended.CLEANLY:
            raise SourceError(f"{self._stream.label}: {_cause(status, self._decoded)}")
        expected = self.frame_count or 0
        if self._decoded < expected * (1 - _MISSING_FRACTION) - _MISSING_FRAMES:
            raise SourceError(
                f"{self._stream.label}: ended after {self._decoded} of {expected} frames: "
                "it is cut off or damaged; copy it again"
            )


def _start(complaints: BinaryIO) -> subprocess.Popen[bytes]:
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "edge_ad.sources.decode_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            start_new_session=True,  # Ctrl-C is for the parent, which then closes the child
        )
    except OSError as error:
        raise SourceError(f"the decoding process cannot be started: {error.strerror}") from error
    pipe = cast(BinaryIO, process.stdout)
    with contextlib.suppress(OSError):  # a smaller pipe is slower, nothing worse
        fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    return process


def _cause(status: int, frames: int) -> str:
    if status < 0:
        return (
            f"the decoder was ended by {signal.Signals(-status).name} after {counted(frames, 'frame')}: "
            "the stream is damaged, or memory ran out"
        )
    if status == Ended.WRONG_PIXELS:
        return (
            f"expected 8 bits per channel, found more after {counted(frames, 'frame')}: set camera or encoder to 8 bits"
        )
    if status == Ended.STUCK:
        return f"the decoder did not come to an end with frame {frames}: the stream is damaged; copy or record it again"
    if status == Ended.NO_DECODER:
        return "OpenCV's FFmpeg cannot decode this codec (AV1, for one, needs hardware): convert it, such as to H.264"
    return f"the decoder failed with status {status} after {frames} frames"


def _not_opened(stream: StreamAddress, status: int, complaints: BinaryIO) -> SourceError:
    complaints.seek(0)
    text = complaints.read().decode(errors="replace").replace(stream.text, stream.label)
    lines = [line for line in text.splitlines() if line.strip()]
    if status == Ended.STUCK:
        return SourceError(f"{stream.label}: {_cause(status, 0)}")
    if status != Ended.CANNOT_OPEN:
        return SourceError(f"{stream.label}: {_cause(status, 0)}: {lines[-1] if lines else 'it gave no reason'}")
    if stream.is_camera:
        return SourceError(f"{stream.label}: no such camera, or another program has it: see  v4l2-ctl --list-devices")
    why = ffmpeg_reason(text) or "not a video, damaged, or of a format that FFmpeg does not know"
    return SourceError(f"{stream.label}: cannot be opened: {why}")
