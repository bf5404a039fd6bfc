"""The server with real sockets, turned by hand: clients that flood, stall, send garbage or go away."""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import os
import resource
import select
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.link_ends import HELLO, SteppingClock, open_files, pump, raw_client, read_line

from edge_ad.link import (
    Accepted,
    ClientRequest,
    FaultRaised,
    LinkLimits,
    LinkServer,
    PartResult,
    Refused,
    StateChanged,
    StationState,
    TriggerRequest,
)
from edge_ad.verdict import State

pytestmark = pytest.mark.usefixtures("usual_silence")  # its clock is turned by hand

SECOND = 1_000_000_000
TRIGGER = b'{"type":"trigger","id":"t"}\n'
RESULT = PartResult(trigger=1, state=State.ACCEPT, latency_ms=2.5)


@pytest.fixture
def clock() -> SteppingClock:
    return SteppingClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s.sock"


@pytest.fixture
def server(path: Path, clock: SteppingClock) -> Iterator[LinkServer]:
    serving = LinkServer(path, station="s", clock=clock, limits=LinkLimits(clients=4, connects_burst=1000))
    yield serving
    serving.close()


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


def greeted(server: LinkServer, path: Path, stack: ExitStack, first: bytes = b"") -> socket.socket:
    """A connected client whose hello (and ``first``) was read and answered."""
    connection = stack.enter_context(raw_client(path, hello=False))
    connection.sendall(HELLO + first)
    pump(server)
    read_line(connection)
    return connection


def waiting(connection: socket.socket) -> list[dict[str, object]]:
    """What was sent to a client and not read yet."""
    data = b""
    while select.select([connection], [], [], 0)[0] and (chunk := connection.recv(65_536)):
        data += chunk
    return [json.loads(line) for line in data.splitlines()]


def test_hello_tells_the_state_that_was_published_last(server: LinkServer, path: Path) -> None:
    server.publish(StateChanged(state=StationState.FAULT, cause="camera_lost"))
    with raw_client(path, hello=False) as connection:
        connection.sendall(HELLO)
        pump(server)
        assert json.loads(read_line(connection)) == {
            "type": "hello",
            "version": 1,
            "station": "s",
            "state": "FAULT",
            "heartbeat_s": 1.0,
        }
        connection.sendall(b'{"type":"subscribe","id":"1","topics":["state"]}\n')
        assert pump(server) == []
        assert waiting(connection) == [
            {"type": "done", "id": "1"},
            {"type": "state", "state": "FAULT", "cause": "camera_lost"},
        ]


def test_an_event_goes_to_its_subscribers_and_with_its_id_to_the_one_who_triggered(
    server: LinkServer, path: Path, stack: ExitStack
) -> None:
    asking = greeted(server, path, stack)
    results = greeted(server, path, stack, b'{"type":"subscribe","topics":["result"]}\n')
    faults = greeted(server, path, stack, b'{"type":"subscribe","topics":["fault"]}\n')
    both = greeted(server, path, stack, b'{"type":"subscribe","topics":["result","fault"]}\n')
    server.publish(RESULT, to={1: "mine", 99: "gone"})
    server.publish(FaultRaised(cause="disk_full", triggers=(2,)), to={4: "other"})
    plain = {"type": "result", "trigger": 1, "state": "ACCEPT", "latency_ms": 2.5}
    fault = {"type": "fault", "cause": "disk_full", "triggers": [2]}
    assert waiting(asking) == [{**plain, "id": "mine"}]
    assert waiting(results) == [plain]
    assert waiting(faults) == [fault]
    assert waiting(both) == [plain, fault]


def test_the_one_who_triggered_and_subscribed_gets_its_result_once(
    server: LinkServer, path: Path, stack: ExitStack
) -> None:
    asking = greeted(server, path, stack, b'{"type":"subscribe","topics":["result"]}\n')
    server.publish(RESULT, to={1: "mine"})
    (seen,) = waiting(asking)
    assert seen["id"] == "mine"


def test_requests_carry_the_number_of_their_client_and_answers_find_it(
    server: LinkServer, path: Path, stack: ExitStack
) -> None:
    first, second = greeted(server, path, stack), greeted(server, path, stack)
    second.sendall(TRIGGER)
    first.sendall(TRIGGER)
    asked = {one.client: one.request for one in pump(server)}
    assert asked == {1: TriggerRequest(id="t"), 2: TriggerRequest(id="t")}
    server.answer(2, Accepted(id="t", trigger=7))
    server.answer(99, Accepted(id="t", trigger=8))
    assert (waiting(first), waiting(second)) == ([], [{"type": "accepted", "id": "t", "trigger": 7}])


