"""A controller that reads our registers as fast as it can: what a part takes is not hidden behind a poll interval."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.controllers.frame import Trip, connect_process, free_port
from edge_ad.controllers.layout import INPUTS, OUTPUTS
from edge_ad.controllers.signals import Inputs, Outputs


@contextmanager
def trips(folder: Path, socket: Path) -> Iterator[Trip]:
    """Beside an adapter that may be asked any number of times a second."""
    from pymodbus.client import ModbusTcpClient

    port = free_port()
    client: Any = ModbusTcpClient("127.0.0.1", port=port, retries=0)
    table = f'protocol = "modbus"\nport = {port}\nrequests_per_s = 1000000\nrecent = 0\n'
    with connect_process(folder, socket, table, client.connect):
        yield part_by_signals(
            lambda: client.read_holding_registers(0, count=OUTPUTS.words).registers,
            lambda words: client.write_registers(100, words),
        )
        client.close()


def part_by_signals(read: Callable[[], list[int]], write: Callable[[list[int]], object]) -> Trip:
    """The controller's side of the handshake for one part, through the words of its signals."""
    acknowledged = False

    def wait_for(true: Callable[[Outputs], bool]) -> Outputs:
        while not true(outputs := Outputs(**OUTPUTS.unpack(read()))):
            pass
        return outputs

    def trip(number: int) -> float:
        nonlocal acknowledged
        begin = time.perf_counter()
        write(INPUTS.pack(Inputs(trigger=True, part_number=number, result_ack=acknowledged)))
        shown = wait_for(lambda out: out.trigger_error or out.result_valid != acknowledged)
        taken = (time.perf_counter() - begin) * 1e3
        if not shown.ok or shown.result_part_number != number:
            raise RuntimeError(f"part {number} was not accepted: the measurement is void: {shown}")
        acknowledged = shown.result_valid
        write(INPUTS.pack(Inputs(part_number=number, result_ack=acknowledged)))
        wait_for(lambda out: out.ready and not out.trigger_ack)
        return taken

    return trip
