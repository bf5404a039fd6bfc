"""Cameras through OpenCV: V4L2 devices, streams of the network, GStreamer pipelines."""

from __future__ import annotations

import http.client
import os
import re
import time
from base64 import b64encode
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import cv2

from edge_ad.cameras.settings import source_kind
from edge_ad.capture.backends.protocol import CameraGoneError, CameraRefusedError, CounterRange, FetchedPicture, Grab
from edge_ad.capture.backends.video import check_decoder, fetch_into
from edge_ad.errors import one_line
from edge_ad.sources.damage import DamageWatch
from edge_ad.sources.ffmpeg import WatchedStream, ffmpeg_reason, frame_count, open_stream

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edge_ad.cameras.messages import Setting
    from edge_ad.cameras.settings import CameraSettings

__all__ = ["OpencvCamera"]

# V4L2 states exposure in steps of 100 us, and its 1 means that the exposure is set by hand.
_EXPOSURE_STEP_US = 100
_BY_HAND = 1
_PROPERTIES = {
    "width": cv2.CAP_PROP_FRAME_WIDTH,
    "height": cv2.CAP_PROP_FRAME_HEIGHT,
    "fps": cv2.CAP_PROP_FPS,
    "gain": cv2.CAP_PROP_GAIN,
    "exposure_us": cv2.CAP_PROP_EXPOSURE,
}
# The server answered, and said no.
_REFUSALS = re.compile(r"\b40[0-9]\b|Unauthorized|Forbidden|Not Found|Invalid data|Protocol not found")
_LONGEST_READ_S = 5.0
_STDERR_BYTES = 1 << 16
_LONGEST_BACKLOG_S = 3.0
_WAITED_S = 0.005


class OpencvCamera:
    """A camera that OpenCV can read. It cannot be triggered: its frames are taken as they come."""

    is_live = True
    has_trigger = False
    counter_range: CounterRange | None = None

    def __init__(self, settings: CameraSettings) -> None:
        self._settings = settings
        self._capture: cv2.VideoCapture | None = None
        self._stream: WatchedStream | None = None

    def open(self) -> dict[str, Setting]:
        """Open and set it; frames are decoded from here on."""
        kind = source_kind(self._settings.source)
        opener = {"device": self._open_device, "url": self._open_url}.get(kind, self._open_pipeline)
        self._capture = capture = opener(self._settings.source)
        found = self._set(capture) if kind == "device" else _size(capture)
        capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)
        self._stream = WatchedStream(capture, DamageWatch())
        if kind == "url":
            _skip_backlog(self._stream)
        return found

    def trigger(self) -> None:
        """Is not called: it cannot be triggered."""

    def grab(self, timeout_s: float) -> Grab | None:  # noqa: ARG002  OpenCV takes none
        """Wait for the next frame, however long: a call that does not return is noticed from outside."""
        if self._stream is None or self._capture is None:
            raise CameraRefusedError("the camera was not opened")
        if not self._stream.grab():
            check_decoder(self._stream, self._settings.source)
            raise CameraGoneError("the stream has ended, or the camera was unplugged")
        captured_at, captured_ns = time.time(), time.monotonic_ns()
        stamp_ms = self._capture.get(cv2.CAP_PROP_POS_MSEC)
        return Grab(
            captured_at=captured_at,
            captured_ns=captured_ns,
            camera_time_ns=round(stamp_ms * 1_000_000) if stamp_ms > 0 else None,
        )

    def fetch(self, slot: NDArray[np.uint8]) -> FetchedPicture:
        """The frame's pixels, decoded into the slot."""
        if self._stream is None:
            raise CameraRefusedError("the camera was not opened")
        return fetch_into(self._stream, slot, self._settings.source)

    def close(self) -> None:
        """Give the camera back."""
        if self._capture is not None:
            self._capture.release()

    def _open_device(self, source: str) -> cv2.VideoCapture:
        path = Path(f"/dev/video{source}" if source.isdigit() else source)
        if not path.exists():
            raise CameraGoneError(f"{path}: no such camera: see  v4l2-ctl --list-devices")
        if not os.access(path, os.R_OK | os.W_OK):
            raise CameraRefusedError(f"{path}: no permission: add this user to the group video")
        capture = cv2.VideoCapture(str(path), cv2.CAP_V4L2)
        if not capture.isOpened():
            raise CameraRefusedError(f"{path}: another program has it, or it gives no frames")
        return capture

    def _open_url(self, source: str) -> cv2.VideoCapture:
        capture = open_stream(source, read_timeout_s=min(self._settings.hang_after_s / 2, _LONGEST_READ_S))
        if not capture.isOpened():
            # The parent gave this process a standard error that can be read again.
            said = os.pread(2, _STDERR_BYTES, 0).decode(errors="replace")
            reason = ffmpeg_reason(said) or _http_status(source) or "no answer in time, or no video"
            error = CameraRefusedError if _REFUSALS.search(reason) else CameraGoneError
            raise error(f"{source}: cannot be opened: {reason}")
        if frame_count(capture) > 0:
            raise CameraRefusedError(f"{source}: is a recording: download it and name the file")
        return capture

    def _open_pipeline(self, source: str) -> cv2.VideoCapture:
        if not cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER):
            raise CameraRefusedError(
                "source 'gst:': this OpenCV was built without GStreamer, as those of PyPI are: build one with it"
            )
        capture = cv2.VideoCapture(source.partition(":")[2], cv2.CAP_GSTREAMER)
        if not capture.isOpened():
            raise CameraRefusedError(f"{source}: the pipeline does not start: try it with  gst-launch-1.0")
        return capture

    def _set(self, capture: cv2.VideoCapture) -> dict[str, Setting]:
        found = _size(capture)
        for name, code in _PROPERTIES.items():
            wanted = getattr(self._settings, name)
            if wanted is None:
                continue
            scale = _EXPOSURE_STEP_US if name == "exposure_us" else 1
            if name == "exposure_us":
                capture.set(cv2.CAP_PROP_AUTO_EXPOSURE, _BY_HAND)
            capture.set(code, wanted / scale)
            found[name] = round(capture.get(code) * scale, 3)
        return found | _size(capture)


def _http_status(url: str) -> str:
    """What a server of HTTP answers, which FFmpeg keeps to itself; empty: it does not answer, or all is well."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return ""
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname, parts.port, timeout=_LONGEST_READ_S)
    login = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    headers = {"Authorization": f"Basic {b64encode(login.encode()).decode()}"} if parts.username else {}
    try:
        connection.request("GET", f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}", headers=headers)
        answer = connection.getresponse()
    except (OSError, http.client.HTTPException) as error:
        return one_line(error)
    finally:
        connection.close()
    return f"{answer.status} {answer.reason}" if answer.status >= http.HTTPStatus.BAD_REQUEST else ""


def _skip_backlog(stream: WatchedStream) -> None:
    """Pass over the frames that came while the stream was examined: one that is waited for is the first new one."""
    deadline = time.monotonic() + _LONGEST_BACKLOG_S
    before = time.monotonic()
    while stream.grab() and before < deadline:
        now = time.monotonic()
        if now - before > _WAITED_S:
            return
        before = now


def _size(capture: cv2.VideoCapture) -> dict[str, Setting]:
    return {
        "width": int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)),
        "height": int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)),
    }
