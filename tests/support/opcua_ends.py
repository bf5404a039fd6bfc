"""A running OPC UA server beside a fake station, in an event loop of its own thread."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

pytest.importorskip("asyncua", reason="needs the extra opcua")

from asyncua import Client, ua

from edge_ad.controllers import Gateway
from edge_ad.controllers.opcua import OpcUaSettings
from edge_ad.controllers.opcua.service import OpcUaService
from edge_ad.controllers.security import AuditTrail
from edge_ad.link import FakeStation, LinkLimits

__all__ = ["COMPANION", "Events", "OpcUaEnds", "opcua_ends", "until"]

COMPANION = "http://opcfoundation.org/UA/MachineVision"
AUTOMATIC = "ns=1;s=VisionSystem.VisionStateMachine.AutomaticModeStateMachine"
T = TypeVar("T")


async def until(true: Callable[[], bool]) -> None:
    async def wait() -> None:
        while not true():
            await asyncio.sleep(0.002)

    await asyncio.wait_for(wait(), 60)


class Events:
    """What a subscription was told, by the names of the event types' numbers."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    def event_notification(self, event: Any) -> None:
        self.events.append(event)

    def of(self, number: int) -> list[Any]:
        return [one for one in self.events if one.EventType.Identifier == number]


class OpcUaEnds:
    """``station``: the fake one. ``service``: the server. ``run`` runs a scene in the server's loop."""

    def __init__(self, station: FakeStation, loop: asyncio.AbstractEventLoop) -> None:
        self.station, self.loop = station, loop
        self.gateway: Gateway
        self.service: OpcUaService

    @property
    def url(self) -> str:
        return f"opc.tcp://127.0.0.1:{self.service.port}/edge-ad/"

    def run(self, scene: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(scene, self.loop).result(120)

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncIterator[Any]:
        async with Client(self.url, timeout=60) as client:  # the server's structures are known in this process
            yield client

    async def start_job(self, client: Any, part_id: str, recipe: str = "") -> Any:
        """Calls StartSingleJob: the job's id and the error."""
        index = await client.get_namespace_index(COMPANION)
        recipe_id = ua.Variant(None) if not recipe else ua.RecipeIdExternalDataType(Id=recipe)
        none = ua.Variant([], ua.VariantType.Variant, is_array=True)
        given = (ua.MeasIdDataType(Id="m"), ua.PartIdDataType(Id=part_id), recipe_id, ua.Variant(None), none)
        job, error = await client.get_node(AUTOMATIC).call_method(f"{index}:StartSingleJob", *given)
        return job.Id, error

    async def watch(self, client: Any, *numbers: int) -> Events:
        """Subscribes to these event types of the vision system, published at once."""
        events = Events()
        index = await client.get_namespace_index(COMPANION)
        subscription = await client.create_subscription(1, events)
        types = [ua.NodeId(number, index) for number in numbers]
        await subscription.subscribe_events(client.get_node("ns=1;s=VisionSystem"), types)
        return events


@contextlib.contextmanager
def opcua_ends(folder: Path, audit: AuditTrail | None = None, **settings: Any) -> Iterator[OpcUaEnds]:
    """A server with these settings, and what belongs to it."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    table: dict[str, Any] = {"protocol": "opcua", "port": 0, "window_ms": 60_000, **settings}
    patient = LinkLimits(heartbeat_s=30.0)  # on a busy machine this loop may stand still for seconds
    with FakeStation(folder / "s.sock", recipes=("first", "second"), limits=patient) as station:
        ends = OpcUaEnds(station, loop)
        ends.gateway = Gateway(folder / "s.sock", "opcua", OpcUaSettings(**table), audit=audit)
        ready, over = threading.Event(), asyncio.Event()
        serving = asyncio.run_coroutine_threadsafe(_serve(ends, OpcUaSettings(**table), ready, over), loop)
        serving.add_done_callback(lambda _: ready.set())
        try:
            assert ready.wait(120)
            yield ends
        finally:
            loop.call_soon_threadsafe(over.set)
            serving.result(60)
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()


async def _serve(ends: OpcUaEnds, settings: OpcUaSettings, ready: threading.Event, over: asyncio.Event) -> None:
    async with OpcUaService(settings, ends.gateway, "opcua") as ends.service:
        # Only now: making the address space holds the loop up for seconds, in which no heartbeat would be sent.
        connecting = asyncio.create_task(ends.gateway.run())
        running = asyncio.create_task(ends.service.run())
        await until(lambda: ends.gateway.view.takes_triggers)
        ready.set()
        await over.wait()
        for task in (running, connecting):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
