"""The station's side of a connection, without a socket."""

from __future__ import annotations

import json

import msgspec
import pytest

from edge_ad.link.lines import LINE_BYTES, encode_line
from edge_ad.link.messages import (
    ClientHello,
    FrameRequest,
    Heartbeat,
    Request,
    SnapshotRequest,
    StateChanged,
    StationState,
    SubscribeRequest,
    TriggerRequest,
)
from edge_ad.link.protocol import TRANSITIONS, Connection, ConnectionState, Happening, LinkLimits

pytestmark = pytest.mark.usefixtures("usual_silence")

SECOND = 1_000_000_000
HELLO = encode_line(ClientHello(version=1, client="test"))
FRAME = FrameRequest(id="f", height=2, width=3, channels=1)


class Descriptor:
    """Stands for an open file."""

    def __init__(self) -> None:
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


def connection(**limits: float) -> Connection:
    return Connection(msgspec.convert(limits, LinkLimits), 0)


def greeted(hello: bytes = HELLO, **limits: float) -> Connection:
    made = connection(**limits)
    assert len(made.receive(hello, (), 0)) == 1
    return made


def requests(made: Connection, data: bytes) -> list[Request]:
    return [one.request for one in made.receive(data, (), 0)]


def said(made: Connection) -> list[dict[str, object]]:
    lines = [json.loads(line) for line in bytes(made.outgoing).splitlines()]
    made.sent(len(made.outgoing))
    return lines


def test_hello_comes_first() -> None:
    made = connection()
    assert requests(made, encode_line(TriggerRequest(id="a"))) == []
    assert said(made) == [{"type": "error", "detail": "say hello first", "id": "a"}]
    assert requests(made, HELLO) == [ClientHello(version=1, client="test")]
    assert (made.state, made.client) == (ConnectionState.OPEN, "test")
    assert requests(made, encode_line(TriggerRequest(id="a"))) == [TriggerRequest(id="a")]


def test_a_second_hello_is_an_error() -> None:
    made = greeted()
    assert requests(made, HELLO) == []
    assert said(made) == [{"type": "error", "detail": "hello was said before"}]


def test_another_version_is_told_which_one_is_spoken() -> None:
    made = connection()
    assert requests(made, encode_line(ClientHello(version=7, client="new")) + encode_line(TriggerRequest(id="a"))) == []
    assert said(made) == [{"type": "error", "detail": "version 1 is spoken here, not 7"}]
    assert made.ended is Happening.WRONG_VERSION


