"""Noise for the link: the station goes on, every accepted trigger is settled once, and a good client is served.

``EDGE_AD_FUZZ_MINUTES`` says how long the slow test goes on; each round has a seed of its own, which a failure names.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import json
import os
import random
import select
import socket
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from support.fuzzing import rounds, tell
from support.link_ends import HELLO, open_files, raw_client, read_line

from edge_ad.errors import LinkRefusedError
from edge_ad.link import Client, FakeStation, FaultRaised, LinkLimits, PartResult
from edge_ad.link.handed import SEALS
from edge_ad.link.lines import LINE_BYTES

ANSWERS = {"hello", "accepted", "refused", "done", "snapshot", "error", "heartbeat"}
EVENTS = {"state", "exposure_complete", "result", "fault", "recipe", "alarm"}
# Reading is not slowed down: what is looked for is what a line does, not how often one may come.
LIMITS = LinkLimits(connects_per_s=1e6, connects_burst=1e6, requests_per_s=1e5, burst=1e5, hello_s=60.0)

WORDS = ["id", "type", "version", "client", "topics", "part_id", "height", "width", "channels", "name", "by", "alarm"]
TYPES = [
    "hello", "subscribe", "trigger", "frame", "snapshot", "recipe", "acknowledge", "reset", "reset_counters",
    "challenge", "heartbeat", "result", "accepted", "",
]  # fmt: skip
ODD: list[object] = [
    None, True, -1, 0, 1, 3, 65_535, 65_536, 2**63, -(2**70), 1e308, float("nan"), "", "x" * 64, "x" * 65, "x" * 129,
    "\0", "\u2028", "\ud800", "../../etc/passwd", [], {}, [[]], ["result", "fault"], ["nothing"],
]  # fmt: skip


def value(rng: random.Random) -> object:
    return rng.choice(ODD) if rng.random() < 0.5 else f"n{rng.randrange(50)}"


def well_made(rng: random.Random) -> dict[str, object]:
    """A message that the station understands, of any kind but a frame."""
    kind = rng.choice(["trigger"] * 4 + [one for one in TYPES if one not in {"", "frame", "hello"}])
    message: dict[str, object] = {"type": kind, "id": f"n{rng.randrange(10**6)}"}
    message |= {"trigger": {"part_id": f"noise {rng.randrange(100)}"}, "recipe": {"name": "a"}}.get(kind, {})
    return message | ({"alarm": "noise"} if kind == "acknowledge" else {})


def a_line(rng: random.Random) -> bytes:
    """A line that is well made, or broken in one of many ways."""
    message = well_made(rng)
    for _ in range(rng.choice([0, 0, 0, 1, 2, 5])):
        message[rng.choice(WORDS)] = rng.choice(TYPES) if rng.random() < 0.2 else value(rng)
    line = bytearray(json.dumps(message).encode())
    for _ in range(rng.choice([0, 0, 0, 1, 3])):
        at = rng.randrange(len(line))
        line[at : at + rng.randrange(3)] = rng.randbytes(rng.randrange(3))
        line = line or bytearray(b"{")
    kind = rng.random()
    if kind < 0.004:
        return rng.choice([b"[", b'{"x":']) * rng.randrange(40_000)
    if kind < 0.008:
        return b'{"type":"trigger","id":"1","x":"' + b"y" * rng.choice([LINE_BYTES - 40, LINE_BYTES, 300_000]) + b'"}\n'
    return bytes(line) + rng.choice([b"\n", b"\n", b"\n", b"\r\n", b"\n\n\n", b"", b"\0\n"])


def a_descriptor(rng: random.Random) -> int:
    """Sealed memory of the right size, of a wrong one, or something that is no memory."""
    kind = rng.randrange(6)
    if kind == 5:
        return os.open(rng.choice(["/", "/dev/zero", "/dev/null", __file__]), os.O_RDONLY)
    if kind == 4:
        return socket.socket(socket.AF_UNIX).detach()
    memory = os.memfd_create("noise", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(memory, bytes(rng.choice([6, 6, 6, 5, 7, 0])))
    fcntl.fcntl(memory, fcntl.F_ADD_SEALS, rng.choice([SEALS, SEALS, 0]))
    return memory


class Noise:
    """One connection that sends noise; ``answers`` counts what the station has said to it."""

    def __init__(self, path: Path, rng: random.Random) -> None:
        self.answers: Counter[str] = Counter()
        self.lines = 0
        self._rng = rng
        self._read = b""
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))
        self._socket.setblocking(False)

    def run(self) -> None:
        """Sends noise, and goes in one way or another."""
        rng = self._rng
        try:
            if rng.random() < 0.9:
                self._send(HELLO)
            action = rng.choice([self._lines] * 6 + [self._frames] * 3 + [self._flood, self._deaf, self._mute])
            action()
            if rng.random() < 0.3:
                self._socket.shutdown(rng.choice([socket.SHUT_WR, socket.SHUT_RD, socket.SHUT_RDWR]))
        except OSError:  # the station has closed, as it may
            pass
        finally:
            self._hear()
            self._socket.close()

    def _lines(self) -> None:
        for _ in range(self._rng.randrange(1, 40)):
            self._send(a_line(self._rng))

    def _frames(self) -> None:
        rng = self._rng
        for number in range(rng.randrange(1, 10)):
            frame = {"type": "frame", "id": f"f{number}", "height": 1, "width": 2, "channels": 3}
            line = a_line(rng) if rng.random() < 0.1 else json.dumps(frame).encode() + b"\n"
            descriptors = [a_descriptor(rng) for _ in range(rng.choice([1, 1, 1, 1, 1, 0, 2, 3, 9]))]
            try:
                self._wait_to_write()
                socket.send_fds(self._socket, [line], descriptors)
            finally:
                for one in descriptors:
                    os.close(one)
            self.lines += 1

    def _flood(self) -> None:
        line = b'{"type":"trigger","id":"%d"}\n'
        self._send(b"".join(line % number for number in range(self._rng.choice([300, 3_000]))))

    def _deaf(self) -> None:
        """Wants everything, and reads nothing."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
        self._send(b'{"type":"subscribe"}\n' + b'{"type":"snapshot","id":"1"}\n' * 200, reads=False)

    def _mute(self) -> None:
        self._send(b'{"type":"hello","version":1,"client":"mute","heartbeat_s":0.1}\n')

    def _send(self, data: bytes, *, reads: bool = True) -> None:
        """In pieces of any size, and reads what comes meanwhile."""
        self.lines += data.count(b"\n")
        while data:
            cut = self._rng.choice([len(data), len(data), self._rng.randrange(1, 5_000), 1])
            self._wait_to_write()
            sent = self._socket.send(data[:cut], socket.MSG_NOSIGNAL)
            data = data[sent:]
            if reads:
                self._hear()

    def _wait_to_write(self) -> None:
        """A station that slows us down, as it may, is left after a time."""
        _, ready, _ = select.select([], [self._socket], [], 0.2)
        if not ready:
            raise BlockingIOError("the station does not read for now")

    def _hear(self) -> None:
        try:
            while block := self._socket.recv(65_536):
                self._read += block
        except OSError:
            pass
        *lines, self._read = self._read.split(b"\n")
        self.answers.update(str(json.loads(line)["type"]) for line in lines)


