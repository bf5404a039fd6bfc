"""The process of one controller: what ends it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from edge_ad.controllers import ControllerSettings, Gateway, Protocol
from edge_ad.controllers.running import _serve
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
