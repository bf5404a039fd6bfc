"""A way to a server of this machine that can be cut and mended, as a network's cable."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Cable", "cable_to"]


class Cable:
    """Listens on ``port``, and passes everything on to another port of this machine while it is whole."""

    def __init__(self, to: int) -> None:
        self._to = to
        self._is_whole = True
        self._changes = threading.Lock()
        self._ends: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._serve, daemon=True)]
        self._threads[0].start()

    def cut(self) -> None:
        """Every connection ends, and none comes about any more."""
        with self._changes:
            self._is_whole = False
            for one in self._ends:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        """Connections come about again."""
        self._is_whole = True

    def close(self) -> None:
        """Ends everything."""
        self.cut()
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(60)
        for one in (self._listener, *self._ends):
            one.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                with self._changes:
                    self._connect(near)

    def _connect(self, near: socket.socket) -> None:
        if not self._is_whole:
            near.close()
            return
        far = socket.create_connection(("127.0.0.1", self._to))
        self._ends += [near, far]
        for one, other in ((near, far), (far, near)):
            self._threads.append(threading.Thread(target=_pass_on, args=(one, other), daemon=True))
            self._threads[-1].start()


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
    for one in (source, sink):
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)


@contextmanager
def cable_to(port: int) -> Iterator[Cable]:
    """A cable until the end of the block."""
    cable = Cable(port)
    try:
        yield cable
    finally:
        cable.close()
