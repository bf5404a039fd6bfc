"""What others may send to the Modbus server, and how many they may be."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from pathlib import Path
from typing import Any

import pytest
from support.modbus_ends import (
    READ_ALL,
    Registers,
    answer,
    frame,
    modbus_client,
    modbus_settings,
    raw_modbus,
    serve_modbus,
)
from support.plc_ends import Plc

from edge_ad.controllers.gateway import Gateway
from edge_ad.controllers.layout import OUTPUTS
from edge_ad.controllers.modbus import SERVER
from edge_ad.controllers.modbus.server import ModbusServer
from edge_ad.errors import DeviceError, InputError
from edge_ad.link import FakeStation


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
        reader, writer = await raw_modbus(server.port)
        writer.write(frame(request_, 5) + frame(READ_ALL, 6))
        assert await answer(reader) == (5, bytes([request_[0] | 0x80, code]))
        number, good = await answer(reader)
        assert (number, good[:2]) == (6, bytes([3, 2 * OUTPUTS.words]))
        writer.close()

    serve_modbus(tmp_path / "s.sock", scene)


@pytest.mark.parametrize(("unit", "first"), [(7, 3), (0, 3), (255, 3), (1, 0x83)])
def test_units(tmp_path: Path, unit: int, first: int) -> None:
    async def scene(_: FakeStation, server: ModbusServer) -> None:
        reader, writer = await raw_modbus(server.port)
        writer.write(frame(READ_ALL, unit=unit))
        assert (await answer(reader))[1][0] == first
        writer.close()

    serve_modbus(tmp_path / "s.sock", scene, unit=7)


def test_many_requests_at_once_are_all_answered_in_their_order(tmp_path: Path) -> None:
    async def scene(_: FakeStation, server: ModbusServer) -> None:
        reader, writer = await raw_modbus(server.port)
        writer.write(b"".join(frame(READ_ALL, number) for number in range(300)))
        assert [(await answer(reader))[0] for _ in range(300)] == list(range(300))
        writer.close()

    serve_modbus(tmp_path / "s.sock", scene)


def test_ten_clients_at_once(tmp_path: Path) -> None:
    async def scene(_: FakeStation, server: ModbusServer) -> None:
        async with contextlib.AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(modbus_client(server.port)) for _ in range(10)]
            plcs = [Plc(Registers(one)) for one in clients]
            for number in range(1, 21):
                assert (await plcs[0].inspect(number)).ok
                others = await asyncio.gather(*(one.outputs() for one in plcs))
                assert {one.result_part_number for one in others} == {number}

    serve_modbus(tmp_path / "s.sock", scene, connections=10)


def test_one_client_too_many(tmp_path: Path) -> None:
    async def scene(_: FakeStation, server: ModbusServer) -> None:
        async with modbus_client(server.port) as one, modbus_client(server.port) as other:
            assert (await Registers(other).read())[0] == 1
            reader, writer = await raw_modbus(server.port)
            assert await reader.read() == b""
            writer.close()
            assert (await Registers(one).read())[0] == 1

    serve_modbus(tmp_path / "s.sock", scene, connections=2, idle_s=3_600)


def test_a_client_that_asks_nothing_gives_way(tmp_path: Path) -> None:
    async def scene(_: FakeStation, server: ModbusServer) -> None:
        reader, idle = await raw_modbus(server.port)
        await asyncio.sleep(0.05)  # many times idle_s
        async with modbus_client(server.port) as one:
            assert (await Registers(one).read())[0] == 1
            await asyncio.sleep(0.05)
            async with modbus_client(server.port) as other:
                assert (await Registers(other).read())[0] == 1
        assert await reader.read() == b""
        idle.close()

    serve_modbus(tmp_path / "s.sock", scene, connections=1, idle_s=0.001)


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
        async with modbus_client(server.port) as one:
            reader, writer = await raw_modbus(server.port)
            writer.write(noise)
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
            writer.close()
            assert (await Registers(one).read())[0] == 1

    serve_modbus(tmp_path / "s.sock", scene)


def test_floods_and_readers_that_do_not_read_hurt_nobody(tmp_path: Path) -> None:
    async def scene(_: FakeStation, server: ModbusServer) -> None:
        async def flood() -> None:
            _, writer = await raw_modbus(server.port)
            try:
                while True:
                    writer.write(frame(READ_ALL) * 1_000)
                    await writer.drain()
            finally:
                writer.transport.abort()

        floods = [asyncio.ensure_future(flood()) for _ in range(4)]
        async with modbus_client(server.port) as one:
            plc = Plc(Registers(one))
            for number in range(1, 30):
                assert (await plc.inspect(number)).ok
        for one_flood in floods:
            one_flood.cancel()
        await asyncio.gather(*floods, return_exceptions=True)

    serve_modbus(tmp_path / "s.sock", scene)


def test_who_asks_too_often_waits(tmp_path: Path) -> None:
    async def scene(_: FakeStation, server: ModbusServer) -> None:
        reader, writer = await raw_modbus(server.port)
        begin = asyncio.get_running_loop().time()
        writer.write(frame(READ_ALL) * 20)
        for _number in range(20):
            await answer(reader)
        assert asyncio.get_running_loop().time() - begin > 0.1  # 20 at 100/s, of which 5 may come at once
        writer.close()

    serve_modbus(tmp_path / "s.sock", scene, requests_per_s=100)


def test_only_those_who_are_allowed(tmp_path: Path) -> None:
    async def scene(_: FakeStation, server: ModbusServer) -> None:
        reader, writer = await raw_modbus(server.port)
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()

    serve_modbus(tmp_path / "s.sock", scene, allow=("192.168.7.0/24",))


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    async def scene(_: FakeStation, server: ModbusServer) -> None:
        second = ModbusServer(modbus_settings(port=server.port), Gateway(tmp_path / "s.sock", "b"), "b")
        with pytest.raises(DeviceError, match=f"cannot listen on 127.0.0.1 port {server.port}: .*in use"):
            await second.run()

    serve_modbus(tmp_path / "s.sock", scene)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"host": "0.0.0.0"}, "allow is missing"),  # noqa: S104
        ({"host": "plc"}, "host: expected an address"),
        ({"allow": ("10.0.0.1/8",)}, "allow: expected addresses or networks: .*host bits set"),
    ],
)
def test_settings_that_cannot_be(more: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        SERVER.check(modbus_settings(**more))


def test_settings_that_are_fine() -> None:
    SERVER.check(modbus_settings())
    SERVER.check(modbus_settings(host="0.0.0.0", allow=("10.0.0.0/8", "192.168.0.7")))  # noqa: S104
