"""Rules of the link that hold for all inputs."""

from __future__ import annotations

import contextlib
import itertools
import json
import tempfile
from collections import Counter
from pathlib import Path

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_ad.errors import LinkError
from edge_ad.link import (
    Client,
    FakeStation,
    FaultRaised,
    Ledger,
    LinkLimits,
    PartResult,
    StationState,
)
from edge_ad.link.client_side import ClientSide
from edge_ad.link.lines import decode_request, decode_sent, encode_line
from edge_ad.link.messages import (
    AcknowledgeRequest,
    Answer,
    ChallengeRequest,
    ClientHello,
    Event,
    FrameRequest,
    Heartbeat,
    RecipeRequest,
    Request,
    ResetCountersRequest,
    ResetRequest,
    TriggerRequest,
)
from edge_ad.link.protocol import Connection, Received
from edge_ad.verdict import Box, Point, Region, State, Verdict

GENEROUS = LinkLimits(requests_per_s=1e9, burst=1e9)

ids = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=64)
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=128)
requests: st.SearchStrategy[Request] = st.one_of(
    st.builds(TriggerRequest, id=ids, part_id=st.none() | names),
    st.builds(
        FrameRequest,
        id=ids,
        part_id=st.none() | names,
        height=st.integers(1, 9),
        width=st.integers(1, 9),
        channels=st.sampled_from((1, 3)),
    ),
    st.builds(RecipeRequest, id=ids, name=names, by=st.none() | names),
    st.builds(AcknowledgeRequest, id=ids, alarm=names, by=st.none() | names),
    st.builds(ResetRequest, id=ids, by=st.none() | names),
    st.builds(ResetCountersRequest, id=ids, by=st.none() | names),
    st.builds(ChallengeRequest, id=ids, part=st.none() | names, runs=st.integers(1, 10), by=st.none() | names),
    st.builds(Heartbeat),
)


class Memory:
    """Stands for an open file, and counts how often it was closed."""

    def __init__(self) -> None:
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


def greeted() -> Connection:
    made = Connection(GENEROUS, 0)
    made.receive(encode_line(ClientHello(version=1, client="test")), (), 0)
    return made


@given(st.lists(requests, max_size=12), st.data())
def test_any_cutting_of_the_bytes_gives_the_same_requests_with_the_same_frames(
    sent: list[Request], data: st.DataObject
) -> None:
    """As the kernel does it: a descriptor arrives with the first byte of its line."""
    stream, first_byte = b"", {}
    for request in sent:
        if isinstance(request, FrameRequest):
            first_byte[len(stream)] = Memory()
        stream += encode_line(request)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(stream)), max_size=20)) | {0, len(stream)} | set(first_byte))
    made = greeted()
    got: list[Received] = []
    for begin, end in itertools.pairwise(cuts):
        arriving = [first_byte[begin]] if begin in first_byte else []
        got += made.receive(stream[begin:end], arriving, 0)
    assert [one.request for one in got] == sent
    assert [one.descriptor for one in got if one.descriptor is not None] == list(first_byte.values())
    assert not made.outgoing


@given(
    st.lists(st.binary(max_size=200) | st.sampled_from([b"\n", b'{"type":"frame"', b'{"id":', b"[[[["]), max_size=40),
    st.data(),
)
def test_no_bytes_raise_anything_and_every_descriptor_is_closed_once(chunks: list[bytes], data: st.DataObject) -> None:
    made = greeted()
    arrived: list[Memory] = []
    for chunk in chunks:
        new = [Memory() for _ in range(data.draw(st.integers(0, 2)))]
        arrived += new
        for received in made.receive(chunk, new, 0):
            if received.descriptor is not None:
                received.descriptor.close()
    made.gone()
    assert [one.closed for one in arrived] == [1] * len(arrived)
    for line in bytes(made.outgoing).splitlines():
        assert json.loads(line)["type"] in ("hello", "error")


@given(
    st.lists(
        st.binary(max_size=300) | st.sampled_from([b"\n", b'{"type":"result","trigger":1,', b'"id":"1"}']), max_size=40
    )
)
def test_a_client_survives_whatever_a_station_sends(chunks: list[bytes]) -> None:
    side = ClientSide(Path("s.sock"), None)
    with contextlib.suppress(LinkError):
        for chunk in chunks:
            side.receive(chunk, 0)


@given(requests)
def test_what_is_written_is_read_again(request: Request) -> None:
    assert decode_request(encode_line(request)) == request


regions = st.builds(
    Region,
    box=st.builds(Box, x=st.integers(0, 9999), y=st.integers(0, 9999), width=st.integers(1, 99), height=st.just(1)),
    area_px=st.integers(1, 10**6),
    peak=st.builds(Point, x=st.integers(0, 9999), y=st.integers(0, 9999)),
    peak_score=st.floats(0, 1e6),
)