def settled(station: FakeStation) -> Counter[int]:
    told: Counter[int] = Counter()
    for event in station.published:
        told.update((event.trigger,) if isinstance(event, PartResult) else ())
        told.update(event.triggers if isinstance(event, FaultRaised) else ())
    return told


def wait_until(done: Callable[[], bool]) -> bool:
    """Whether it is so within a minute."""
    end = time.monotonic() + 60
    while not (ok := done()) and time.monotonic() < end:
        time.sleep(0.005)
    return ok


def patient_answers(path: Path) -> list[str]:
    """What a client hears that waits for each answer; how much noise hears depends on who runs first."""
    with raw_client(path) as connection:
        heard = ["hello"]
        for line in (b'{"type":"trigger","id":"1"}\n', b'{"type":"recipe","id":"2","name":"none"}\n', b"noise\n"):
            connection.sendall(line)
            told = (str(json.loads(read_line(connection))["type"]) for _ in range(100))
            heard.append(next(kind for kind in told if kind in ANSWERS - {"heartbeat"}))
        return heard


def disturb(path: Path, seed: int, connections: int) -> None:
    """Connections of noise, one after the other and some at once, beside a good client."""
    rng, lines = random.Random(seed), 0  # noqa: S311
    gc.collect()
    before = open_files()
    heard: Counter[str] = Counter()
    with FakeStation(path, limits=LIMITS, recipes=("a",)) as station:
        with Client(path, timeout_s=60) as good:
            for number in range(connections):
                noise = Noise(path, rng)
                noise.run()
                heard += noise.answers
                lines += noise.lines
                if number % 10 == 0:
                    assert good.passes(f"good {number}", timeout_s=60)
                if number % 50 == 25:
                    station.hold()
                elif number % 50 == 29:
                    station.release()
                if rng.random() < 0.02:
                    station.fault("noise")
                    with contextlib.suppress(LinkRefusedError):  # noise may have reset it already
                        good.reset()
            station.release()
            with contextlib.suppress(LinkRefusedError):  # there may be nothing to reset
                good.reset()
            assert patient_answers(path) == ["hello", "accepted", "refused", "error"]
        assert wait_until(lambda: not station.clients and not station.open)
        accepted = settled(station)
        assert set(accepted.values()) <= {1}
        assert sorted(accepted) == list(range(1, len(accepted) + 1))
        station.requests.clear()  # a picture that is looked at keeps its memory open
    gc.collect()
    assert open_files() == before
    assert heard.keys() <= ANSWERS | EVENTS
    tell(f"{connections} connections, {lines} lines, {len(accepted)} parts")


def test_noise_hurts_no_good_client_and_no_trigger_is_lost(tmp_path: Path) -> None:
    disturb(tmp_path / "s.sock", seed=1, connections=60)


@pytest.mark.slow
def test_much_noise_hurts_no_good_client_and_no_trigger_is_lost(tmp_path: Path) -> None:
    for seed in rounds("link"):
        disturb(tmp_path / f"{seed}.sock", seed, connections=400)
