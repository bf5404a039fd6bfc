"""A camera of the network as many are: JPEG pictures over HTTP, one after the other."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np

__all__ = ["MjpegCamera", "serve"]

WIDTH, HEIGHT = 96, 64


@dataclass
class MjpegCamera:
    """What the camera does; may be changed at any moment. ``password``: it asks for one. ``damages``: every third
    picture has bytes in it that are none. ``is_silent``: it keeps the connection and sends nothing."""

    port: int = 0
    password: bool = False
    damages: bool = False
    is_silent: bool = False
    is_off: bool = False

    @property
    def url(self) -> str:
        return f"http://user:secret@127.0.0.1:{self.port}/live.mjpg"


class _Handler(BaseHTTPRequestHandler):
    camera: MjpegCamera

    def do_GET(self) -> None:
        if self.camera.password:
            self.send_error(401)
            return
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        index = 0
        try:
            while not self.camera.is_off:
                if not self.camera.is_silent:
                    self._send(index)
                    index += 1
                time.sleep(0.02)
        except OSError:  # the reader is gone
            pass

    def _send(self, index: int) -> None:
        image = np.random.default_rng(index).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
        data = bytearray(cv2.imencode(".jpg", image)[1].tobytes())
        if self.camera.damages and index % 3 == 2:
            data[len(data) // 2 : len(data) // 2 + 40] = np.random.default_rng(index).bytes(40)
        head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
        self.wfile.write(head.encode() + data + b"\r\n")

    def log_message(self, *arguments: object) -> None:
        """Says nothing."""


@contextmanager
def serve(camera: MjpegCamera) -> Iterator[MjpegCamera]:
    """The camera on loopback."""
    handler = type("Handler", (_Handler,), {"camera": camera})
    server = ThreadingHTTPServer(("127.0.0.1", camera.port), handler)
    server.daemon_threads = True
    camera.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield camera
    finally:
        camera.is_off = True
        server.shutdown()
        server.server_close()
        thread.join()