@pytest.mark.parametrize(
    ("line", "detail", "name"),
    [
        (b"garbage", "JSON is malformed", None),
        (b'{"type":"dance","id":"d"}', "Invalid value 'dance'", "d"),
        (b'{"type":"trigger"}', "missing required field `id`", None),
        (b'{"type":"trigger","id":7}', "Expected `str`, got `int`", None),
        (b'{"type":"trigger","id":""}', "Expected `str` of length >= 1", None),
        (b'{"type":"trigger","id":"' + b"9" * 65 + b'"}', "Expected `str` of length <= 64", None),
        (b'{"type":"recipe","id":"r"}', "missing required field `name`", "r"),
        (b'{"type":"subscribe","id":"s","topics":["weather"]}', "Invalid enum value 'weather'", "s"),
        (b'{"type":"trigger","id":"\xff\xfe"}', "utf-8", None),
        (b"[" * 60_000, "Expected `object`, got `array`", None),
        (b'{"type":"trigger","id":"n","more":' + b"[" * 30_000 + b"]" * 30_000 + b"}", "nested too deeply", None),
        (b'{"type":"frame","id":"h","height":1e400,"width":1,"channels":1}', "Number out of range", "h"),
        (b'{"type":"frame","id":"h","height":70000,"width":1,"channels":1}', "Expected `int` <= 65535", "h"),
        (b'{"type":"frame","id":"h","height":1,"width":1,"channels":4}', "Invalid enum value 4", "h"),
        (b'{"type":"heartbeat"}{"type":"heartbeat"}', "trailing characters", None),
        (b"\x00", "JSON is malformed", None),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_line_that_is_no_request_is_answered_and_the_next_one_counts(
    line: bytes, detail: str, name: str | None
) -> None:
    made = greeted()
    is_frame = b'"type":"frame"' in line
    descriptor = Descriptor()
    assert made.receive(line + b"\n", [descriptor] * is_frame, 0) == []
    (error,) = said(made)
    assert detail in str(error["detail"])
    assert (error["type"], error.get("id")) == ("error", name)
    assert descriptor.closed == is_frame
    assert requests(made, encode_line(TriggerRequest(id="a"))) == [TriggerRequest(id="a")]


def test_unknown_fields_blank_lines_and_carriage_returns_do_no_harm() -> None:
    made = greeted()
    assert requests(made, b'\n \r\n{"type":"trigger","id":"a","speed":[1,{"x":null}]}\r\n') == [TriggerRequest(id="a")]
    assert said(made) == []


def test_whoever_sends_garbage_only_is_closed() -> None:
    made = greeted(bad_lines=3)
    made.receive(b"?\n?\n", (), 0)
    assert requests(made, encode_line(Heartbeat())) == [Heartbeat()]
    made.receive(b"?\n?\n?\n?\n", (), 0)
    assert made.ended is Happening.TOO_MANY_BAD_LINES
    assert len(said(made)) == 2 + 3 + 1
    assert requests(made, encode_line(TriggerRequest(id="a"))) == []


@pytest.mark.parametrize("size", [1, 1000, LINE_BYTES + 10], ids=str)
def test_a_line_without_end_is_closed_when_it_is_too_long(size: int) -> None:
    made = greeted()
    taken = 0
    while not made.is_closed():
        made.receive(b"x" * size, (), 0)
        taken += size
    assert made.ended is Happening.LINE_TOO_LONG
    assert LINE_BYTES <= taken < LINE_BYTES + size + 10
    assert said(made) == [{"type": "error", "detail": "a line longer than 65536 bytes"}]


def test_the_longest_line_is_taken() -> None:
    made = greeted()
    line = b'{"type":"heartbeat","pad":"' + b"x" * (LINE_BYTES - 30) + b'"}\n'
    assert len(line) == LINE_BYTES
    assert requests(made, line) == [Heartbeat()]


def test_each_frame_takes_the_descriptor_that_came_with_it() -> None:
    made = greeted()
    first, second = Descriptor(), Descriptor()
    line = encode_line(FRAME)
    assert made.receive(line[:5], [first], 0) == []
    (one,) = made.receive(line[5:], (), 0)
    (other,) = made.receive(line, [second], 0)
    assert (one.descriptor, other.descriptor) == (first, second)
    assert (first.closed, second.closed) == (0, 0)


@pytest.mark.parametrize(
    ("data", "count"),
    [
        (encode_line(FRAME), 0),
        (encode_line(FRAME), 2),
        (encode_line(TriggerRequest(id="a")), 1),
        (encode_line(FRAME) * 2, 1),
        (b"garbage\n", 1),
        (b'{"type":"fra', 2),
        (b"\n", 1),
    ],
    ids=["none", "two", "no-frame", "one-for-two", "garbage", "begun", "blank"],
)
def test_descriptors_that_do_not_match_the_lines_end_the_connection(data: bytes, count: int) -> None:
    made = greeted()
    descriptors = [Descriptor() for _ in range(count)]
    assert made.receive(data, descriptors, 0) == []
    assert made.ended is Happening.STRAY_DESCRIPTOR
    assert [one.closed for one in descriptors] == [1] * count


@pytest.mark.parametrize("end", ["gone", "stray"])
def test_a_descriptor_whose_line_never_ends_is_closed_with_the_connection(end: str) -> None:
    made, descriptor = greeted(), Descriptor()
    made.receive(encode_line(FRAME)[:9], [descriptor], 0)
    getattr(made, end)()
    assert descriptor.closed == 1
    late = Descriptor()
    assert made.receive(b"x", [late], 0) == []
    assert late.closed == 1


def test_who_does_not_read_is_closed_and_nothing_is_queued_any_more() -> None:
    made = greeted(queue_bytes=100)
    event = StateChanged(state=StationState.READY)
    line = encode_line(event)
    for _ in range(100 // len(line)):
        made.send(event, 0)
    assert not made.is_closed()
    made.send(event, 0)
    assert made.ended is Happening.SLOW
    assert len(made.outgoing) <= 100


def test_the_station_says_something_every_second() -> None:
    made = greeted()
    assert made.tick(SECOND // 2) == SECOND
    assert said(made) == []
    assert made.tick(SECOND) == 2 * SECOND
    assert said(made) == [{"type": "heartbeat"}]
    made.send(StateChanged(state=StationState.READY), SECOND * 3 // 2)
    assert made.tick(2 * SECOND) == SECOND * 5 // 2


def test_heartbeats_do_not_pile_up_for_who_does_not_read() -> None:
    made = greeted()
    for second in range(1, 1000):
        made.tick(second * SECOND)
    assert said(made) == [{"type": "heartbeat"}]
    assert not made.is_closed()


def test_a_client_that_promised_heartbeats_is_closed_after_three_missing_ones() -> None:
    made = greeted(encode_line(ClientHello(version=1, client="plc", heartbeat_s=0.5)))
    assert made.tick(SECOND) == SECOND * 3 // 2
    made.receive(encode_line(Heartbeat()), (), SECOND * 14 // 10)
    assert made.tick(2 * SECOND) == SECOND * 29 // 10
    assert not made.is_closed()
    assert made.tick(SECOND * 29 // 10) is None
    assert made.ended is Happening.SILENT


def test_time_in_which_the_station_stood_still_is_not_the_clients_silence() -> None:
    made = greeted(encode_line(ClientHello(version=1, client="plc", heartbeat_s=0.5)))
    made.tick(60 * SECOND)
    assert not made.is_closed()


def test_a_station_that_says_little_notices_silence_in_time() -> None:
    made = greeted(encode_line(ClientHello(version=1, client="plc", heartbeat_s=10.0)), heartbeat_s=60)
    assert made.tick(0) == 30 * SECOND
    assert made.tick(30 * SECOND) is None
    assert made.ended is Happening.SILENT


def test_a_hello_that_waited_while_the_station_stood_still_counts() -> None:
    made = connection(hello_s=2)
    made.tick(0)
    assert made.tick(60 * SECOND) == 62 * SECOND
    assert requests(made, HELLO) == [ClientHello(version=1, client="test")]


def test_what_a_client_is_told_of_its_long_garbage_is_short() -> None:
    made = greeted()
    made.receive(b'{"type":"' + b"x" * 60_000 + b'"}\n', (), 0)
    assert len(made.outgoing) < 300


def test_every_way_to_close_is_in_the_table() -> None:
    for state in (ConnectionState.GREETING, ConnectionState.OPEN):
        closing = {happening for (before, happening), after in TRANSITIONS.items() if after is ConnectionState.CLOSED}
        from_here = {happening for happening in closing if (state, happening) in TRANSITIONS}
        assert closing - from_here == (
            {Happening.SILENT} if state is ConnectionState.GREETING else {Happening.WRONG_VERSION, Happening.NO_HELLO}
        )


def test_who_never_promised_may_be_silent_for_ever() -> None:
    made = greeted()
    for second in range(3600):
        made.tick(second * SECOND)
    assert not made.is_closed()


def test_who_never_says_hello_is_closed() -> None:
    made = connection(hello_s=2)
    assert made.tick(SECOND) == 2 * SECOND
    assert made.tick(2 * SECOND) is None
    assert made.ended is Happening.NO_HELLO


def test_who_asks_too_much_is_read_later() -> None:
    made = greeted(burst=10, requests_per_s=10)
    assert made.reads_again_ns(0) is None
    assert len(requests(made, encode_line(Heartbeat()) * 12)) == 8
    assert made.has_waiting()
    again = made.reads_again_ns(0)
    assert again is not None
    assert 0 < again < SECOND // 10
    assert [len(made.take(now)) for now in (0, again, SECOND // 5, SECOND)] == [0, 1, 1, 2]
    assert not made.has_waiting()
    assert not made.is_closed()


def test_what_an_operator_asks_is_dearer() -> None:
    made = greeted(burst=50, requests_per_s=10)
    assert len(requests(made, encode_line(SnapshotRequest(id="s")) * 5)) == 3


def test_a_part_of_what_waits_may_be_taken() -> None:
    made = greeted()
    made.feed(encode_line(TriggerRequest(id="t")) * 5 + encode_line(SnapshotRequest(id="s")) * 2, (), 0)
    assert [len(made.take(0, 3)) for _ in range(5)] == [3, 3, 1, 0, 0]


def test_frames_that_wait_are_closed_with_the_connection() -> None:
    made = greeted()
    descriptors = [Descriptor(), Descriptor()]
    for descriptor in descriptors:
        made.feed(encode_line(FRAME), [descriptor], 0)
    (taken,) = made.take(0, 1)
    made.gone()
    assert taken.descriptor is descriptors[0]
    assert [one.closed for one in descriptors] == [0, 1]
    assert made.take(0) == []


def test_a_subscription_names_its_topics() -> None:
    made = greeted()
    (asked,) = requests(made, b'{"type":"subscribe","topics":["state","result"]}\n')
    assert asked == SubscribeRequest(topics=("state", "result"))
