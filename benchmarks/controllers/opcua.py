"""OPC UA: a method that answers with the result, and a job whose result comes as an event."""

from __future__ import annotations

import asyncio
import socket as sockets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.controllers.frame import Trip, connect_process, free_port

FOLDER = "ns=1;s=EdgeAd"
AUTOMATIC = "ns=1;s=VisionSystem.VisionStateMachine.AutomaticModeStateMachine"
RESULT_READY = 1024
INTERVAL_MS = 20


@contextmanager
def method_trips(folder: Path, socket: Path) -> Iterator[Trip]:
    """``Inspect``: one call, whose answer is the result."""
    with _connected(folder, socket) as (loop, client):
        node = client.get_node(FOLDER)

        async def one(number: int) -> float:
            begin = time.perf_counter()
            answer = await node.call_method("1:Inspect", f"method {number}")
            _check(answer[0])
            return (time.perf_counter() - begin) * 1e3

        yield lambda number: loop.run_until_complete(one(number))


@contextmanager
def event_trips(folder: Path, socket: Path) -> Iterator[Trip]:
    """``StartSingleJob``, and ``ResultReady`` by a subscription with a publishing interval of 20 ms."""
    with _connected(folder, socket) as (loop, client):
        from asyncua import ua

        heard = _Heard()

        async def subscribe() -> str:
            index = await client.get_namespace_index("http://opcfoundation.org/UA/MachineVision")
            await client.load_data_type_definitions()
            subscription = await client.create_subscription(INTERVAL_MS, heard)
            await subscription.subscribe_events(client.get_node("ns=1;s=VisionSystem"), ua.NodeId(RESULT_READY, index))
            return f"{index}:StartSingleJob"

        name, node = loop.run_until_complete(subscribe()), client.get_node(AUTOMATIC)
        nothing = ua.Variant(None)
        parameters = ua.Variant([], ua.VariantType.Variant, is_array=True)

        async def one(number: int) -> float:
            begin = time.perf_counter()
            part = ua.PartIdDataType(Id=f"event {number}")
            job, error = await node.call_method(name, nothing, part, nothing, nothing, parameters)
            if error:
                raise RuntimeError(f"the job was refused ({error}): the measurement is void")
            event = await heard.event_of(job.Id)
            _check(event.ResultContent[0].Value)
            return (time.perf_counter() - begin) * 1e3

        yield lambda number: loop.run_until_complete(one(number))


class _Heard:
    """The subscription's handler: events by their job."""

    def __init__(self) -> None:
        self._events: dict[str, Any] = {}
        self._news = asyncio.Event()

    def event_notification(self, event: Any) -> None:
        if event.JobId.Id:
            self._events[event.JobId.Id] = event
            self._news.set()

    async def event_of(self, job_id: str) -> Any:
        while job_id not in self._events:
            self._news.clear()
            await self._news.wait()
        return self._events.pop(job_id)


@contextmanager
def _connected(folder: Path, socket: Path) -> Iterator[tuple[asyncio.AbstractEventLoop, Any]]:
    from asyncua import Client

    port = free_port()
    table = f'protocol = "opcua"\nport = {port}\nrecent = 0\n'
    with connect_process(folder, socket, table, lambda: _listens(port)):
        loop = asyncio.new_event_loop()
        client = Client(f"opc.tcp://127.0.0.1:{port}/edge-ad/")
        loop.run_until_complete(client.connect())
        try:
            yield loop, client
        finally:
            loop.run_until_complete(client.disconnect())
            loop.close()


def _listens(port: int) -> bool:
    with sockets.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def _check(state: str) -> None:
    if state != "ACCEPT":
        raise RuntimeError("a part was not accepted: the measurement is void")
