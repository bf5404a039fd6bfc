"""Cameras and network streams, played by servers on this machine."""

from __future__ import annotations

import functools
import http.server
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.videos import children, is_gone, number, until_failure, wait_for, write_video

from edge_ad.errors import SourceError
from edge_ad.sources import open_source
from edge_ad.sources.decoder import Decoder, StreamAddress
from edge_ad.sources.live import LiveSource
from edge_ad.verdict import Reason


class Camera(http.server.BaseHTTPRequestHandler):
    """Motion JPEG over HTTP as network cameras speak it: ``/10`` sends 10 frames, ``/10/hold`` then falls silent,
    ``/10/wait`` sends three of them and the others once somebody has looked."""

    silenced = threading.Event()
    looked_at = threading.Event()

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        for index in range(int(self.path.split("/")[1])):
            if self.path.endswith("/wait") and index == 3:
                self.wfile.flush()
                self.looked_at.wait(30)
            jpeg = cv2.imencode(".jpg", np.full((48, 64, 3), 5 * index, np.uint8))[1].tobytes()
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            self.wfile.write(head.encode() + jpeg + b"\r\n")
        if self.path.endswith("/hold"):
            self.wfile.flush()
            self.silenced.wait(30)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


class Folder(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@contextmanager
def serving(handler: Callable[..., http.server.BaseHTTPRequestHandler]) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        Camera.silenced.set()
        Camera.looked_at.set()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def camera() -> Iterator[str]:
    Camera.silenced.clear()
    Camera.looked_at.clear()
    with serving(Camera) as url:
        yield url


def test_the_newest_frame_wins_and_an_end_is_a_failure(camera: str) -> None:
    with open_source(f"{camera}/30/wait") as source:
        frames = iter(source)
        next(frames)
        Camera.looked_at.set()
        assert wait_for(lambda: source.dropped == 28)
        (newest, failed), error = until_failure(frames)
    assert source.length is None
    assert (number(newest), newest.index) == (29, 29)
    assert failed.error is not None
    assert failed.error.reason == Reason.SOURCE_FAILED
    assert "the live stream ended after 30 frames" in str(error)


def test_a_camera_that_falls_silent_has_failed(camera: str) -> None:
    stream = StreamAddress(f"{camera}/3/hold", "press 7")
    with LiveSource(stream, Decoder(stream), silence_s=0.5) as source:
        frames, error = until_failure(iter(source))
    assert str(error) == "press 7: no frame for 0.5 s: check the camera"
    assert frames[-1].error is not None
    assert frames[-1].source == f"press 7#{frames[-1].index}"


def test_a_recording_on_a_server_comes_whole(tmp_path: Path) -> None:
    write_video(tmp_path / "line.avi")
    with (
        serving(functools.partial(Folder, directory=str(tmp_path))) as url,
        open_source(f"{url}/line.avi") as source,
    ):
        numbers = [number(frame) for frame in source]
    assert source.length == 40
    assert numbers == list(range(40))


def test_a_password_stays_secret(camera: str) -> None:
    with open_source(camera.replace("://", "://user:secret@") + "/10") as source:
        frames, error = until_failure(iter(source))
    assert frames[0].source.startswith(camera.replace("://", "://***@"))
    assert "secret" not in f"{frames} {error}"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        pytest.param("http://user:secret@127.0.0.1:{port}/", "Connection refused", id="http-nobody-there"),
        pytest.param("rtsp://user:secret@127.0.0.1:{port}/", "Connection refused", id="rtsp-nobody-there"),
        pytest.param("carrier-pigeon://user:secret@loft/", "cannot be opened", id="unknown-protocol"),
        pytest.param("61", "camera 61: no such camera", id="no-camera"),
    ],
)
def test_what_cannot_be_reached_is_refused_at_once(capfd: pytest.CaptureFixture[str], spec: str, message: str) -> None:
    with socket.socket() as free:  # bound but not listening: nobody else takes the port, nobody answers
        free.bind(("127.0.0.1", 0))
        with pytest.raises(SourceError, match=message) as caught:
            open_source(spec.format(port=free.getsockname()[1]))
    assert "secret" not in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert capfd.readouterr() == ("", "")


def test_a_decoder_that_waits_for_the_network_dies_with_its_parent() -> None:
    script = "import sys; from edge_ad.sources import open_source; open_source(sys.argv[1])"
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        url = f"http://127.0.0.1:{mute.getsockname()[1]}/"
        with subprocess.Popen([sys.executable, "-c", script, url]) as parent:
            caller, _ = mute.accept()  # the decoder is inside FFmpeg now
            (decoder,) = children(parent.pid)
            parent.kill()
        assert wait_for(lambda: is_gone(decoder), seconds=8)  # it would end by itself after 10
        caller.close()
