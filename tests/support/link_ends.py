"""Ends of the link for tests: a clock that is told the time, raw sockets that say anything, open files counted."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_ad.link import ClientRequest, LinkServer

__all__ = ["HELLO", "STATION_HELLO", "SteppingClock", "open_files", "pump", "raw_client", "raw_station", "read_line"]

HELLO = b'{"type":"hello","version":1,"client":"raw"}\n'
STATION_HELLO = b'{"type":"hello","version":1,"station":"raw","state":"READY","heartbeat_s":1.0}\n'


class SteppingClock:
    """Nanoseconds that go on by ``step_ns`` each time somebody looks."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.step_ns = 0

    def __call__(self) -> int:
        self.now_ns += self.step_ns
        return self.now_ns


@contextmanager
def raw_station(path: Path, serve: Callable[[socket.socket], None]) -> Iterator[None]:
    """Accepts one client and lets ``serve`` talk to it in a thread; its socket is closed at the end."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def run() -> None:
            accepted, _ = listener.accept()
            with accepted:
                serve(accepted)

        thread = threading.Thread(target=run)
        thread.start()
        yield
        thread.join()


@contextmanager
def raw_client(path: Path, *, hello: bool = True) -> Iterator[socket.socket]:
    """A connected socket; with ``hello`` it was greeted already, and the answer read."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(60)
        connection.connect(str(path))
        if hello:
            connection.sendall(HELLO)
            read_line(connection)
        yield connection


def read_line(connection: socket.socket) -> bytes:
    """One line, read byte by byte so that nothing after it is lost; what there is where the other end hangs up."""
    line = b""
    while not line.endswith(b"\n") and (byte := connection.recv(1)):
        line += byte
    return line


def pump(server: LinkServer) -> list[ClientRequest]:
    """Everything that has arrived. A Unix socket delivers at once, so nothing is waited for."""
    asked: list[ClientRequest] = []
    for _ in range(50):
        asked += server.ready()
    return asked


def open_files() -> int:
    """How many file descriptors this process holds."""
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208  the listing's own descriptor is counted every time
