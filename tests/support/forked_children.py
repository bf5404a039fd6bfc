"""The child processes of an export, forked from one process that has imported the libraries already.

A converter and a quantizer run in processes of their own, and most of the time of a small one goes into the imports.
What a child does, what it prints and how it ends are the same. The threads that the libraries start when they are
imported wait for work that never comes; a child leaves without them, past what would wait for them.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import traceback
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, NoReturn

import numpy as np

from support.paths import TESTS

_MODULE = "edge_ad_export.files.isolated"
_OF_EXPORT = "edge_ad_export."


class ForkedChildren:
    """Stands in for the module ``subprocess`` within ``edge_ad_export.files.isolated``.

    What is no function of ``edge_ad_export`` is started as ever.
    """

    def __init__(self) -> None:
        self._server: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None

    def run(self, command: list[str], **settings: Any) -> subprocess.CompletedProcess[str]:
        *_, module, function, arguments = command
        assert module == _MODULE
        if not function.startswith(_OF_EXPORT):
            return subprocess.run(command, **settings)  # noqa: PLW1510 - as it is asked for
        return self._fork(command, {"argv": [function, arguments], "env": dict(os.environ), "cwd": str(Path.cwd())})

    def _fork(self, command: list[str], asked: dict[str, Any]) -> subprocess.CompletedProcess[str]:
        connection = self._connected()
        with (
            tempfile.TemporaryFile("w+", errors="replace") as out,
            tempfile.TemporaryFile("w+", errors="replace") as err,
        ):
            request = json.dumps(asked).encode()
            socket.send_fds(connection, [len(request).to_bytes(4, "little")], [out.fileno(), err.fileno()])
            connection.sendall(request)
            status = int.from_bytes(_received(connection, 4), "little", signed=True)
            return subprocess.CompletedProcess(command, status, _text(out), _text(err))

    def _connected(self) -> socket.socket:
        if self._socket is None:
            self._socket, theirs = socket.socketpair()
            others = filter(None, [os.environ.get("PYTHONPATH")])
            with theirs:
                self._server = subprocess.Popen(
                    [sys.executable, "-m", __name__, str(theirs.fileno())],
                    pass_fds=[theirs.fileno()],
                    env=os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS), *others])},
                )
        return self._socket

    def close(self) -> None:
        """Ends the process that forks, and waits for it."""
        if self._socket is not None and self._server is not None:
            self._socket.close()
            self._server.wait()


def _text_file() -> IO[str]:
    return tempfile.TemporaryFile("w+", errors="replace")


def _text(file: IO[str]) -> str:
    file.seek(0)
    return file.read()


def _received(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        if not part:
            raise EOFError("the other side is gone")
        data += part
    return data


def serve(connection: socket.socket) -> None:
    """Forks a child for each request, one at a time, until the tests close the connection."""
    _import_libraries()
    while True:
        size, files, _, _ = socket.recv_fds(connection, 4, 2)
        if not size:
            return
        asked = json.loads(_received(connection, int.from_bytes(size, "little")))
        child = os.fork()
        if not child:
            _be_the_child(connection, files, asked)
        for file in files:
            os.close(file)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        connection.sendall(status.to_bytes(4, "little", signed=True))


def _import_libraries() -> None:
    for name in (
        "nncf",
        "onnxruntime",
        "openvino",
        "edge_ad_export.files.openvino_file",
        "edge_ad_export.importers.engine_trial",
        "edge_ad_export.lowering.engine_trial",
        "edge_ad_export.quantize.quantizers",
    ):
        importlib.import_module(name)


def _be_the_child(connection: socket.socket, files: list[int], asked: dict[str, Any]) -> NoReturn:
    from edge_ad_export.files import isolated

    status = 1
    try:
        connection.close()
        for place, file in enumerate(files, start=1):
            os.dup2(file, place)
            os.close(file)
        os.chdir(asked["cwd"])
        os.environ.clear()
        os.environ.update(asked["env"])
        random.seed()
        np.random.seed()  # noqa: NPY002 - libraries use it; a new process seeds it anew
        sys.argv = [_MODULE, *asked["argv"]]
        status = isolated.main()
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    except BaseException:  # noqa: BLE001 - as the interpreter itself ends
        traceback.print_exc()
    with suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as asking:
        serve(asking)