@pytest.mark.parametrize(
    "outcome",
    [
        pytest.param(
            lambda server: server.publish(PartResult(trigger=7, state=State.REJECT, latency_ms=1)), id="result"
        ),
        pytest.param(lambda server: server.publish(FaultRaised(cause="x", triggers=(6, 7))), id="fault"),
        pytest.param(lambda server: server.answer(1, Refused(id="t", reason="not_ready")), id="refused"),
    ],
)
def test_an_id_is_free_again_when_its_part_has_an_outcome_and_not_before(
    server: LinkServer, path: Path, stack: ExitStack, outcome: Callable[[LinkServer], None]
) -> None:
    asking, other = greeted(server, path, stack), greeted(server, path, stack)
    asking.sendall(TRIGGER * 2)
    assert len(pump(server)) == 1
    server.answer(1, Accepted(id="t", trigger=7))
    server.publish(PartResult(trigger=8, state=State.ACCEPT, latency_ms=1))
    asking.sendall(TRIGGER)
    assert pump(server) == []
    assert [one.get("reason") for one in waiting(asking)] == ["id_in_use", None, "id_in_use"]
    other.sendall(TRIGGER)
    assert [one.client for one in pump(server)] == [2]
    outcome(server)
    asking.sendall(TRIGGER)
    assert [one.client for one in pump(server)] == [1]


def test_a_slow_reader_is_dropped_and_nobody_waits_for_it(server: LinkServer, path: Path, stack: ExitStack) -> None:
    slow = greeted(server, path, stack, b'{"type":"subscribe","topics":["result"]}\n')
    reading = greeted(server, path, stack, b'{"type":"subscribe","topics":["result"]}\n')
    long = PartResult(trigger=1, state=State.REJECT, latency_ms=1.0, detail="x" * 10_000)
    for _ in range(1000):
        server.publish(long)
        assert len(waiting(reading)) == 1
    assert list(server.clients) == [2]
    assert slow.recv(100) != b""


def test_a_reader_that_was_slow_for_a_while_gets_everything_in_order(
    server: LinkServer, path: Path, stack: ExitStack
) -> None:
    slow = greeted(server, path, stack, b'{"type":"subscribe","topics":["result"]}\n')
    for number in range(60):
        server.publish(PartResult(trigger=number, state=State.REJECT, latency_ms=1.0, detail="x" * 10_000))
    seen: list[object] = []
    while len(seen) < 60:
        seen.append(json.loads(read_line_fast(slow))["trigger"])
        server.ready()
    assert seen == list(range(60))


def read_line_fast(connection: socket.socket) -> bytes:
    peeked = connection.recv(20_000, socket.MSG_PEEK)
    line = b""
    while not line.endswith(b"\n"):
        line += connection.recv(peeked.find(b"\n") + 1 or len(peeked))
        peeked = b"" if line.endswith(b"\n") else connection.recv(20_000, socket.MSG_PEEK)
    return line


def test_a_client_that_floods_is_read_as_slowly_as_is_allowed_and_others_as_ever(
    server: LinkServer, path: Path, stack: ExitStack, clock: SteppingClock
) -> None:
    flooding, calm = greeted(server, path, stack), greeted(server, path, stack)
    flooding.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        for number in itertools.count():
            flooding.send(b"".join(TRIGGER.replace(b'"t"', b'"%d"' % (100 * number + n)) for n in range(100)))
    taken = turns(server, 500)
    assert 400 < len(taken) <= 500
    assert turns(server, 500) == []
    calm.sendall(TRIGGER)
    (asked,) = pump(server)
    assert asked.client == 2
    due = server.tick(clock.now_ns)
    assert due is not None
    assert 0 < due < SECOND // 10
    for _ in range(100):
        clock.now_ns += SECOND // 100
        server.tick(clock.now_ns)
        taken += turns(server, 20)
    assert 1300 < len(taken) <= 1500


def turns(server: LinkServer, count: int) -> list[ClientRequest]:
    return [one for _ in range(count) for one in server.ready()]


def test_what_one_client_asks_at_once_is_spread_over_turns_and_others_come_in_between(
    server: LinkServer, path: Path, stack: ExitStack
) -> None:
    asking, other = greeted(server, path, stack), greeted(server, path, stack)
    asking.sendall(b'{"type":"snapshot","id":"s"}\n' * 10)
    assert [one.client for one in server.ready()] == [1]
    other.sendall(TRIGGER)
    assert select.select([server], [], [], 0)[0] == [server]
    assert [one.client for one in server.ready()] == [1, 2]
    assert [len(server.ready()) for _ in range(10)] == [1] * 8 + [0] * 2
    assert select.select([server], [], [], 0)[0] == []


def test_what_waits_of_a_client_that_asked_too_much_is_taken_when_it_may(
    server: LinkServer, path: Path, stack: ExitStack, clock: SteppingClock
) -> None:
    asking = greeted(server, path, stack)
    asking.sendall(b'{"type":"snapshot","id":"s"}\n' * 30)
    assert len(turns(server, 100)) == 25
    assert select.select([server], [], [], 0)[0] == []
    due = server.tick(clock.now_ns)
    assert due is not None
    clock.now_ns = due
    server.tick(clock.now_ns)
    assert select.select([server], [], [], 0)[0] == [server]
    assert len(turns(server, 100)) == 1


