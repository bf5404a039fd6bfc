"""Cameras of the network that other programs serve on loopback; a test is skipped where the program is missing."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.videos import wait_for

__all__ = ["CODINGS", "Wire", "gige_wire", "rtsp_stream"]

FAKE = "arv-fake-gv-camera-0.8"


class Wire:
    """The fake camera's process; it has a fixed port, and there is one at a time on a machine."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None

    def plug(self, *options: str) -> None:
        self.process = subprocess.Popen(
            [FAKE, "-i", "127.0.0.1", *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        assert wait_for(lambda: "0100007F:0F74" in Path("/proc/net/udp").read_text(), 30)

    def unplug(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()


@contextmanager
def gige_wire() -> Iterator[Wire]:
    """A wire to the fake camera, which is not plugged in yet."""
    if shutil.which(FAKE) is None:
        pytest.skip("needs the distribution's package aravis-tools")
    lock = _opened_lock(Path(tempfile.gettempdir()) / "edge-ad-gige-camera.lock")
    one = Wire()
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield one
    finally:
        one.unplug()
        os.close(lock)


def _opened_lock(path: Path) -> int:
    """A file that all tests of this machine share, whoever has made it: there is one port for the camera."""
    try:
        return os.open(path, os.O_RDONLY | os.O_CREAT, 0o644)
    except PermissionError:
        return os.open(path, os.O_RDONLY)


SERVER = Path(__file__).with_name("rtsp_server.py")
BINDINGS = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"
CODINGS = {
    "jpeg": "video/x-raw,format=I420,width=320,height=240,framerate=25/1 ! jpegenc ! rtpjpegpay name=pay0",
    "h264": "video/x-raw,width=320,height=240,framerate=25/1 ! x264enc tune=zerolatency key-int-max=10 "
    "! rtph264pay name=pay0",
}


@contextmanager
def rtsp_stream(coding: str) -> Iterator[str]:
    """The address of a server that has the stream ``/live``: a ball that moves."""
    pipeline = f"( videotestsrc is-live=true pattern=ball ! {CODINGS[coding]} )"
    command = [_python_with_gstreamer(), str(SERVER), pipeline]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        yield f"rtsp://127.0.0.1:{int(server.stdout.readline())}"
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


def _python_with_gstreamer() -> str:
    for python in (sys.executable, "/usr/bin/python3"):
        has = Path(python).exists() and subprocess.run([python, "-c", BINDINGS], capture_output=True, check=False)
        if has and has.returncode == 0:
            return python
    pytest.skip("needs the distribution's packages gir1.2-gst-rtsp-server-1.0 and python3-gi")
