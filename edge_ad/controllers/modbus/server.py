"""Serves the signals as Modbus registers. Reads and writes one whole image at a time.

The data model and the messages are pymodbus's own. The connections are served here: pymodbus 3.16 answers only the
first of two requests that arrive together, takes any number of connections, and answers as fast as somebody asks.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pymodbus.constants import ExcCodes
from pymodbus.pdu import DecodePDU, ExceptionResponse, ModbusPDU
from pymodbus.simulator import DataType, SimData, SimDevice
from pymodbus.simulator.simcore import SimCore

from edge_ad.controllers.exchange import SignalExchange
from edge_ad.controllers.gateway import Gateway
from edge_ad.controllers.layout import INPUTS, OUTPUTS, read_inputs, write_outputs
from edge_ad.controllers.modbus.modbus_settings import ModbusServerSettings, Network, allowed_networks
from edge_ad.controllers.signals import SIGNALS_VERSION, Outputs
from edge_ad.errors import DeviceError, one_line

__all__ = ["FIRST_INPUT", "FIRST_OUTPUT", "ModbusRegisters", "ModbusServer"]

logger = logging.getLogger(__name__)
logging.getLogger("pymodbus").setLevel(logging.CRITICAL)  # a line for each bad request would fill the log

FIRST_OUTPUT, FIRST_INPUT = 0, 100
"""The registers at which the two directions begin, counted from 0 as in the protocol."""

_READS, _WRITES = frozenset({1, 2, 3, 4}), frozenset({5, 6, 15, 16, 22, 23})
_HEAD = struct.Struct(">HHHB")
_LONGEST = 253
_BUFFER = 1_024
_BURST_S = 0.05
_COMPLAINT_S = 60.0


class ModbusRegisters:
    """The registers of one device, without a socket. Bits of register ``r`` are also coils ``16 * r`` and up."""

    def __init__(self, settings: ModbusServerSettings) -> None:
        self._order = settings.word_order
        self._units = {settings.unit, 0, 255}
        self._image = write_outputs(Outputs(), self._order)
        blocks = [
            SimData(FIRST_OUTPUT, values=[0] * OUTPUTS.words, datatype=DataType.REGISTERS, readonly=True),
            SimData(FIRST_INPUT, values=[0] * INPUTS.words, datatype=DataType.REGISTERS),
        ]
        self._core: Any = SimCore(SimDevice(0, simdata=blocks, use_bit_addressing=True, action=self._before))
        self._decoder = DecodePDU(True)

    def show(self, outputs: Outputs) -> None:
        """From now on every read gets these, all of them."""
        self._image = write_outputs(outputs, self._order)

    async def answer(self, unit: int, request: bytes) -> bytes:
        """The answer to a request, both from the function code on."""
        response = await self._response(unit, request)
        return bytes([response.function_code]) + response.encode()

    async def inputs(self) -> list[int]:
        """The words that controllers have written."""
        words: list[int] = await self._core.async_getValues(0, 3, FIRST_INPUT, INPUTS.words)
        return words

    async def _response(self, unit: int, request: bytes) -> ModbusPDU:
        code = request[0]
        if unit not in self._units:
            return ExceptionResponse(code, ExcCodes.GATEWAY_NO_RESPONSE)
        if code not in _READS | _WRITES:
            return ExceptionResponse(code & 0x7F, ExcCodes.ILLEGAL_FUNCTION)
        is_no_bit = code == 5 and request[3:] not in {b"\xff\x00", b"\x00\x00"}
        decoded = None if is_no_bit else self._decoder.decode(request)
        if decoded is None:
            return ExceptionResponse(code, ExcCodes.ILLEGAL_VALUE)
        return await decoded.datastore_update(self._core, 0)

    async def _before(
        self, _code: int, start: int, _address: int, _count: int, registers: list[int], _values: object
    ) -> ExcCodes | None:
        """Pymodbus calls this before each access, for some requests twice: it only puts the newest image in place."""
        registers[FIRST_OUTPUT - start : FIRST_OUTPUT - start + OUTPUTS.words] = self._image
        return None


@dataclass(slots=True, eq=False)
class _Connection:
    writer: asyncio.StreamWriter
    heard: float


class ModbusServer:
    """Listens for controllers. One exchange of signals, whoever of them writes."""

    def __init__(self, settings: ModbusServerSettings, gateway: Gateway, name: str) -> None:
        self._settings = settings
        self._allowed: tuple[Network, ...] = allowed_networks(settings)
        self._registers = ModbusRegisters(settings)
        self._exchange = SignalExchange(gateway, settings, self._registers.show, name)
        self._connections: list[_Connection] = []
        self._complained: dict[str, float] = {}
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """Where it listens, once :meth:`start` was awaited."""
        if self._server is None:
            raise RuntimeError("the server was not started")
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def start(self) -> None:
        """Begins to listen.

        Raises:
            DeviceError: the port is taken, or may not be used.
        """
        host, port = self._settings.host, self._settings.port
        try:
            self._server = await asyncio.start_server(self._connected, host, port, limit=_BUFFER)
        except OSError as error:
            why = os.strerror(error.errno) if error.errno else one_line(error)
            raise DeviceError(f"cannot listen on {host} port {port}: {why}") from error
        logger.info("Modbus: listening on %s port %d", host, self.port)

    async def run(self) -> None:
        """Serves until it is cancelled; raises as :meth:`start`."""
        if self._server is None:
            await self.start()
        try:
            await self._exchange.run()
        finally:
            assert self._server is not None  # noqa: S101
            self._server.close()
            for one in self._connections:
                one.writer.transport.abort()

    # --- connections

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address = str((writer.get_extra_info("peername") or ("?",))[0])
        if not self._may_come(address):
            writer.transport.abort()
            return
        with self._counted(writer) as connection, contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await self._serve(reader, connection, address)

    def _may_come(self, address: str) -> bool:
        if self._allowed and not any(ipaddress.ip_address(address) in one for one in self._allowed):
            self._complain(f"Modbus: a connection from {address} is refused: it is not in allow")
            return False
        if len(self._connections) < self._settings.connections:
            return True
        longest = min(self._connections, key=lambda one: one.heard)
        if asyncio.get_running_loop().time() - longest.heard < self._settings.idle_s:
            self._complain(f"Modbus: a connection from {address} is refused: there are {len(self._connections)}")
            return False
        self._forget(longest)
        return True

    @contextlib.contextmanager
    def _counted(self, writer: asyncio.StreamWriter) -> Iterator[_Connection]:
        connection = _Connection(writer, asyncio.get_running_loop().time())
        self._connections.append(connection)
        try:
            yield connection
        finally:
            self._forget(connection)

    def _forget(self, connection: _Connection) -> None:
        if connection in self._connections:
            self._connections.remove(connection)
        connection.writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, connection: _Connection, address: str) -> None:
        loop, due = asyncio.get_running_loop(), 0.0
        while True:
            number, protocol, length, unit = _HEAD.unpack(await reader.readexactly(_HEAD.size))
            if protocol != 0 or not 2 <= length <= _LONGEST + 1:
                self._complain(f"Modbus: a connection from {address} is closed: what it sends is no Modbus TCP")
                return
            request = await reader.readexactly(length - 1)
            connection.heard = loop.time()
            answer = await self._registers.answer(unit, request)
            if request[0] in _WRITES and answer[0] == request[0]:
                await self._written()
            connection.writer.write(_HEAD.pack(number, 0, len(answer) + 1, unit) + answer)
            await connection.writer.drain()
            due = max(due, loop.time() - _BURST_S) + 1 / self._settings.requests_per_s
            await asyncio.sleep(due - loop.time())  # also without a wait others have their turn

    async def _written(self) -> None:
        words = await self._registers.inputs()
        inputs = read_inputs(words, self._settings.word_order)
        if inputs is None:
            self._complain(
                f"Modbus: register {FIRST_INPUT} says version {words[0]}, expected 0 to {SIGNALS_VERSION}: "
                "what the controller writes is not read"
            )
        else:
            self._exchange.read(inputs)

    def _complain(self, text: str) -> None:
        """Logs a line, but the same one not again within a minute: whoever disturbs does not fill the log."""
        now = asyncio.get_running_loop().time()
        self._complained = {said: at for said, at in self._complained.items() if now - at < _COMPLAINT_S}
        if text not in self._complained and len(self._complained) < 100:
            self._complained[text] = now
            logger.warning("%s", text)
