"""Controllers that others wrote: a Modbus server of pymodbus, a snap7 server and a cpppo simulator, as processes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

from edge_ad.controllers.ethernet_ip import EthernetIpSettings
from edge_ad.controllers.layout import INPUTS, OUTPUTS
from edge_ad.controllers.modbus import ModbusClientSettings
from edge_ad.controllers.s7 import S7Settings
from support.ports import free_port
from support.videos import wait_for

__all__ = ["PLCS", "PlcProcess"]

MODBUS = """
import asyncio, sys
from pymodbus.server import StartAsyncTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice
device = SimDevice(1, simdata=SimData(0, values=[0] * 200, datatype=DataType.REGISTERS))
asyncio.run(StartAsyncTcpServer(device, address=("127.0.0.1", int(sys.argv[1]))))
"""
S7 = """
import sys, time
from snap7.server import Server
from snap7.type import SrvArea
server = Server()
server.register_area(SrvArea.DB, 7, bytearray(256))
server.start(tcp_port=int(sys.argv[1]))
while True:
    time.sleep(60)
"""


class PlcProcess:
    """A controller's memory in a process of its own, which can be killed, stopped and started again."""

    def __init__(self, command: list[str], port: int, memory: Callable[[], Any]) -> None:
        self.port = port
        self.memory = memory
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when it answers."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if not wait_for(self._listens, 60):
            self.kill()
            raise AssertionError(f"it does not listen: {self._command}")

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """It hangs: connections stay, nothing is answered."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)

    def _listens(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False


class _Threaded:
    """A blocking client as the memory of :class:`support.plc_ends.Plc`."""

    async def read(self) -> list[int]:
        return await asyncio.to_thread(self.read_words)

    async def write(self, words: list[int]) -> None:
        await asyncio.to_thread(self.write_words, words)

    def read_words(self) -> list[int]:
        raise NotImplementedError

    def write_words(self, words: list[int]) -> None:
        raise NotImplementedError


class ModbusSide(_Threaded):
    def __init__(self, port: int) -> None:
        from pymodbus.client import ModbusTcpClient

        self.client: Any = ModbusTcpClient("127.0.0.1", port=port, timeout=60, retries=0)

    def read_words(self) -> list[int]:
        return list(self.client.read_holding_registers(0, count=OUTPUTS.words).registers)

    def write_words(self, words: list[int]) -> None:
        assert not self.client.write_registers(100, words).isError()

    def close(self) -> None:
        self.client.close()


class S7Side(_Threaded):
    def __init__(self, port: int) -> None:
        from snap7.client import Client

        self.client: Any = Client()
        self.client.connect("127.0.0.1", 0, 1, port)

    def read_words(self) -> list[int]:
        return list(struct.unpack(f">{OUTPUTS.words}H", bytes(self.client.db_read(7, 0, 2 * OUTPUTS.words))))

    def write_words(self, words: list[int]) -> None:
        self.client.db_write(7, 100, bytearray(struct.pack(f">{INPUTS.words}H", *words)))

    def close(self) -> None:
        self.client.disconnect()


class TagSide(_Threaded):
    """Tags as a Logix program sees them: texts are copied to SINTs, so the bytes of their words are turned."""

    def __init__(self, port: int) -> None:
        from pycomm3 import INT, Array, LogixDriver

        self.driver: Any = LogixDriver(f"127.0.0.1:{port}/0", init_tags=False)
        self.driver.open()
        self.driver._cfg["use_instance_ids"] = False
        known = {"dim": 1, "tag_type": "atomic", "data_type": "INT", "data_type_name": "INT", "instance_id": 0}
        for name, words in (("EdgeAdOutputs", OUTPUTS.words), ("EdgeAdInputs", INPUTS.words)):
            kind = Array(words, INT)
            self.driver._tags[name] = {"tag_name": name, "dimensions": [words, 0, 0], "type_class": kind, **known}

    def read_words(self) -> list[int]:
        words = [word % 65_536 for word in self.driver.read(f"EdgeAdOutputs{{{OUTPUTS.words}}}").value]
        return words[:28] + [(word & 255) << 8 | word >> 8 for word in words[28:]]

    def write_words(self, words: list[int]) -> None:
        turned = words[:6] + [(word & 255) << 8 | word >> 8 for word in words[6:]]
        signed = [word - 65_536 if word > 32_767 else word for word in turned]
        rest, bits = ("EdgeAdInputs[2]{20}", signed[2:]), ("EdgeAdInputs[0]{2}", signed[:2])
        assert not any(one.error for one in self.driver.write(rest, bits))

    def close(self) -> None:
        self.driver.close()


def _modbus(port: int) -> tuple[list[str], ModbusClientSettings, type[Any]]:
    settings = ModbusClientSettings(protocol="modbus-client", host="127.0.0.1", port=port, poll_ms=2)
    return [sys.executable, "-c", MODBUS, str(port)], settings, ModbusSide


def _s7(port: int) -> tuple[list[str], S7Settings, type[Any]]:
    settings = S7Settings(protocol="s7", host="127.0.0.1", port=port, db=7, poll_ms=2)
    return [sys.executable, "-c", S7, str(port)], settings, S7Side


def _ethernet_ip(port: int) -> tuple[list[str], EthernetIpSettings, type[Any]]:
    settings = EthernetIpSettings(protocol="ethernet-ip", host="127.0.0.1", port=port, poll_ms=2)
    tags = [f"EdgeAdOutputs=INT[{OUTPUTS.words}]", f"EdgeAdInputs=INT[{INPUTS.words}]"]
    return [sys.executable, "-m", "cpppo.server.enip", "-a", f"127.0.0.1:{port}", *tags], settings, TagSide


PLCS = {"modbus-client": _modbus, "s7": _s7, "ethernet-ip": _ethernet_ip}
"""By protocol: from a port the command of the process, the settings of the adapter, and the program's side."""


@contextlib.contextmanager
def plc_process(name: str) -> Iterator[tuple[PlcProcess, Any]]:
    """A controller that answers, and the settings of the adapter for it."""
    port = free_port()
    command, settings, side = PLCS[name](port)
    one = PlcProcess(command, port, lambda: side(port))
    one.start()
    try:
        yield one, settings
    finally:
        one.kill()