@given(st.lists(regions, min_size=1, max_size=9), st.integers(1, 200), st.integers(1, 60))
@settings(max_examples=30)
def test_a_result_with_many_regions_still_fits_into_a_line(found: list[Region], times: int, frames: int) -> None:
    verdict = Verdict(
        state=State.REJECT, score=1.0, regions=tuple(found * times), captured_at=0.0, bundle="b", variant="v"
    )
    result = PartResult(trigger=1, state=State.REJECT, latency_ms=1.0, verdicts=(verdict,) * frames)
    line = encode_line(result)
    assert len(line) <= 65_536
    read = decode_sent(line)
    assert isinstance(read, PartResult)
    whole = len(msgspec.json.encode(result)) < 65_536
    assert read.shortened is not whole
    assert (read == result) is whole
    highest = max(region.peak_score for region in found)
    assert {max(one.peak_score for one in kept.regions) for kept in read.verdicts} <= {highest}


@given(
    st.lists(st.tuples(st.sampled_from(["accept", "settle", "fault", "fault_some"]), st.integers(0, 9)), max_size=60)
)
def test_a_ledger_settles_each_trigger_exactly_once(steps: list[tuple[str, int]]) -> None:
    ledger = Ledger(limit=5)
    accepted: list[int] = []
    settled: Counter[int] = Counter()
    for step, number in steps:
        if step == "accept" and ledger.refusal(1, str(number)) is None:
            accepted.append(ledger.accept(1, str(number)).number)
        elif step == "settle" and ledger.settle(number) is not None:
            settled[number] += 1
        elif step.startswith("fault"):
            asked = None if step == "fault" else [number, number, number + 1]
            settled.update(one.number for one in ledger.fault(asked))
        assert len(ledger.open) <= 5
    assert accepted == list(range(1, len(accepted) + 1))
    assert sorted(accepted) == sorted([*settled.elements(), *(one.number for one in ledger.open)])
    assert max(settled.values(), default=1) == 1


STEPS = ("trigger", "trigger", "hold", "release", "fault", "reset", "garbage", "reconnect", "refuse", "take")


@given(st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 1)), max_size=25))
@settings(max_examples=60)
def test_exactly_one_result_or_fault_for_each_accepted_trigger(steps: list[tuple[str, int]]) -> None:
    """Two clients, one of which watches everything; whatever they do, and whatever happens to the station."""
    with (
        tempfile.TemporaryDirectory() as folder,
        FakeStation(Path(folder) / "s.sock", limits=GENEROUS) as station,
        Client(Path(folder) / "s.sock", timeout_s=60) as watcher,
    ):
        watcher.subscribe("result", "fault")
        clients = [Client(Path(folder) / "s.sock", timeout_s=60) for _ in range(2)]
        accepted: list[int] = []
        for step, which in steps:
            if step == "reconnect":
                clients[which].close()
                clients[which] = Client(Path(folder) / "s.sock", timeout_s=60)
            accepted += done(station, clients[which], step)
        station.release()
        watcher.snapshot()
        told = Counter(number for event in events(watcher) for number in named(event))
        assert told == Counter(accepted)
        assert station.open == ()
        for client in clients:
            client.close()


def done(station: FakeStation, client: Client, step: str) -> list[int]:
    """One step; the triggers that it brought to be accepted."""
    if step == "trigger":
        with contextlib.suppress(LinkError):
            return [client.trigger("part")]
    elif step in ("reset", "garbage"):
        with contextlib.suppress(LinkError):
            client.reset() if step == "reset" else client.acknowledge("x" * 1000)
    elif step == "fault":
        station.fault("test")
    elif step in ("refuse", "take"):
        station.refuse("test" if step == "refuse" else None)
    elif step in ("hold", "release"):
        getattr(station, step)()
    return []


def events(client: Client) -> list[Answer | Event]:
    found: list[Answer | Event] = []
    with contextlib.suppress(LinkError):
        while True:
            found.append(client.next_event(timeout_s=0))
    return found


def named(event: Answer | Event) -> tuple[int, ...]:
    """The triggers that this event closes."""
    if isinstance(event, PartResult):
        return (event.trigger,)
    return event.triggers if isinstance(event, FaultRaised) else ()


@given(st.sampled_from(StationState), ids)
def test_a_result_is_only_ever_taken_for_the_trigger_and_id_that_wait(state: StationState, name: str) -> None:
    side = ClientSide(Path("s.sock"), None)
    own = side.next_id()
    side.receive(encode_line_of({"type": "accepted", "id": own, "trigger": 5}), 0)
    side.receive(
        encode_line_of({"type": "result", "trigger": 5, "id": name + own, "state": "ACCEPT", "latency_ms": 1}), 0
    )
    side.receive(encode_line_of({"type": "result", "trigger": 6, "id": own, "state": "ACCEPT", "latency_ms": 1}), 0)
    side.receive(encode_line_of({"type": "state", "state": state.value}), 0)
    assert side.answer(own) is not None
    assert side.result(5) is None


def encode_line_of(message: dict[str, object]) -> bytes:
    return json.dumps(message).encode() + b"\n"
