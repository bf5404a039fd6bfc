"""What the decoding process does with USB cameras' JPEGs, with frames that take for ever, and with huge frames."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from support.field_media import line

from edge_ad.errors import SourceError
from edge_ad.sources import open_source
from edge_ad.sources.damage import DamageWatch
from edge_ad.sources.decode_worker import Ended
from edge_ad.sources.ffmpeg import WatchedStream

PREMATURE = ["Corrupt JPEG data: premature end of data segment"]


class UsbCamera:
    """As OpenCV's V4L2: a picture is decoded when it is retrieved. ``None`` stands for bytes that are no picture."""

    def __init__(self, pictures: list[NDArray[np.uint8] | None]) -> None:
        self._pictures = iter(pictures)
        self._left = len(pictures)

    def grab(self) -> bool:
        self._left -= 1
        return self._left >= 0

    def get(self, _property: int) -> float:
        return 0.0

    def retrieve(self, image: object = None, flag: int = 0) -> tuple[bool, Any]:
        return True, next(self._pictures)


class Complaints(DamageWatch):
    """Gives what was prepared, call by call."""

    def __init__(self, calls: list[list[str]]) -> None:
        self._calls = iter(calls)

    def complaints(self) -> list[str]:
        return next(self._calls, [])


def test_a_usb_cameras_jpeg_is_damaged_when_decoding_it_draws_a_complaint() -> None:
    camera = UsbCamera([line(0), line(1), None, line(3)])
    # Twice a frame: after it was grabbed, and after it was decoded.
    stream = WatchedStream(cast(cv2.VideoCapture, camera), Complaints([[], [], [], PREMATURE, [], [], [], []]))
    seen = []
    while stream.grab():
        has_picture = stream.fetch() is not None
        seen.append((has_picture, stream.complaint))
    assert seen == [(True, None), (True, PREMATURE[0]), (False, None), (True, None)]


def test_a_decoder_that_does_not_come_to_an_end_is_ended() -> None:
    code = (
        "import time; from edge_ad.sources import decode_worker as worker; worker._STUCK_S = 0.5\n"
        "progress = worker._Progress(); progress.end(); time.sleep(2); progress.begin(); time.sleep(60)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=120).returncode == Ended.STUCK


@pytest.mark.parametrize("size", [(60_000, 60_000), (16_000, 20_000)])
def test_a_video_that_declares_huge_frames_is_refused(tmp_path: Path, size: tuple[int, int]) -> None:
    path = tmp_path / "line.y4m"
    path.write_bytes(b"YUV4MPEG2 W%d H%d F25:1 Ip C420\nFRAME\n" % size + bytes(1000))
    with pytest.raises(SourceError, match=r"cannot be opened: Picture size \d+x\d+ is invalid"):
        open_source(path)
