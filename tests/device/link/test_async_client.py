"""The asyncio client against the fake station. One loop a test, run by ``asyncio.run``."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np
import pytest
from support.link_ends import STATION_HELLO, SteppingClock, raw_station, read_line

from edge_ad.errors import EdgeAdError, InputError, LinkError, LinkRefusedError, LinkTimeoutError, StationFaultError
from edge_ad.link import (
    AsyncClient,
    ExposureComplete,
    FakeStation,
    Judgement,
    LinkLimits,
    PartResult,
    RecordedRequest,
    StateChanged,
    StationState,
    TriggerRequest,
)
from edge_ad.verdict import State

Scene = Callable[[FakeStation, AsyncClient], Awaitable[None]]


def play(tmp_path: Path, scene: Scene, *, limits: LinkLimits | None = None) -> list[RecordedRequest]:
    """Runs a scene with a station and a client; what the station was asked."""

    async def run(station: FakeStation) -> None:
        async with AsyncClient(tmp_path / "s.sock", timeout_s=60) as link:
            await scene(station, link)

    with FakeStation(tmp_path / "s.sock", limits=limits) as station:
        asyncio.run(run(station))
        return station.requests


def test_parts_are_in_flight_together_and_each_gets_its_own_result(tmp_path: Path) -> None:
    async def scene(station: FakeStation, link: AsyncClient) -> None:
        assert (link.station, link.state) == ("fake", StationState.READY)
        station.hold()
        await link.exposed(await link.trigger("first"), timeout_s=60)
        triggers = [await link.trigger(f"A-{index}") for index in range(20)]
        waiting = [asyncio.ensure_future(link.result(trigger, timeout_s=60)) for trigger in reversed(triggers)]
        await asyncio.sleep(0)
        station.release()
        results = await asyncio.gather(*waiting)
        assert [(one.trigger, one.part_id) for one in results] == [(n, f"A-{n - 2}") for n in range(21, 1, -1)]

    assert len(play(tmp_path, scene)) == 21


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 3), (1080, 1920, 3)], ids=str)
def test_a_frame_arrives_pixel_by_pixel(tmp_path: Path, shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)

    async def scene(_: FakeStation, link: AsyncClient) -> None:
        assert (await link.result(await link.hand_in(pixels, "A-1", camera="top"), timeout_s=60)).accepted
        with pytest.raises(InputError, match="expected pixels uint8"):
            await link.hand_in(np.zeros((2, 2, 5), np.uint8))

    (seen,) = play(tmp_path, scene)
    np.testing.assert_array_equal(seen.pixels, pixels)


def test_a_part_passes_for_its_accept_alone(tmp_path: Path) -> None:
    def judge(asked: RecordedRequest) -> Judgement:
        assert isinstance(asked.request, TriggerRequest)
        return Judgement(State(asked.request.part_id))

    async def run() -> list[bool]:
        async with AsyncClient(tmp_path / "s.sock") as link:
            return [await link.passes(state.value, timeout_s=60) for state in State]

    with FakeStation(tmp_path / "s.sock", judge=judge):
        assert asyncio.run(run()) == [True, False, False]


def test_late_refused_and_lost_mean_that_the_part_does_not_pass(tmp_path: Path) -> None:
    async def scene(station: FakeStation, link: AsyncClient) -> None:
        station.hold()
        assert not await link.passes("late", timeout_s=0.05)
        station.release()
        station.refuse("not_now")
        assert not await link.passes("refused", timeout_s=60)
        station.refuse("needs_frame")
        with pytest.raises(InputError, match=r"give passes\(\) the pixels of the part"):
            await link.passes("no pixels", timeout_s=60)
        station.close()
        assert not await link.passes("lost", timeout_s=60)

    play(tmp_path, scene)


def test_the_requests_of_an_operator_are_answered(tmp_path: Path) -> None:
    async def scene(station: FakeStation, link: AsyncClient) -> None:
        station.alarm("rejects", "5 rejects in a row")
        await link.acknowledge("rejects")
        await link.recipe("caps-30mm")
        station.fault("camera_lost")
        snapshot = await link.snapshot()
        assert (snapshot.recipe, snapshot.state, snapshot.alarms) == ("caps-30mm", StationState.FAULT, {})
        with pytest.raises(LinkRefusedError, match="not_ready"):
            await link.trigger()
        await link.reset()
        with pytest.raises(LinkRefusedError, match="not_in_fault"):
            await link.reset()

    play(tmp_path, scene)


def test_events_come_in_their_order(tmp_path: Path) -> None:
    async def scene(station: FakeStation, link: AsyncClient) -> None:
        await link.subscribe()
        assert await link.next_event() == StateChanged(state=StationState.READY)
        await link.passes("A-1", timeout_s=60)
        assert await link.next_event() == ExposureComplete(trigger=1, part_id="A-1", id="2")
        assert isinstance(await link.next_event(), PartResult)
        station.fault("disk_full")
        assert await link.next_event() == StateChanged(
            state=StationState.FAULT, cause="disk_full", causes=("disk_full",)
        )
        assert link.state is StationState.FAULT
        await link.next_event()
        with pytest.raises(LinkTimeoutError, match="an event did not come"):
            await link.next_event(timeout_s=0.01)

    play(tmp_path, scene)


def test_fault_ends_every_open_trigger(tmp_path: Path) -> None:
    async def scene(station: FakeStation, link: AsyncClient) -> None:
        station.hold()
        waiting = [asyncio.ensure_future(link.result(await link.trigger(), timeout_s=60)) for _ in range(3)]
        await asyncio.sleep(0)
        station.fault("scorer_died")
        ended = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(one) for one in ended] == [StationFaultError] * 3

    play(tmp_path, scene)


def test_what_an_operator_asks_carries_a_name(tmp_path: Path) -> None:
    async def scene(station: FakeStation, link: AsyncClient) -> None:
        station.alarm("a", "text")
        station.fault("camera_lost")
        await link.recipe("r", by="anna")
        await link.acknowledge("a", by="anna")
        await link.reset(by="anna")
        await link.reset_counters(by="anna")
        assert [getattr(one.request, "by", None) for one in station.requests] == ["anna"] * 4

    play(tmp_path, scene)


def test_promised_heartbeats_are_sent_without_being_asked_for(tmp_path: Path) -> None:
    heard: list[bytes] = []

    def serve(accepted: socket.socket) -> None:
        heard.append(read_line(accepted))
        accepted.sendall(STATION_HELLO)
        heard.extend(read_line(accepted) for _ in range(3))

    async def run() -> None:
        async with AsyncClient(tmp_path / "s.sock", heartbeat_s=0.1) as link:
            with pytest.raises(LinkError, match="is lost"):
                await link.next_event()

    with raw_station(tmp_path / "s.sock", serve):
        asyncio.run(run())
    assert heard == [
        b'{"type":"hello","version":1,"client":"python-async","heartbeat_s":0.1}\n',
        *[b'{"type":"heartbeat"}\n'] * 3,
    ]


def test_a_station_that_hangs_is_noticed(tmp_path: Path) -> None:
    clock = SteppingClock()

    async def run(station: FakeStation) -> None:
        async with AsyncClient(tmp_path / "s.sock", clock=clock) as link:
            station.hold()
            trigger = await link.trigger()
            station.go_silent()
            clock.step_ns = 100_000_000_000
            with pytest.raises(LinkError, match="silent: no heartbeat in time"):
                await link.result(trigger, timeout_s=600)

    with FakeStation(tmp_path / "s.sock") as station:
        asyncio.run(run(station))


def test_a_request_given_up_when_the_connection_has_failed_leaves_no_error_for_asyncio_to_print(tmp_path: Path) -> None:
    printed: list[dict[str, object]] = []

    async def scene(station: FakeStation, link: AsyncClient) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: printed.append(context))
        link._fail(LinkError("no heartbeat in time"))
        asked = asyncio.ensure_future(link.snapshot())
        await asyncio.sleep(0)  # it waits for its line to go out
        asked.cancel()
        ended = await asyncio.gather(asked, return_exceptions=True)
        assert isinstance(ended[0], asyncio.CancelledError | LinkError)
        del asked, ended
        gc.collect()

    play(tmp_path, scene)
    assert printed == []


def test_a_send_that_was_cut_off_ends_the_connection(tmp_path: Path) -> None:
    async def scene(station: FakeStation, link: AsyncClient) -> None:
        station.go_silent()
        flood = [asyncio.ensure_future(link.recipe("x" * 128)) for _ in range(3000)]
        for _ in range(20_000):  # more turns of the loop than there are steps until the socket is full
            await asyncio.sleep(0)
        for one in flood:
            one.cancel()
        ended = {type(one) for one in await asyncio.gather(*flood, return_exceptions=True)}
        assert ended <= {asyncio.CancelledError, LinkError}
        station.speak()
        with pytest.raises(LinkError, match="is lost"):
            await link.snapshot()

    play(tmp_path, scene, limits=LinkLimits(heartbeat_s=60.0))


def test_where_nobody_listens_is_said(tmp_path: Path) -> None:
    async def run() -> None:
        async with AsyncClient(tmp_path / "nobody.sock"):
            raise AssertionError("connected to nobody")

    with pytest.raises(EdgeAdError, match=r"no station listens on .*nobody\.sock"):
        asyncio.run(run())
