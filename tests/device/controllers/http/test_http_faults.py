"""Clients that stall, stop reading or send without end, and an adapter that is killed: others are served as before."""

from __future__ import annotations

import itertools
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import httpx
import pytest
from support.http_served import Served, http_served
from support.videos import wait_for

from edge_ad.link import Client, FakeStation, PartResult

WINDOW_MS = 4_000  # longer than it may take to stop a process that has begun a part
STATION = """
[station]
name = "line1"
trigger = "link"

[camera.top]
source = "link"

[inspect.top]
camera = "top"
bundle = "bundle"

[link]
socket = "line1.sock"

[controller.web]
protocol = "http"
port = 0
"""


@contextmanager
def raw(served: Served, receive_bytes: int | None = None) -> Iterator[socket.socket]:
    with socket.socket() as one:
        if receive_bytes is not None:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        one.settimeout(60)
        one.connect(("127.0.0.1", served.port))
        yield one


def is_served(served: Served, part_id: str) -> bool:
    answer = httpx.post(f"{served.url}/api/v1/parts", json={"part_id": part_id}, timeout=60)
    return bool(answer.json()["passes"])


def has_heard(served: Served, text: str) -> bool:
    return served.gateway.view.alarms.get("flood") == text


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with http_served(tmp_path_factory.mktemp("short"), receive_s=3.0, send_s=0.5, frame_mb=1.0, events=10) as one:
        yield one


UNENDED = {
    "nothing": (b"", b""),
    "half a line": (b"POST /api/v1/parts HTT", b""),
    "half a header": (b"POST /api/v1/parts HTTP/1.1\r\nHost: 127.0.0.1\r\nX-", b""),
    "half of the second request": (
        b"GET /api/v1/health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nGET /api",
        b"HTTP/1.1 200",
    ),
    "half a body": (
        b"POST /api/v1/frames HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/png\r\nContent-Length: 1000\r\n\r\nx",
        b"HTTP/1.1 408",
    ),
}
"""What a client sends that never ends what it has begun, and with what the answer to it begins, where there is one."""


def test_clients_that_never_end_their_request_or_its_body_are_dropped(short: Served) -> None:
    """All at once, because each of them is waited for."""
    with ExitStack() as stack:
        slow = {name: stack.enter_context(raw(short)) for name in UNENDED}
        for name, (sent, _) in UNENDED.items():
            slow[name].sendall(sent)
        assert is_served(short, "beside slow ones")
        said = {name: _read_to_the_end(one) for name, one in slow.items()}
    assert {name: text[:12] for name, text in said.items()} == {name: began for name, (_, began) in UNENDED.items()}
    assert said["half of the second request"].count(b"HTTP/1.1") == 1
    assert b"too_slow" in said["half a body"]


def test_a_body_that_is_declared_too_large_is_refused_before_it_is_sent(short: Served) -> None:
    with raw(short) as large:
        large.sendall(
            b"POST /api/v1/frames HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/png\r\n"
            b"Content-Length: 5000000000\r\n\r\n"
        )
        assert _read_to_the_end(large).startswith(b"HTTP/1.1 413")


