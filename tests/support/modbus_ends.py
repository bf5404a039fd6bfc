"""Ends of Modbus for tests: a server beside a fake station, pymodbus's own client, raw sockets."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from pymodbus.client import AsyncModbusTcpClient

from edge_ad.controllers.gateway import Gateway
from edge_ad.controllers.layout import OUTPUTS
from edge_ad.controllers.modbus import ModbusServerSettings
from edge_ad.controllers.modbus.server import FIRST_INPUT, FIRST_OUTPUT, ModbusServer
from edge_ad.link import FakeStation
from support.plc_ends import Plc, connected, play, until

__all__ = [
    "READ_ALL",
    "Registers",
    "answer",
    "drive_modbus",
    "frame",
    "modbus_client",
    "modbus_settings",
    "raw_modbus",
    "serve_modbus",
]


def modbus_settings(**more: Any) -> ModbusServerSettings:
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
async def modbus_client(port: int) -> AsyncIterator[AsyncModbusTcpClient]:
    # It does not connect again by itself: where a server takes one client, it would turn out the next one.
    one = AsyncModbusTcpClient("127.0.0.1", port=port, retries=0, timeout=60, reconnect_delay=0)
    assert await one.connect()
    try:
        yield one
    finally:
        one.close()


Scene = Callable[[FakeStation, ModbusServer], Awaitable[None]]


def serve_modbus(
    path: Path, scene: Scene, *, judge: Any = None, recipes: tuple[str, ...] = (), **more: Any
) -> FakeStation:
    async def run(station: FakeStation) -> None:
        servers: list[ModbusServer] = []

        async def start(gateway: Gateway) -> None:
            server = ModbusServer(modbus_settings(**more), gateway, "plc")
            await server.start()
            servers.append(server)
            await server.run()

        async with connected(path, modbus_settings(**more), start):
            await until(lambda: bool(servers))
            await scene(station, servers[0])

    return play(path, run, judge=judge, recipes=recipes)


def drive_modbus(path: Path, scene: Callable[[FakeStation, Plc], Awaitable[None]], **more: Any) -> FakeStation:
    async def run(station: FakeStation, server: ModbusServer) -> None:
        async with modbus_client(server.port) as one:
            await scene(station, Plc(Registers(one), more.get("word_order", "big")))

    return serve_modbus(path, run, **more)


async def raw_modbus(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port)


def frame(request: bytes, number: int = 1, unit: int = 1) -> bytes:
    return struct.pack(">HHHB", number, 0, len(request) + 1, unit) + request


async def answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    number, _, length, _ = struct.unpack(">HHHB", await asyncio.wait_for(reader.readexactly(7), 60))
    return number, await reader.readexactly(length - 1)


READ_ALL = struct.pack(">BHH", 3, FIRST_OUTPUT, OUTPUTS.words)
