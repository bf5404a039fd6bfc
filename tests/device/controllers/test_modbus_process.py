"""``edge-ad connect`` as it runs beside a station: killed, stopped, and beside others that want its port."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.modbus_ends import Registers, modbus_client
from support.plc_ends import Plc, play, until
from support.ports import free_port
from support.station_files import to_toml
from support.videos import wait_for

from edge_ad.link import Client, FakeStation


def station_toml(tmp_path: Path, port: int) -> Path:
    tables = {
        "station": {"name": "trial"},
        "camera": {"top": {"source": "0"}},
        "inspect": {"top": {"camera": "top", "bundle": "bundle"}},
        "link": {"socket": str(tmp_path / "s.sock")},
        "controller": {"plc": {"protocol": "modbus", "port": port, "window_ms": 60_000, "acknowledge_ms": 60_000}},
    }
    file = tmp_path / "station.toml"
    file.write_text(to_toml(tables), encoding="utf-8")
    return file


@contextlib.contextmanager
def connect(file: Path, *names: str) -> Iterator[subprocess.Popen[str]]:
    """``edge-ad connect``, ended with SIGTERM."""
    command = [sys.executable, "-m", "edge_ad", "connect", str(file), *names]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGCONT)
            process.terminate()
            process.communicate(timeout=60)


def listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_an_adapter_that_is_killed_in_the_middle_of_a_part_comes_back(tmp_path: Path) -> None:
    port = free_port()

    async def scene(station: FakeStation) -> None:
        with connect(station_toml(tmp_path, port)) as watcher:
            assert await asyncio.to_thread(wait_for, lambda: listens(port), 60)
            async with modbus_client(port) as one:
                plc = Plc(Registers(one))
                assert (await plc.inspect(1)).ok
                station.hold()
                await plc.wait_for(lambda out: out.ready)
                assert (await plc.trigger(2)).trigger_ack
                (adapter,) = children(watcher.pid)
                os.kill(adapter, signal.SIGKILL)
            await until(lambda: "plc" not in station.clients.values() and adapter not in children(watcher.pid))
            station.release()
            await until(lambda: not station.open)
            assert await asyncio.to_thread(wait_for, lambda: listens(port), 60)
            async with modbus_client(port) as one:
                plc = Plc(Registers(one))
                shown = await plc.outputs()
                assert (shown.ok, shown.result_part_number) == (False, 0)  # nothing stands there for part 2
                assert (await plc.inspect(3)).ok

    play(tmp_path / "s.sock", scene)


@pytest.mark.usefixtures("usual_silence")
def test_an_adapter_that_is_stopped_costs_no_verdict(tmp_path: Path) -> None:
    """Its open part ends when the station drops it; other clients have their results as before."""
    port = free_port()

    async def scene(station: FakeStation) -> None:
        with connect(station_toml(tmp_path, port), "plc") as adapter:
            assert await asyncio.to_thread(wait_for, lambda: listens(port), 60)
            async with modbus_client(port) as one:
                plc = Plc(Registers(one))
                assert (await plc.inspect(1)).ok
                station.hold()
                await plc.wait_for(lambda out: out.ready)
                assert (await plc.trigger(2)).trigger_ack
                adapter.send_signal(signal.SIGSTOP)
                station.release()
                before = len(station.published)
                passed, long = await asyncio.to_thread(parts_beside, tmp_path / "s.sock")
                assert passed == 500
                assert long <= 1  # a station that waited for the stopped one would be late with all that follow
                assert len(station.published) > before
                await until(lambda: "plc" not in station.clients.values())
                adapter.send_signal(signal.SIGCONT)
                lost = await plc.wait_for(lambda out: out.result_valid != plc.inputs.result_ack)
                assert lost.result_part_number == 2
                await plc.write(result_ack=lost.result_valid)
                assert (await plc.inspect(3)).ok

    play(tmp_path / "s.sock", scene)


def parts_beside(path: Path) -> tuple[int, int]:
    """How many of 500 parts of another client pass, and how many of them took the station more than a second.

    One may: the machine itself can stand still for a moment.
    """
    with Client(path) as client:
        results = [client.result(client.trigger(f"beside {number}"), timeout_s=60) for number in range(500)]
    passed = sum(one.state.value == "ACCEPT" for one in results)
    return passed, sum((one.latency_ms or 0.0) > 1_000 for one in results)


def test_a_port_that_is_taken_is_one_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "edge_ad", "connect", str(station_toml(tmp_path, port)), "plc"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 4
    assert (
        done.stderr.strip().splitlines()[-1].endswith(f"cannot listen on 127.0.0.1 port {port}: Address already in use")
    )
    assert "Traceback" not in done.stderr


def test_it_ends_when_it_is_told_to(tmp_path: Path) -> None:
    port = free_port()
    with FakeStation(tmp_path / "s.sock"), connect(station_toml(tmp_path, port), "plc") as adapter:
        assert wait_for(lambda: listens(port), 60)
        with socket.create_connection(("127.0.0.1", port)):
            adapter.terminate()
            assert adapter.wait(timeout=60) == 0
