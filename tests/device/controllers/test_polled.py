"""Controllers whose memory we read and write: the handshake, and one that is away, hangs, or says nonsense.

The controllers are servers of pymodbus, snap7 and cpppo in processes of their own; their programs are clients of those.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.plc_ends import Plc, connected, log_lines, play, told
from support.plc_servers import PLCS, PlcProcess, plc_process
from support.ports import free_port

from edge_ad.controllers import FaultCode, Gateway, RefusalCode, ResultCode
from edge_ad.controllers.adapter import Protocol, load_protocol
from edge_ad.controllers.ethernet_ip import EthernetIpSettings
from edge_ad.controllers.modbus import ModbusClientSettings
from edge_ad.controllers.polling import PollSettings
from edge_ad.controllers.s7 import S7Settings
from edge_ad.errors import InputError
from edge_ad.link import FakeStation, Judgement
from edge_ad.verdict import State

EACH = pytest.mark.parametrize("name", list(PLCS))


@pytest.fixture
def plc(name: str) -> Iterator[tuple[PlcProcess, Any]]:
    with plc_process(name) as both:
        yield both


def patient(settings: PollSettings, **more: Any) -> PollSettings:
    return msgspec.structs.replace(
        settings, **{"window_ms": 60_000, "acknowledge_ms": 60_000, "timeout_ms": 60_000} | more
    )


@contextlib.asynccontextmanager
async def adapter(path: Path, name: str, settings: PollSettings) -> AsyncIterator[Gateway]:
    protocol: Protocol = load_protocol(name, "test")

    async def run(gateway: Gateway) -> None:
        await protocol.run(settings, gateway, "plc")

    async with connected(path, settings, run) as gateway:
        yield gateway


@contextlib.contextmanager
def program(process: PlcProcess, settings: PollSettings) -> Iterator[Plc]:
    """The controller's own program."""
    memory = process.memory()
    try:
        yield Plc(memory, settings.word_order)
    finally:
        memory.close()


Scene = Callable[[FakeStation, Plc], Awaitable[None]]


def drive(path: Path, name: str, plc: tuple[PlcProcess, Any], scene: Scene, **more: Any) -> None:
    process, settings = plc
    judge = more.pop("judge", None)

    async def run(station: FakeStation) -> None:
        one = patient(settings, **more)
        with program(process, one) as running:
            async with adapter(path, name, one):
                await scene(station, running)

    play(path, run, judge=judge, recipes=("small", "large"))


@EACH
def test_parts_go_through(tmp_path: Path, name: str, plc: tuple[PlcProcess, Any]) -> None:
    states = {"Größe 1": State.ACCEPT, "P2": State.REJECT, "70000": State.INVALID}

    async def scene(_: FakeStation, plc: Plc) -> None:
        results = [await plc.inspect(number, part_id) for number, part_id in ((1, "Größe 1"), (2, "P2"), (70_000, ""))]
        assert [(one.result_part_number, one.result_part_id) for one in results] == [
            (1, "Größe 1"),
            (2, "P2"),
            (70_000, "70000"),
        ]
        assert [(one.ok, one.ng, one.error) for one in results] == [
            (True, False, False),
            (False, True, False),
            (False, True, True),
        ]

    drive(tmp_path / "s.sock", name, plc, scene, judge=lambda asked: Judgement(states[asked.request.part_id]))


@EACH
def test_refusals_faults_and_recipes(tmp_path: Path, name: str, plc: tuple[PlcProcess, Any]) -> None:
    async def scene(station: FakeStation, plc: Plc) -> None:
        assert (await plc.inspect(1)).ok
        assert (await plc.trigger(1)).refusal_code == RefusalCode.DUPLICATE
        await plc.write(recipe=2)
        assert (await plc.wait_for(lambda out: out.recipe_ack)).recipe_active == 2
        station.fault("scorer top")
        faulted = await plc.wait_for(lambda out: out.fault)
        assert (faulted.fault_code, faulted.ok, faulted.ng) == (FaultCode.SCORER, False, True)
        assert (await plc.trigger(2)).trigger_error
        await plc.write(fault_reset=True)
        assert (await plc.inspect(3)).ok

    drive(tmp_path / "s.sock", name, plc, scene)


@EACH
def test_no_bit_comes_before_its_data(tmp_path: Path, name: str, plc: tuple[PlcProcess, Any]) -> None:
    """The program reads without a pause: when ``result_valid`` has changed, number and id are those of the result."""

    async def scene(_: FakeStation, plc: Plc) -> None:
        for number in range(1, 13):
            shown = await plc.inspect(number, f"part {number}")
            assert (shown.result_part_number, shown.result_part_id) == (number, f"part {number}")

    drive(tmp_path / "s.sock", name, plc, scene)


