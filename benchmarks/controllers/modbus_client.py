"""We poll a controller's registers every 2 ms; they lie in a Modbus server of pymodbus in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.controllers.frame import Trip, connect_process, free_port
from benchmarks.controllers.modbus import part_by_signals
from edge_ad.controllers.layout import OUTPUTS

CONTROLLER = """
import asyncio, sys
from pymodbus.server import StartAsyncTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice
device = SimDevice(1, simdata=SimData(0, values=[0] * 200, datatype=DataType.REGISTERS))
asyncio.run(StartAsyncTcpServer(device, address=("127.0.0.1", int(sys.argv[1]))))
"""
_WORD_OF_BITS, _READY = 1, 1


@contextmanager
def trips(folder: Path, socket: Path) -> Iterator[Trip]:
    """The controller's program is another client of the same server."""
    from pymodbus.client import ModbusTcpClient

    port = free_port()
    client: Any = ModbusTcpClient("127.0.0.1", port=port, retries=0)

    def read() -> list[int]:
        return list(client.read_holding_registers(0, count=OUTPUTS.words).registers)

    with subprocess.Popen([sys.executable, "-c", CONTROLLER, str(port)]) as server:
        try:
            while not client.connect():
                time.sleep(0.02)
            table = f'protocol = "modbus-client"\nhost = "127.0.0.1"\nport = {port}\npoll_ms = 2\nrecent = 0\n'
            with connect_process(folder, socket, table, lambda: bool(read()[_WORD_OF_BITS] & _READY)):
                yield part_by_signals(read, lambda words: client.write_registers(100, words))
        finally:
            client.close()
            server.kill()
