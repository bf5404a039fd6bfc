"""The process of one controller: what ends it."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest
from support.station_files import station_file

from edge_ad.controllers import ControllerSettings, Gateway, Protocol, check_controllers, run_controller
from edge_ad.controllers.running import _serve
from edge_ad.errors import DeviceError, InputError
from edge_ad.link import FakeStation


class BrokenGateway(Gateway):
    """Its way to the station ends by an error that nobody has thought of, as soon as the adapter serves."""

    def __init__(self, socket: Path, serving: asyncio.Event) -> None:
        super().__init__(socket, "plc")
        self._serving = serving

    async def run(self) -> None:
        await self._serving.wait()
        raise ZeroDivisionError("a fault of the program")


def adapter(serving: asyncio.Event, ended: list[str]) -> Protocol:
    """Serves for ever, and says when it is made to end."""

    async def run(*_: Any) -> None:
        serving.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("adapter")

    return Protocol(ControllerSettings, lambda _: None, run)


def test_without_a_way_to_the_station_the_process_ends_with_the_error(tmp_path: Path) -> None:
    """It must not go on and show a station that it does not hear: whoever watches it starts it again."""
    ended: list[str] = []

    async def scene() -> None:
        serving = asyncio.Event()
        gateway = BrokenGateway(tmp_path / "s.sock", serving)
        serves = _serve(adapter(serving, ended), ControllerSettings(protocol="test"), gateway, "plc")
        await asyncio.wait_for(serves, 60)

    with pytest.raises(ZeroDivisionError, match="a fault of the program"):
        asyncio.run(scene())
    assert ended == ["adapter"]


def test_a_process_that_is_told_to_end_leaves_nothing_running(tmp_path: Path) -> None:
    ended: list[str] = []

    async def scene() -> None:
        serving = asyncio.Event()
        gateway = Gateway(tmp_path / "s.sock", "plc")
        settings = ControllerSettings(protocol="test")
        task = asyncio.create_task(_serve(adapter(serving, ended), settings, gateway, "plc"))
        await asyncio.wait_for(serving.wait(), 60)
        task.cancel()
        await asyncio.wait_for(task, 60)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    with FakeStation(tmp_path / "s.sock"):
        asyncio.run(scene())
    assert ended == ["adapter"]


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        (
            {"protocol": "modbus", "port": 1502},
            {"protocol": "opcua", "port": 1502},
            "port: .*first has 127.0.0.1 port 1502",
        ),
        ({"protocol": "files", "csv": "day"}, {"protocol": "files", "csv": "./day"}, "csv: .*first has .*/day already"),
        ({"protocol": "mqtt"}, {"protocol": "mqtt", "host": "localhost"}, "outbox: .*first has .*mqtt-outbox.sqlite"),
    ],
)
def test_two_controllers_do_not_claim_the_same(
    first: dict[str, Any], second: dict[str, Any], said: str, tmp_path: Path
) -> None:
    tables: dict[str, Any] = {
        "station": {"name": "line1", "trigger": "link"},
        "link": {},
        "camera": {"top": {"source": "link"}},
        "inspect": {"top": {"camera": "top", "bundle": "part"}},
    }
    with pytest.raises(InputError, match=rf"controller\.second: {said}"):
        check_controllers(station_file(**tables, controller={"first": first, "second": second}), tmp_path)
    apart = station_file(**tables, controller={"first": first, "second": {"protocol": "modbus", "port": 0}})
    assert set(check_controllers(apart, tmp_path)) == {"first", "second"}


def test_an_error_at_the_start_names_its_controller(tmp_path: Path) -> None:
    taken = socket.create_server(("127.0.0.1", 0))
    port = taken.getsockname()[1]
    file = station_file(
        station={"name": "line1", "trigger": "link"},
        link={"socket": str(tmp_path / "s.sock")},
        camera={"top": {"source": "link"}},
        inspect={"top": {"camera": "top", "bundle": "part"}},
        controller={"plc": {"protocol": "modbus", "port": port}},
    )
    with taken, pytest.raises(DeviceError, match=rf"^controller\.plc: cannot listen on 127\.0\.0\.1 port {port}: "):
        run_controller(file, tmp_path / "station.toml", "plc")