@EACH
@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_a_controller_that_goes_and_comes_back(
    tmp_path: Path, name: str, how: str, plc: tuple[PlcProcess, Any]
) -> None:
    process, settings = plc
    leave, come = {"killed": (process.kill, process.start), "stopped": (process.stop, process.go_on)}[how]

    async def scene(station: FakeStation) -> None:
        one = patient(settings, timeout_ms=2_000)
        async with adapter(tmp_path / "s.sock", name, one) as gateway:
            with program(process, one) as before:
                station.hold()
                assert (await before.trigger(1)).trigger_ack
                number = station.open[0].number
            leave()
            with gateway.events() as events:
                station.release()
                async for event in events:
                    if getattr(event, "trigger", None) == number:
                        break
            come()
            with program(process, one) as after:
                after.inputs = before.inputs
                await after.write()
                shown = await after.take()
                assert shown.result_part_number == 1
                assert not (shown.ok and shown.ng)
                await after.write(trigger=False)
                assert (await after.inspect(2)).ok

    play(tmp_path / "s.sock", scene)


@EACH
def test_an_accept_that_could_not_be_told_in_time_is_none(
    tmp_path: Path, name: str, plc: tuple[PlcProcess, Any]
) -> None:
    """The result came while the controller was away: by then its program has rejected the part."""
    process, settings = plc

    async def scene(station: FakeStation) -> None:
        one = patient(settings, timeout_ms=2_000)
        async with adapter(tmp_path / "s.sock", name, one):
            with program(process, one) as before:
                assert (await before.inspect(1)).ok
            process.kill()
            assert await told(caught, "no controller")
            process.start()
            with program(process, one) as after:
                after.inputs = before.inputs
                await after.write()
                shown = await after.wait_for(lambda out: out.result_part_number == 1)
                assert (shown.ok, shown.result_code) == (False, ResultCode.FAULT)

    caught: list[str] = []
    with log_lines(caught):
        play(tmp_path / "s.sock", scene)
    assert sum("no controller" in line for line in caught) == 1
    assert sum("connected to the controller" in line for line in caught) == 2


@EACH
def test_a_controller_that_comes_later_than_we(tmp_path: Path, name: str) -> None:
    port = free_port()
    command, settings, side = PLCS[name](port)
    process = PlcProcess(command, port, lambda: side(port))

    async def scene(_: FakeStation) -> None:
        async with adapter(tmp_path / "s.sock", name, patient(settings)):
            process.start()
            with program(process, settings) as plc:
                assert (await plc.inspect(1)).ok

    try:
        play(tmp_path / "s.sock", scene)
    finally:
        process.kill()


@EACH
def test_another_version_in_the_controllers_words_is_not_read(
    tmp_path: Path, name: str, plc: tuple[PlcProcess, Any]
) -> None:
    process, settings = plc
    caught: list[str] = []

    async def scene(station: FakeStation) -> None:
        with program(process, settings) as one:
            await one._memory.write([0x0100, 1, *[0] * 20])
            async with adapter(tmp_path / "s.sock", name, patient(settings)):
                assert await told(caught, "says version 256")
                await one.write()
                assert (await one.inspect(1)).ok

    with log_lines(caught):
        station = play(tmp_path / "s.sock", scene)
    assert len([asked for asked in station.requests if getattr(asked.request, "part_id", None)]) == 1


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            ModbusClientSettings(protocol="modbus-client", host="plc", inputs_address=43),
            "inputs_address: the registers 43 to 64 overlap with those of outputs_address, 0 to 43",
        ),
        (
            ModbusClientSettings(protocol="modbus-client", host="plc", outputs_address=65_500),
            "outputs_address: expected an area that ends at register 65535, it would end at 65543",
        ),
        (
            S7Settings(protocol="s7", host="plc", db=1, inputs_byte=86),
            "inputs_byte: the bytes 86 to 129 overlap",
        ),
        (
            EthernetIpSettings(protocol="ethernet-ip", host="plc", outputs_tag="One", inputs_tag="One"),
            "inputs_tag: expected another tag than outputs_tag, both are One",
        ),
    ],
)
def test_settings_that_cannot_be(settings: PollSettings, said: str) -> None:
    protocol = load_protocol(settings.protocol, "test")
    with pytest.raises(InputError, match=said):
        protocol.check(settings)


@EACH
def test_settings_that_are_fine(name: str) -> None:
    load_protocol(name, "test").check(PLCS[name](1)[1])