def test_gigabytes_without_a_declared_length_are_cut_off(short: Served) -> None:
    block = b"x" * 65_536
    chunk = b"%x\r\n%s\r\n" % (len(block), block)
    with raw(short) as endless:
        endless.sendall(
            b"POST /api/v1/frames HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/png\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        with pytest.raises(OSError, match=r"(?i)reset|broken pipe"):
            endless.sendall(chunk * 2_000)
    assert is_served(short, "after gigabytes")


def test_a_reader_of_events_that_stops_is_dropped_and_others_go_on(short: Served) -> None:
    with raw(short, receive_bytes=4_096) as stopped:
        stopped.sendall(b"GET /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        said = b""
        while b"event: station" not in said:
            said += stopped.recv(100)
        # One after the other, as the adapter hears them: a station that is not listened to drops the adapter itself.
        numbers = itertools.count()
        while short.gateway._streams:
            text = f"{next(numbers)} {'x' * 50_000}"
            short.station.alarm("flood", text)
            assert wait_for(partial(has_heard, short, text), 60)
        assert is_served(short, "beside the one that stopped")
        _read_to_the_end(stopped)


def test_connections_are_limited_and_come_free_again(tmp_path: Path) -> None:
    with http_served(tmp_path, clients=4) as served:
        with httpx.Client(timeout=60) as one, httpx.Client(timeout=60) as other:
            streams = [one.stream("GET", f"{served.url}/api/v1/events") for _ in range(3)]
            for stream in streams:
                assert stream.__enter__().status_code == 200
            assert other.get(f"{served.url}/api/v1/health").status_code == 503
            for stream in streams:
                stream.__exit__(None, None, None)
        while httpx.get(f"{served.url}/api/v1/health", timeout=60).status_code == 503:
            threading.Event().wait(0.02)
        assert is_served(served, "afterwards")


def test_what_is_no_http_is_answered_400(short: Served) -> None:
    with raw(short) as one:
        one.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 no http at all\r\n\r\n")
        assert _read_to_the_end(one).startswith(b"HTTP/1.1 400")


def test_an_adapter_that_is_killed_leaves_the_station_alone_and_can_be_started_again(tmp_path: Path) -> None:
    file = tmp_path / "station.toml"
    file.write_text(STATION)
    with FakeStation(tmp_path / "line1.sock") as station, Client(tmp_path / "line1.sock") as link:
        for _ in range(2):
            with _adapter(file) as (port, _process):
                answer = httpx.post(f"http://127.0.0.1:{port}/api/v1/parts", json={"part_id": str(port)}, timeout=60)
                assert answer.json()["passes"] is True
            assert link.passes("beside", timeout_s=60)
        assert station.open == ()


def test_an_adapter_that_is_stopped_costs_no_verdict_and_its_part_is_a_reject(tmp_path: Path) -> None:
    """Its part's result comes while it stands still; it is not believed when the adapter goes on after the window."""
    file = tmp_path / "station.toml"
    file.write_text(STATION + f"window_ms = {WINDOW_MS}\n")
    with (
        FakeStation(tmp_path / "line1.sock") as station,
        Client(tmp_path / "line1.sock") as link,
        _adapter(file) as (port, process),
        ThreadPoolExecutor(1) as thread,
    ):
        station.hold()
        asked = thread.submit(httpx.post, f"http://127.0.0.1:{port}/api/v1/parts", json={"part_id": "A"}, timeout=60)
        assert wait_for(lambda: bool(station.open), 60)
        begun = time.monotonic()  # the adapter began to wait before that
        process.send_signal(signal.SIGSTOP)
        station.release()
        assert all(link.passes(f"beside {number}", timeout_s=60) for number in range(100))
        threading.Event().wait(max(0.0, begun + 1.1 * WINDOW_MS / 1000 - time.monotonic()))
        assert not asked.done()
        process.send_signal(signal.SIGCONT)
        answer = asked.result(60).json()
        assert (answer["passes"], answer["reason"]) == (False, "no_result")
        assert [one.state.value for one in station.published if isinstance(one, PartResult)] == ["ACCEPT"] * 101


@contextmanager
def _adapter(file: Path) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """An adapter in a process of its own that has reached the station, and its port; it is killed at the end."""
    command = [sys.executable, "-m", "edge_ad", "connect", str(file), "web"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            port, is_connected = 0, False
            while not (port and is_connected):
                line = process.stderr.readline()
                assert line, "the adapter ended"
                is_connected = is_connected or "connected to the station" in line
                port = int(line.rpartition(" ")[2]) if " serves http on " in line else port
            yield port, process
        finally:
            process.kill()


def _read_to_the_end(one: socket.socket) -> bytes:
    data = b""
    try:
        while block := one.recv(65_536):
            data += block
    except ConnectionResetError:
        pass
    return data
