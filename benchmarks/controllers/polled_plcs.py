"""We poll a controller's memory every 2 ms: a data block of snap7's server, or tags of cpppo's simulator.

The controller is a process of its own, and its program another client of it.
"""

from __future__ import annotations

import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.controllers.frame import Trip, connect_process, free_port
from benchmarks.controllers.modbus import part_by_signals
from edge_ad.controllers.layout import INPUTS, OUTPUTS

__all__ = ["ethernet_ip_trips", "s7_trips"]

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
_WORD_OF_BITS, _READY = 1, 1
_PATIENT = "acknowledge_ms = 60000\nwindow_ms = 60000\n"
_START_S = 30
_FIRST_TEXT = 28
"""The word of the outputs at which the text begins: its bytes are turned in a tag, and nobody here reads them."""


@contextmanager
def s7_trips(folder: Path, socket: Path) -> Iterator[Trip]:
    """The protocol ``s7``."""
    from snap7.client import Client

    port = free_port()
    client: Any = Client()

    def read() -> list[int]:
        return list(struct.unpack(f">{OUTPUTS.words}H", bytes(client.db_read(7, 0, 2 * OUTPUTS.words))))

    def write(words: list[int]) -> None:
        client.db_write(7, 100, bytearray(struct.pack(f">{INPUTS.words}H", *words)))

    with _controller([sys.executable, "-c", S7, str(port)], lambda: client.connect("127.0.0.1", 0, 1, port)):
        table = f'protocol = "s7"\nhost = "127.0.0.1"\nport = {port}\ndb = 7\npoll_ms = 2\nrecent = 0\n' + _PATIENT
        with connect_process(folder, socket, table, lambda: bool(read()[_WORD_OF_BITS] & _READY)):
            yield part_by_signals(read, write)
        client.disconnect()


@contextmanager
def ethernet_ip_trips(folder: Path, socket: Path) -> Iterator[Trip]:
    """The protocol ``ethernet-ip``, with the words of values in the order that the layout has (``big``)."""
    from pycomm3 import INT, Array, LogixDriver

    port = free_port()
    driver: Any = LogixDriver(f"127.0.0.1:{port}/0", init_tags=False)
    tags = {"EdgeAdOutputs": OUTPUTS.words, "EdgeAdInputs": INPUTS.words}

    def read() -> list[int]:
        words = [word % 65_536 for word in driver.read(f"EdgeAdOutputs{{{OUTPUTS.words}}}").value]
        return words[:_FIRST_TEXT] + [0] * (OUTPUTS.words - _FIRST_TEXT)

    def write(words: list[int]) -> None:
        signed = [word - 65_536 if word > 32_767 else word for word in words]
        driver.write(("EdgeAdInputs[2]{20}", signed[2:]), ("EdgeAdInputs[0]{2}", signed[:2]))

    given = [f"{name}=INT[{words}]" for name, words in tags.items()]
    command = [sys.executable, "-m", "cpppo.server.enip", "-a", f"127.0.0.1:{port}", *given]
    with _controller(command, driver.open):
        driver._cfg["use_instance_ids"] = False
        known = {"dim": 1, "tag_type": "atomic", "data_type": "INT", "data_type_name": "INT", "instance_id": 0}
        for name, words in tags.items():
            kind = Array(words, INT)
            driver._tags[name] = {"tag_name": name, "dimensions": [words, 0, 0], "type_class": kind, **known}
        table = f'protocol = "ethernet-ip"\nhost = "127.0.0.1"\nport = {port}\npoll_ms = 2\nrecent = 0\n' + _PATIENT
        table += 'word_order = "big"\n'
        with connect_process(folder, socket, table, lambda: bool(read()[_WORD_OF_BITS] & _READY)):
            yield part_by_signals(read, write)
        driver.close()


@contextmanager
def _controller(command: list[str], connect: Callable[[], object]) -> Iterator[None]:
    """The process of a controller, once it takes the connection of its program."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _until_connected(connect)
            yield
        finally:
            process.kill()


def _until_connected(connect: Callable[[], object]) -> None:
    end = time.monotonic() + _START_S
    while True:
        try:
            connect()
        except Exception:  # noqa: PERF203  each library raises what it likes
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
        else:
            return
