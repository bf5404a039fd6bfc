"""The way to the station, against the fake station: real sockets, no waiting for the clock."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge_ad.controllers import (
    FaultCode,
    Gateway,
    HandshakeSettings,
    Inputs,
    Outputs,
    PartRefusedError,
    RefusalCode,
    ResultCode,
    SignalExchange,
    SignalSettings,
)
from edge_ad.errors import LinkRefusedError
from edge_ad.link import FakeStation, PartResult
from edge_ad.link.messages import TriggerRequest
from edge_ad.verdict import State

Scene = Callable[[FakeStation, Gateway], Awaitable[None]]
SETTINGS = HandshakeSettings(protocol="test", window_ms=60_000)


async def until(true: Callable[[], bool]) -> None:
    async def wait() -> None:
        while not true():
            await asyncio.sleep(0.002)

    await asyncio.wait_for(wait(), 60)


def play(path: Path, scene: Scene, settings: HandshakeSettings = SETTINGS) -> FakeStation:
    async def run(station: FakeStation) -> None:
        gateway = Gateway(path, "test", settings)
        running = asyncio.create_task(gateway.run())
        await until(lambda: gateway.view.takes_triggers)
        try:
            await scene(station, gateway)
        finally:
            running.cancel()

    with FakeStation(path) as station:
        asyncio.run(run(station))
    return station


def test_every_part_has_its_own_outcome(tmp_path: Path) -> None:
    async def scene(station: FakeStation, gateway: Gateway) -> None:
        station.hold()
        futures = [await gateway.begin(f"P{number}", number) for number in range(5)]
        station.release()
        outcomes = await asyncio.gather(*futures)
        assert [(one.part_id, one.number, one.passes) for one in outcomes] == [(f"P{n}", n, True) for n in range(5)]

    play(tmp_path / "s.sock", scene)


def test_a_refusal_of_the_station_and_one_of_our_own_rules(tmp_path: Path) -> None:
    async def scene(station: FakeStation, gateway: Gateway) -> None:
        assert (await gateway.inspect("P1")).passes
        with pytest.raises(PartRefusedError) as caught:
            await gateway.inspect("P1")
        assert caught.value.reason == "duplicate"
        station.refuse("too_many_open")
        with pytest.raises(PartRefusedError) as caught:
            await gateway.inspect("P2")
        assert caught.value.reason == "too_many_open"

    play(tmp_path / "s.sock", scene)


def test_no_result_in_the_window_is_an_outcome(tmp_path: Path) -> None:
    async def scene(station: FakeStation, gateway: Gateway) -> None:
        station.hold()
        outcome = await gateway.inspect("P1")
        assert (outcome.state, outcome.code) == (State.INVALID, ResultCode.NO_RESULT)

    play(tmp_path / "s.sock", scene, HandshakeSettings(protocol="test", window_ms=30))


def test_a_reset_ends_a_fault_of_late_results_that_the_station_does_not_know(tmp_path: Path) -> None:
    async def scene(station: FakeStation, gateway: Gateway) -> None:
        station.hold()
        await gateway.inspect("P1")
        station.release()
        with pytest.raises(PartRefusedError, match="reset the fault"):
            await gateway.inspect("P2")
        await gateway.reset(by="anna")
        with pytest.raises(LinkRefusedError, match="not_in_fault"):
            await gateway.reset(by="anna")

    play(tmp_path / "s.sock", scene, HandshakeSettings(protocol="test", window_ms=30, late_limit=1))


async def refusal_of(gateway: Gateway, part_id: str) -> RefusalCode:
    with pytest.raises(PartRefusedError) as caught:
        await gateway.begin(part_id)
    return caught.value.refusal.code


def test_a_reset_lets_part_ids_repeat_only_where_there_was_a_fault(tmp_path: Path) -> None:
    async def scene(station: FakeStation, gateway: Gateway) -> None:
        await gateway.inspect("P1")
        with pytest.raises(LinkRefusedError, match="not_in_fault"):
            await gateway.reset(by="anna")
        assert await refusal_of(gateway, "P1") is RefusalCode.DUPLICATE
        station.fault("camera_lost")
        await until(lambda: gateway.view.is_fault)
        await gateway.reset(by="anna")
        await until(lambda: gateway.view.takes_triggers)
        assert (await gateway.inspect("P1")).passes

    play(tmp_path / "s.sock", scene)


def test_a_controller_that_is_started_again_knows_its_parts_and_only_those(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"

    async def parts(name: str, scene: Callable[[Gateway], Awaitable[None]]) -> None:
        gateway = Gateway(path, name, SETTINGS)
        running = asyncio.create_task(gateway.run())
        await until(lambda: gateway.view.takes_triggers)
        try:
            await scene(gateway)
        finally:
            running.cancel()

    async def before(gateway: Gateway) -> None:
        for number in range(100):
            await gateway.inspect(f"P{number}")

    async def after(gateway: Gateway) -> None:
        assert await refusal_of(gateway, "P99") is RefusalCode.DUPLICATE
        assert (await gateway.inspect("P100")).passes

    async def another(gateway: Gateway) -> None:
        assert (await gateway.inspect("P99")).passes

    async def run() -> None:
        await parts("web", before)
        await parts("web", after)
        await parts("other", another)

    with FakeStation(path):
        asyncio.run(run())


def test_signals_know_the_parts_from_before_their_start(tmp_path: Path) -> None:
    settings = SignalSettings(protocol="test", window_ms=60_000, acknowledge=False)

    async def scene(station: FakeStation, gateway: Gateway) -> None:
        await gateway.inspect("17")
        again = Gateway(tmp_path / "s.sock", "test", settings)
        exchange = SignalExchange(again, settings, lambda _: None, "test")
        tasks = [asyncio.create_task(one) for one in (exchange.run(), again.run())]
        await until(lambda: exchange.outputs.ready)
        exchange.read(Inputs(trigger=True, part_number=17))
        await until(lambda: exchange.outputs.trigger_error)
        assert exchange.outputs.refusal_code == RefusalCode.DUPLICATE
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert [getattr(one.request, "part_id", None) for one in station.requests].count("17") == 1

    play(tmp_path / "s.sock", scene)


def test_the_station_goes_and_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"

    async def scene() -> None:
        gateway = Gateway(path, "test", SETTINGS)
        running = asyncio.create_task(gateway.run())
        with pytest.raises(PartRefusedError, match="station_away"):
            await gateway.inspect("P1")
        for part_id in ("P2", "P3"):
            with FakeStation(path) as station:
                await until(lambda: gateway.view.takes_triggers)
                station.hold()
                future = await gateway.begin(part_id)
            outcome = await future
            assert (outcome.state, outcome.code) == (State.INVALID, ResultCode.STATION_AWAY)
            await until(lambda: not gateway.view.is_connected)
        running.cancel()

    asyncio.run(scene())


def test_an_answer_of_a_connection_that_is_gone_since_counts_for_nothing(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path / "s", "test", SETTINGS)

    class Ending:
        """A client whose station goes while its answer is on the way."""

        async def trigger(self, part_id: str | None) -> int:
            gateway._client = None
            return 7

        def give_up(self, trigger: int) -> None:
            pass

    gateway._client = Ending()  # type: ignore[assignment]
    with pytest.raises(PartRefusedError, match="station_away"):
        asyncio.run(gateway.begin("P1"))
    assert gateway._conversation.open == []


def test_other_clients_parts_are_heard_and_a_slow_reader_loses_the_oldest(tmp_path: Path) -> None:
    async def scene(_: FakeStation, gateway: Gateway) -> None:
        with gateway.events(limit=4) as events:
            for number in range(5):
                await gateway.inspect(f"P{number}")
            heard = [one async for one in _first(events, 4)]
        assert events.dropped > 0
        assert [one.part_id for one in heard if isinstance(one, PartResult)][-1] == "P4"

    play(tmp_path / "s.sock", scene)


def test_requests_name_who_asked(tmp_path: Path) -> None:
    async def scene(station: FakeStation, gateway: Gateway) -> None:
        await gateway.reset_counters(by="plc")
        with pytest.raises(LinkRefusedError):
            await gateway.acknowledge("nothing", by="anna")
        names = [getattr(one.request, "by", None) for one in station.requests]
        assert [one for one in names if one] == ["plc", "anna"]

    play(tmp_path / "s.sock", scene)


def test_signals_drive_the_station(tmp_path: Path) -> None:
    async def scene(station: FakeStation, gateway: Gateway) -> None:
        shown: list[Outputs] = []
        inputs = Inputs()
        exchange = SignalExchange(gateway, SignalSettings(protocol="test", window_ms=60_000), shown.append, "plc")
        running = asyncio.create_task(exchange.run())

        def write(**signals: Any) -> None:
            nonlocal inputs
            inputs = msgspec.structs.replace(inputs, **signals)
            exchange.read(inputs)

        for number in (1, 2, 3):
            await until(lambda: exchange.outputs.ready)
            write(trigger=True, part_number=number)
            await until(lambda: exchange.outputs.trigger_ack)
            write(trigger=False)
            await until(lambda number=number: exchange.outputs.result_part_number == number)  # type: ignore[misc]
            assert exchange.outputs.ok
            write(result_ack=exchange.outputs.result_valid)
        assert [one.result_valid for one in shown if one.result_part_number] != []
        station.fault("camera top")
        await until(lambda: exchange.outputs.fault)
        assert exchange.outputs.fault_code == FaultCode.CAMERA
        assert not exchange.outputs.ok
        write(fault_reset=True)
        await until(lambda: exchange.outputs.ready)
        running.cancel()

    play(tmp_path / "s.sock", scene)


async def _first(events: Any, count: int) -> Any:
    async for event in events:
        yield event
        count -= 1
        if not count:
            return


def test_a_look_at_the_station_that_swallows_its_cancellation_holds_nothing_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As ``asyncio.wait_for`` does before Python 3.12, where what it waits for ends in the same moment."""
    swallowed: list[asyncio.CancelledError] = []

    async def look_again(_: Gateway, __: object) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as error:
            swallowed.append(error)
        await asyncio.Event().wait()

    async def scene() -> None:
        gateway = Gateway(path, "test", SETTINGS)
        running = asyncio.create_task(gateway.run())
        await until(lambda: gateway.view.snapshot is not None)
        await asyncio.sleep(0)
        running.cancel()
        await asyncio.wait({running}, timeout=60)
        assert running.cancelled()

    path = tmp_path / "s.sock"
    monkeypatch.setattr(Gateway, "_look_again", look_again)
    with FakeStation(path):
        asyncio.run(scene())
    assert len(swallowed) == 1