@pytest.mark.parametrize(
    "garbage",
    [b"\x00" * 100_000, b"\n" * 100_000, b"{}\n" * 30_000, os.urandom(1 << 17), b"[" * 60_000 + b"\n", b"\xff\n" * 99],
    ids=["zeros", "blank", "empty-objects", "random", "brackets", "no-utf8"],
)
def test_garbage_costs_the_one_who_sends_it_the_connection_at_most(
    server: LinkServer, path: Path, stack: ExitStack, garbage: bytes, clock: SteppingClock
) -> None:
    calm, sending = greeted(server, path, stack), greeted(server, path, stack)
    sending.settimeout(0)
    left = memoryview(garbage)
    while left:
        try:
            left = left[sending.send(left) :]
        except BlockingIOError:
            clock.now_ns += SECOND
            server.tick(clock.now_ns)
        except BrokenPipeError:
            break
        assert pump(server) == []
    calm.sendall(TRIGGER)
    assert [one.client for one in pump(server)] == [1]


def test_a_client_may_go_away_after_any_byte(server: LinkServer, path: Path) -> None:
    before = open_files()
    whole = HELLO + b'{"type":"subscribe","id":"s"}\n' + TRIGGER
    counts = []
    for length in range(len(whole) + 1):
        with raw_client(path, hello=False) as connection:
            connection.sendall(whole[:length])
        counts.append(len(pump(server)))
        server.publish(RESULT)
        assert server.clients == {}
    assert counts == [0] * len(whole) + [1]
    assert open_files() == before


def test_more_clients_than_allowed_are_turned_away_with_a_word(
    server: LinkServer, path: Path, stack: ExitStack
) -> None:
    for _ in range(4):
        greeted(server, path, stack)
    with raw_client(path, hello=False) as fifth:
        pump(server)
        assert json.loads(read_line(fifth)) == {"type": "error", "detail": "4 clients are connected"}
        assert fifth.recv(1) == b""
    assert len(server.clients) == 4


def test_clients_that_connect_without_end_are_taken_slowly(path: Path, clock: SteppingClock) -> None:
    serving = LinkServer(path, station="s", clock=clock, limits=LinkLimits(connects_burst=3, connects_per_s=2))
    with ExitStack() as opened:
        for _ in range(8):
            opened.enter_context(raw_client(path, hello=False)).sendall(HELLO)
        assert pump(serving) == []
        assert list(serving.clients) == [1, 2, 3]
        assert serving.tick(0) == SECOND // 2 + 1
        for number in range(4, 9):
            clock.now_ns += SECOND // 2 + 1
            serving.tick(clock.now_ns)
            pump(serving)
            assert list(serving.clients) == list(range(1, number + 1))
    serving.close()


def test_silent_clients_are_dropped_and_quiet_ones_kept(
    server: LinkServer, path: Path, stack: ExitStack, clock: SteppingClock
) -> None:
    quiet = greeted(server, path, stack)
    with raw_client(path, hello=False) as promising:
        promising.sendall(b'{"type":"hello","version":1,"client":"plc","heartbeat_s":0.5}\n')
        pump(server)
        while len(server.clients) == 2:
            clock.now_ns += SECOND // 4
            assert server.tick(clock.now_ns) is not None
        assert clock.now_ns == SECOND * 3 // 2
        assert waiting(promising)[-1] == {"type": "error", "detail": "no heartbeat in time"}
    assert [one["type"] for one in waiting(quiet)] == ["heartbeat"]


def test_who_connected_is_logged_and_names_cannot_forge_a_line(
    server: LinkServer, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "edge_ad.link.server")
    with raw_client(path, hello=False) as connection:
        connection.sendall(b'{"type":"hello","version":1,"client":"plc\\nclient 9 connected"}\n')
        pump(server)
    pump(server)
    assert caplog.messages == [
        f"client 1 connected: pid {os.getpid()}, uid {os.getuid()}, gid {os.getgid()}",
        "client 1 is 'plc\\nclient 9 connected'",
        "client 1 dropped: the client went away",
    ]


def test_no_file_left_for_a_client_is_survived(server: LinkServer, path: Path, clock: SteppingClock) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with raw_client(path, hello=False) as connection:
        connection.sendall(HELLO)
        used = os.dup(connection.fileno())
        os.close(used)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (used, hard))
            assert pump(server) == []
            assert server.tick(clock.now_ns) == SECOND
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert pump(server) == []
        clock.now_ns += SECOND
        server.tick(clock.now_ns)
        pump(server)
        assert b'"type":"hello"' in read_line(connection)


def test_closing_twice_does_no_harm(server: LinkServer, path: Path, stack: ExitStack) -> None:
    connection = greeted(server, path, stack)
    server.close()
    server.close()
    assert connection.recv(1) == b""
    assert not path.exists()
