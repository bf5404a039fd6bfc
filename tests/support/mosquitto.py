"""A broker that nobody here wrote: Debian's mosquitto, in a process that a test may kill and start again."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from support.ports import free_port
from support.videos import wait_for

__all__ = ["Mosquitto", "Subscriber", "mosquitto", "subscribed", "write_user"]


def write_user(path: Path, name: str, password: str) -> None:
    """A file of users with one in it."""
    program = shutil.which("mosquitto_passwd") or ""
    subprocess.run([program, "-b", "-c", str(path), name, password], check=True)


class Mosquitto:
    """``options``: further lines of its configuration; ``before``: lines that stand before the listener."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.port = free_port()
        self.has_full_disk = False
        self.folder = folder
        self._config = folder / "mosquitto.conf"
        lines = ["user root", f"listener {self.port} 127.0.0.1", "allow_anonymous true", *options]
        self._config.write_text("\n".join([*lines, f"log_dest file {folder / 'broker.log'}", ""]))
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [shutil.which("mosquitto") or "", "-c", str(self._config)]
        if self.has_full_disk:
            command = ["sh", "-c", 'trap "" XFSZ; ulimit -f 0; exec "$@"', "sh", *command]
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        if not wait_for(self._listens, 30):
            self.kill()
            raise RuntimeError((self.folder / "broker.log").read_text())

    def restart_on_a_full_disk(self) -> None:
        """From now on it can write nothing to any file."""
        self.kill()
        for one in self.folder.glob("mosquitto.db*"):
            one.unlink()
        self.has_full_disk = True
        self.start()

    def kill(self) -> None:
        """As a power cut does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def stop(self) -> None:
        """It stands still, and answers nothing."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def publish(self, topic: str, payload: str | bytes | dict[str, Any], *options: str) -> None:
        """By ``mosquitto_pub``."""
        data = json.dumps(payload) if isinstance(payload, dict) else payload
        said = data.encode() if isinstance(data, str) else data
        command = ["mosquitto_pub", "-h", "127.0.0.1", "-p", str(self.port), "-q", "1", "-t", topic, "-s", *options]
        done = subprocess.run(command, input=said, capture_output=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr

    def _listens(self) -> bool:
        with socket.socket() as one:
            return one.connect_ex(("127.0.0.1", self.port)) == 0


class Subscriber:
    """``mosquitto_sub``, with a line for each message."""

    def __init__(self, broker: Mosquitto, topic: str, *options: str) -> None:
        self._path = broker.folder / f"sub-{time.monotonic_ns()}.txt"
        command = [
            "stdbuf",
            "-oL",
            "mosquitto_sub",
            "-h",
            "127.0.0.1",
            "-p",
            str(broker.port),
            "-q",
            "1",
            "-t",
            topic,
            "-v",
            "-d",
        ]
        with self._path.open("wb") as out:
            self.process = subprocess.Popen([*command, *options], stdout=out, stderr=subprocess.STDOUT)
        assert wait_for(lambda: b"SUBACK" in self._path.read_bytes(), 30)

    @property
    def messages(self) -> list[tuple[str, Any]]:
        """Topics and payloads so far, in their order."""
        lines = self._path.read_bytes().split(b"\n")[:-1]
        found = (line.partition(b" ") for line in lines if b" {" in line and b"/command/" not in line)
        return [(topic.decode(), json.loads(payload)) for topic, _, payload in found]

    def of(self, topic: str) -> list[Any]:
        """The payloads of a topic of the station ``fake``."""
        return [payload for name, payload in self.messages if name == f"edge-ad/fake/{topic}"]

    def wait_until_connected(self) -> None:
        """Returns when the adapter has told that it hears the station: what the station said before is not heard."""
        assert wait_for(lambda: any(one["connected"] for one in self.of("state")[-1:]), 60)

    def wait(self, topic: str, count: int, timeout_s: float = 60) -> list[Any]:
        """The payloads of a topic, as soon as there are so many."""
        wait_for(lambda: len(self.of(topic)) >= count, timeout_s)
        found = self.of(topic)
        assert len(found) >= count, self._path.read_text()[-3000:]
        return found

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def mosquitto(folder: Path, *options: str) -> Iterator[Mosquitto]:
    """A broker that runs."""
    if shutil.which("mosquitto") is None or shutil.which("mosquitto_pub") is None:
        pytest.skip("needs the distribution's packages mosquitto and mosquitto-clients")
    one = Mosquitto(folder, *options)
    one.start()
    try:
        yield one
    finally:
        one.kill()


@contextmanager
def subscribed(broker: Mosquitto, topic: str, *options: str) -> Iterator[Subscriber]:
    """Somebody who hears a topic."""
    one = Subscriber(broker, topic, *options)
    try:
        yield one
    finally:
        one.close()