def test_commands_without_an_answer_do_not_pile_up(tmp_path: Path) -> None:
    async def scene(station: FakeStation, gateway: Gateway) -> None:
        shown: list[Outputs] = []
        exchange = SignalExchange(gateway, SignalSettings(protocol="test", window_ms=60_000), shown.append, "plc")
        running = asyncio.create_task(exchange.run())
        await until(lambda: exchange.outputs.ready)
        station.go_silent()
        for number in range(1_000):
            exchange.read(Inputs(counter_reset=number % 2 == 0))
        exchange.read(Inputs(trigger=True, part_number=1))
        assert shown[-1].refusal_code == RefusalCode.TOO_MANY_OPEN
        exchange.read(Inputs())
        station.speak()
        await until(lambda: not exchange._tasks)
        exchange.read(Inputs(trigger=True, part_number=2))
        await until(lambda: shown[-1].trigger_ack)
        assert _resets(station) == 64
        running.cancel()

    play(tmp_path / "s.sock", scene)


def _resets(station: FakeStation) -> int:
    return sum(type(one.request).__name__ == "ResetCountersRequest" for one in station.requests)


def test_while_it_is_away_it_does_not_connect(tmp_path: Path) -> None:
    async def run(station: FakeStation) -> None:
        gateway = Gateway(tmp_path / "s.sock", "test", SETTINGS)
        with gateway.away():
            running = asyncio.create_task(gateway.run())
            for _ in range(100):
                await asyncio.sleep(0)
            assert not running.done()
            assert not gateway.view.is_connected
        with gateway.away():  # at once after the first one
            for _ in range(100):
                await asyncio.sleep(0.001)
            assert not gateway.view.is_connected
        await until(lambda: gateway.view.takes_triggers)
        running.cancel()

    with FakeStation(tmp_path / "s.sock") as station:
        asyncio.run(run(station))


def test_parts_with_an_empty_id_have_none_and_are_not_the_same(tmp_path: Path) -> None:
    async def scene(station: FakeStation, gateway: Gateway) -> None:
        outcomes = [await gateway.inspect("") for _ in range(2)]
        assert [one.passes for one in outcomes] == [True, True]
        assert [one.request.part_id for one in station.requests if isinstance(one.request, TriggerRequest)] == [
            None
        ] * 2

    play(tmp_path / "s.sock", scene)
