"""The Modbus server, asked by pymodbus's own client and by raw sockets."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from pymodbus.client import AsyncModbusTcpClient
from support.plc_ends import Plc, connected, play, until

from edge_ad.controllers import FaultCode, RefusalCode, ResultCode
from edge_ad.controllers.gateway import Gateway
from edge_ad.controllers.layout import INPUTS, OUTPUTS
from edge_ad.controllers.modbus import SERVER, ModbusServerSettings
from edge_ad.controllers.modbus.server import FIRST_INPUT, FIRST_OUTPUT, ModbusServer
from edge_ad.errors import DeviceError, InputError
from edge_ad.link import FakeStation, Judgement
from edge_ad.verdict import State


def settings(**more: Any) -> ModbusServerSettings:
    patient = {"port": 0, "window_ms": 60_000, "acknowledge_ms": 60_000, "requests_per_s": 100_000}
    return ModbusServerSettings(protocol="modbus", **patient | more)


class Registers:
    """What a controller does with function codes 3 and 16."""

    def __init__(self, client: AsyncModbusTcpClient) -> None:
        self.client = client

    async def read(self) -> list[int]:
        answer = await self.client.read_holding_registers(FIRST_OUTPUT, count=OUTPUTS.words)
        assert not answer.isError()
        return list(answer.registers)

    async def write(self, words: list[int]) -> None:
        assert not (await self.client.write_registers(FIRST_INPUT, words)).isError()


@contextlib.asynccontextmanager
async def client(port: int) -> AsyncIterator[AsyncModbusTcpClient]:
    one = AsyncModbusTcpClient("127.0.0.1", port=port, retries=0, timeout=60)
    assert await one.connect()
    try:
        yield one
    finally:
        one.close()


Scene = Callable[[FakeStation, ModbusServer], Awaitable[None]]


def serve(path: Path, scene: Scene, *, judge: Any = None, recipes: tuple[str, ...] = (), **more: Any) -> FakeStation:
    async def run(station: FakeStation) -> None:
        servers: list[ModbusServer] = []

        async def start(gateway: Gateway) -> None:
            server = ModbusServer(settings(**more), gateway, "plc")
            await server.start()
            servers.append(server)
            await server.run()

        async with connected(path, settings(**more), start):
            await until(lambda: bool(servers))
            await scene(station, servers[0])

    return play(path, run, judge=judge, recipes=recipes)


def drive(path: Path, scene: Callable[[FakeStation, Plc], Awaitable[None]], **more: Any) -> FakeStation:
    async def run(station: FakeStation, server: ModbusServer) -> None:
        async with client(server.port) as one:
            await scene(station, Plc(Registers(one), more.get("word_order", "big")))

    return serve(path, run, **more)


async def raw(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port)


def frame(request: bytes, number: int = 1, unit: int = 1) -> bytes:
    return struct.pack(">HHHB", number, 0, len(request) + 1, unit) + request


async def answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    number, _, length, _ = struct.unpack(">HHHB", await asyncio.wait_for(reader.readexactly(7), 60))
    return number, await reader.readexactly(length - 1)


READ_ALL = struct.pack(">BHH", 3, FIRST_OUTPUT, OUTPUTS.words)


@pytest.mark.parametrize("order", ["big", "little"])
def test_parts_go_through(tmp_path: Path, order: str) -> None:
    states = {"P1": State.ACCEPT, "P2": State.REJECT, "P70000": State.INVALID}

    async def scene(_: FakeStation, plc: Plc) -> None:
        results = [await plc.inspect(number, f"P{number}") for number in (1, 2, 70_000)]
        assert [one.result_part_number for one in results] == [1, 2, 70_000]
        assert [one.result_part_id for one in results] == ["P1", "P2", "P70000"]
        assert [(one.ok, one.ng, one.error) for one in results] == [
            (True, False, False),
            (False, True, False),
            (False, True, True),
        ]
        assert [one.result_code for one in results] == [ResultCode.ACCEPT, ResultCode.REJECT, ResultCode.INVALID]
        last = await plc.outputs()
        assert (last.count_total, last.count_ok, last.count_ng, last.count_invalid) == (3, 1, 1, 1)

    drive(tmp_path / "s.sock", scene, judge=lambda asked: Judgement(states[asked.request.part_id]), word_order=order)


def test_a_trigger_is_refused_with_its_reason(tmp_path: Path) -> None:
    async def scene(station: FakeStation, plc: Plc) -> None:
        assert (await plc.inspect(1)).ok
        again = await plc.trigger(1)
        assert (again.trigger_error, again.refusal_code) == (True, RefusalCode.DUPLICATE)
        lower = await plc.trigger(0, "P0")
        assert lower.trigger_ack
        await plc.take()
        station.fault("camera top")
        faulted = await plc.wait_for(lambda out: out.fault)
        assert (faulted.fault_code, faulted.ready, faulted.ng, faulted.ok) == (FaultCode.CAMERA, False, True, False)
        refused = await plc.trigger(2)
        assert refused.trigger_error
        await plc.write(fault_reset=True)
        await plc.wait_for(lambda out: out.ready)
        await plc.write(fault_reset=False)
        assert (await plc.inspect(3)).ok

    drive(tmp_path / "s.sock", scene)


def test_numbers_that_do_not_rise_and_triggers_that_come_too_early(tmp_path: Path) -> None:
    async def scene(station: FakeStation, plc: Plc) -> None:
        assert (await plc.inspect(5)).ok
        assert (await plc.trigger(4)).refusal_code == RefusalCode.OUT_OF_ORDER
        station.hold()
        for number in (6, 7):
            assert (await plc.trigger(number)).trigger_ack
        assert (await plc.trigger(8)).refusal_code == RefusalCode.TOO_MANY_OPEN
        station.release()
        assert [(await plc.take()).result_part_number for _ in range(2)] == [6, 7]

    drive(tmp_path / "s.sock", scene, ordered=True, max_open=2)


def test_another_recipe_in_the_middle_of_a_part(tmp_path: Path) -> None:
    async def scene(station: FakeStation, plc: Plc) -> None:
        station.hold()
        assert (await plc.trigger(1)).trigger_ack
        await plc.write(recipe=2)
        changed = await plc.wait_for(lambda out: out.recipe_ack)
        assert changed.recipe_active == 2
        station.release()
        assert (await plc.take()).result_part_number == 1
        await plc.write(recipe=9)
        wrong = await plc.wait_for(lambda out: out.recipe_error)
        assert (wrong.ready, wrong.recipe_active) == (False, 2)
        assert (await plc.trigger(2)).refusal_code == RefusalCode.RECIPE_PENDING
        await plc.write(recipe=0)
        assert (await plc.inspect(3)).ok

    drive(tmp_path / "s.sock", scene, recipes=("small", "large"))


def test_a_controller_that_falls_silent_and_comes_back(tmp_path: Path) -> None:
    async def scene(_: FakeStation, server: ModbusServer) -> None:
        async with client(server.port) as one:
            plc = Plc(Registers(one))
            await plc.write(heartbeat=1)
            await plc.inspect(1)
        async with client(server.port) as one:
            plc = Plc(Registers(one))
            silent = await plc.wait_for(lambda out: out.fault)
            assert (silent.fault_code, silent.ok, silent.ready) == (FaultCode.CONTROLLER_SILENT, False, False)
            await plc.write(heartbeat=2, result_ack=silent.result_valid)
            await plc.wait_for(lambda out: out.ready)

    serve(tmp_path / "s.sock", scene, controller_silent_ms=50)


def test_a_station_that_goes_and_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"

    async def scene(station: FakeStation, plc: Plc) -> None:
        station.hold()
        assert (await plc.trigger(1)).trigger_ack
        await asyncio.to_thread(station.close)
        lost = await plc.take()
        assert (lost.result_part_number, lost.ok, lost.error) == (1, False, True)
        assert lost.result_code == ResultCode.STATION_AWAY
        assert (await plc.trigger(2)).refusal_code == RefusalCode.STATION_AWAY
        with FakeStation(path):
            assert (await plc.inspect(3)).ok

    drive(path, scene)


def test_bits_have_addresses_of_their_own(tmp_path: Path) -> None:
    async def scene(_: FakeStation, server: ModbusServer) -> None:
        async with client(server.port) as one:
            bits = 16 * (FIRST_OUTPUT + 1)
            plc = Plc(Registers(one))
            await plc.wait_for(lambda out: out.ready)
            (await one.write_coil(16 * (FIRST_INPUT + 1), True)).isError()
            await plc.wait_for(lambda out: out.trigger_ack)
            registers = (await one.read_input_registers(FIRST_OUTPUT + 1, count=1)).registers
            for read in (one.read_coils, one.read_discrete_inputs):
                found = (await read(bits, count=16)).bits
                assert [bool(registers[0] >> bit & 1) for bit in range(16)] == found
                assert found[1]
                assert (await read(bits + 1, count=1)).bits[0]
            assert (await one.write_coils(16 * (FIRST_INPUT + 1), [False, True, False])).isError() is False
            await plc.wait_for(lambda out: not out.trigger_ack)
            assert (await one.read_holding_registers(FIRST_INPUT + 1, count=1)).registers == [0b10]

    serve(tmp_path / "s.sock", scene)


def test_single_registers_masks_and_reading_what_is_written(tmp_path: Path) -> None:
    async def scene(_: FakeStation, server: ModbusServer) -> None:
        async with client(server.port) as one:
            plc = Plc(Registers(one))
            await plc.wait_for(lambda out: out.ready)
            await one.write_register(FIRST_INPUT + 5, 77)
            await one.mask_write_register(address=FIRST_INPUT + 1, and_mask=0xFFFE, or_mask=1)
            acked = await plc.wait_for(lambda out: out.trigger_ack)
            assert acked.trigger_part_number == 77
            both = await one.readwrite_registers(
                read_address=FIRST_INPUT, read_count=2, write_address=FIRST_INPUT + 1, values=[0]
            )
            assert both.registers == [0, 0]
            await plc.wait_for(lambda out: not out.trigger_ack)
            shown = await plc.take()
            assert (shown.result_part_number, shown.count_total) == (77, 1)

    serve(tmp_path / "s.sock", scene)


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        pytest.param(struct.pack(">BHHB2s", 16, 0, 1, 2, b"\0\1"), 2, id="write an output"),
        pytest.param(struct.pack(">BHH", 6, 43, 1), 2, id="write the last output"),
        pytest.param(struct.pack(">BHH", 5, 16, 0xFF00), 2, id="write a bit of the outputs"),
        pytest.param(struct.pack(">BHH", 5, 1616, 0x1234), 3, id="a bit that is neither on nor off"),
        pytest.param(struct.pack(">BHH", 3, 40, 10), 2, id="read beyond the outputs"),
        pytest.param(struct.pack(">BHH", 3, 100, 23), 2, id="read beyond the inputs"),
        pytest.param(struct.pack(">BHH", 3, 0, 0), 3, id="read nothing"),
        pytest.param(struct.pack(">BHH", 3, 0, 126), 3, id="read too many"),
        pytest.param(struct.pack(">BHHB", 16, 100, 3, 6), 3, id="less than it says"),
        pytest.param(b"\x03\x00", 3, id="cut off"),
        pytest.param(b"\x08\x00\x04\x00\x00", 1, id="listen only"),
        pytest.param(b"\x2b\x0e\x01\x00", 1, id="device identification"),
        pytest.param(b"\x63", 1, id="no such function"),
        pytest.param(b"\x83\x02", 1, id="an answer"),
    ],
)
def test_requests_that_cannot_be_answered_get_their_exception(tmp_path: Path, request_: bytes, code: int) -> None:
    async def scene(_: FakeStation, server: ModbusServer) -> None:
        reader, writer = await raw(server.port)
        writer.write(frame(request_, 5) + frame(READ_ALL, 6))
        assert await answer(reader) == (5, bytes([request_[0] | 0x80, code]))
        number, good = await answer(reader)
        assert (number, good[:2]) == (6, bytes([3, 2 * OUTPUTS.words]))
        writer.close()

    serve(tmp_path / "s.sock", scene)


@pytest.mark.parametrize(("unit", "first"), [(7, 3), (0, 3), (255, 3), (1, 0x83)])
def test_units(tmp_path: Path, unit: int, first: int) -> None:
    async def scene(_: FakeStation, server: ModbusServer) -> None:
        reader, writer = await raw(server.port)
        writer.write(frame(READ_ALL, unit=unit))
        assert (await answer(reader))[1][0] == first
        writer.close()

    serve(tmp_path / "s.sock", scene, unit=7)


def test_many_requests_at_once_are_all_answered_in_their_order(tmp_path: Path) -> None:
    async def scene(_: FakeStation, server: ModbusServer) -> None:
        reader, writer = await raw(server.port)
        writer.write(b"".join(frame(READ_ALL, number) for number in range(300)))
        assert [(await answer(reader))[0] for _ in range(300)] == list(range(300))
        writer.close()

    serve(tmp_path / "s.sock", scene)


def test_no_read_sees_half_a_result(tmp_path: Path) -> None:
    """Every result has one number in two of its fields; other clients read without a pause while results come."""

    async def scene(_: FakeStation, server: ModbusServer) -> None:
        seen: set[tuple[int, str]] = set()
        is_over = asyncio.Event()

        async def watch() -> None:
            async with client(server.port) as one:
                watching = Plc(Registers(one))
                while not is_over.is_set():
                    out = await watching.outputs()
                    seen.add((out.result_part_number, out.result_part_id))

        watchers = [asyncio.ensure_future(watch()) for _ in range(3)]
        async with client(server.port) as one:
            plc = Plc(Registers(one))
            for number in range(1, 60):
                await plc.inspect(number, str(number))
        is_over.set()
        await asyncio.gather(*watchers)
        assert len(seen) > 10
        assert [pair for pair in seen if pair[1] != (str(pair[0]) if pair[0] else "")] == []

    serve(tmp_path / "s.sock", scene)


def test_another_version_in_the_inputs_is_not_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scene(station: FakeStation, server: ModbusServer) -> None:
        async with client(server.port) as one:
            plc = Plc(Registers(one))
            await plc.wait_for(lambda out: out.ready)
            words = [0x0100, 1, *[0] * (INPUTS.words - 2)]
            for _ in range(3):
                await Registers(one).write(words)
            assert (await plc.outputs()).trigger_ack is False
            assert (await plc.inspect(1)).ok

    station = serve(tmp_path / "s.sock", scene)
    assert len([one for one in station.requests if getattr(one.request, "part_id", None)]) == 1
    assert [one.message for one in caplog.records].count(
        "Modbus: register 100 says version 256, expected 0 to 1: what the controller writes is not read"
    ) == 1


def test_ten_clients_at_once(tmp_path: Path) -> None:
    async def scene(_: FakeStation, server: ModbusServer) -> None:
        async with contextlib.AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(client(server.port)) for _ in range(10)]
            plcs = [Plc(Registers(one)) for one in clients]
            for number in range(1, 21):
                assert (await plcs[0].inspect(number)).ok
                others = await asyncio.gather(*(one.outputs() for one in plcs))
                assert {one.result_part_number for one in others} == {number}

    serve(tmp_path / "s.sock", scene, connections=10)


def test_one_client_too_many(tmp_path: Path) -> None:
    async def scene(_: FakeStation, server: ModbusServer) -> None:
        async with client(server.port) as one, client(server.port) as other:
            assert (await Registers(other).read())[0] == 1
            reader, writer = await raw(server.port)
            assert await reader.read() == b""
            writer.close()
            assert (await Registers(one).read())[0] == 1

    serve(tmp_path / "s.sock", scene, connections=2, idle_s=3_600)


def test_a_client_that_asks_nothing_gives_way(tmp_path: Path) -> None:
    async def scene(_: FakeStation, server: ModbusServer) -> None:
        reader, idle = await raw(server.port)
        await asyncio.sleep(0.05)  # many times idle_s
        async with client(server.port) as one:
            assert (await Registers(one).read())[0] == 1
            await asyncio.sleep(0.05)
            async with client(server.port) as other:
                assert (await Registers(other).read())[0] == 1
        assert await reader.read() == b""
        idle.close()

    serve(tmp_path / "s.sock", scene, connections=1, idle_s=0.001)


@pytest.mark.parametrize(
    "noise",
    [
        pytest.param(b"GET / HTTP/1.1\r\nHost: plc\r\n\r\n", id="http"),
        pytest.param(b"\0\1\0\0\0\0\1\3", id="no length"),
        pytest.param(b"\0\1\0\0\xff\xff\1" + b"\3" * 300, id="too long"),
    ],
)
def test_what_is_no_modbus_is_hung_up_on(tmp_path: Path, noise: bytes) -> None:
    async def scene(_: FakeStation, server: ModbusServer) -> None:
        async with client(server.port) as one:
            reader, writer = await raw(server.port)
            writer.write(noise)
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
            writer.close()
            assert (await Registers(one).read())[0] == 1

    serve(tmp_path / "s.sock", scene)


def test_floods_and_readers_that_do_not_read_hurt_nobody(tmp_path: Path) -> None:
    async def scene(_: FakeStation, server: ModbusServer) -> None:
        async def flood() -> None:
            _, writer = await raw(server.port)
            try:
                while True:
                    writer.write(frame(READ_ALL) * 1_000)
                    await writer.drain()
            finally:
                writer.transport.abort()

        floods = [asyncio.ensure_future(flood()) for _ in range(4)]
        async with client(server.port) as one:
            plc = Plc(Registers(one))
            for number in range(1, 30):
                assert (await plc.inspect(number)).ok
        for one_flood in floods:
            one_flood.cancel()
        await asyncio.gather(*floods, return_exceptions=True)

    serve(tmp_path / "s.sock", scene)


def test_who_asks_too_often_waits(tmp_path: Path) -> None:
    async def scene(_: FakeStation, server: ModbusServer) -> None:
        reader, writer = await raw(server.port)
        begin = asyncio.get_running_loop().time()
        writer.write(frame(READ_ALL) * 20)
        for _number in range(20):
            await answer(reader)
        assert asyncio.get_running_loop().time() - begin > 0.1  # 20 at 100/s, of which 5 may come at once
        writer.close()

    serve(tmp_path / "s.sock", scene, requests_per_s=100)


def test_only_those_who_are_allowed(tmp_path: Path) -> None:
    async def scene(_: FakeStation, server: ModbusServer) -> None:
        reader, writer = await raw(server.port)
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()

    serve(tmp_path / "s.sock", scene, allow=("192.168.7.0/24",))


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    async def scene(_: FakeStation, server: ModbusServer) -> None:
        second = ModbusServer(settings(port=server.port), Gateway(tmp_path / "s.sock", "b"), "b")
        with pytest.raises(DeviceError, match=f"cannot listen on 127.0.0.1 port {server.port}: .*in use"):
            await second.run()

    serve(tmp_path / "s.sock", scene)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"host": "0.0.0.0"}, "controller.allow is missing"),  # noqa: S104
        ({"host": "plc"}, "controller.host: expected an address"),
        ({"allow": ("10.0.0.1/8",)}, "controller.allow: expected addresses or networks: .*host bits set"),
    ],
)
def test_settings_that_cannot_be(more: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        SERVER.check(settings(**more))


def test_settings_that_are_fine() -> None:
    SERVER.check(settings())
    SERVER.check(settings(host="0.0.0.0", allow=("10.0.0.0/8", "192.168.0.7")))  # noqa: S104
