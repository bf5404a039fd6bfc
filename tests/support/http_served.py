"""The HTTP adapter on loopback, in a thread of this process, before a fake station."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_ad.controllers import Gateway
from edge_ad.controllers.http import HttpSettings
from edge_ad.controllers.security import AuditTrail
from edge_ad.link import FakeStation, Judgement, RecordedRequest
from edge_ad.station.station_log import AuditSettings

__all__ = ["Served", "gateway_served", "http_served", "settings"]


@dataclass
class Served:
    """``port``: where it listens. ``station``: what it serves. ``folder``: that of its socket and audit trail."""

    port: int
    station: FakeStation
    gateway: Gateway
    folder: Path
    scheme: str = "http"

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"


def settings(**given: Any) -> HttpSettings:
    return HttpSettings(**{"protocol": "http", "window_ms": 60_000, "local_role": "engineer", **given})


@contextmanager
def http_served(
    folder: Path,
    recipes: tuple[str, ...] = ("a", "b"),
    judge: Callable[[RecordedRequest], Judgement] | None = None,
    station_file: Path | None = None,
    **given: Any,
) -> Iterator[Served]:
    """Serves until the end of the block; ``given``: entries of the settings. ``station_file``: where bundles go."""
    socket = folder / "s.sock"
    with (
        FakeStation(socket, recipes=recipes, judge=judge) as station,
        gateway_served(folder, socket, station_file, **given) as (port, gateway),
    ):
        yield Served(port, station, gateway, folder, "https" if given.get("certificate") else "http")


@contextmanager
def gateway_served(
    folder: Path, socket: Path, station_file: Path | None = None, **given: Any
) -> Iterator[tuple[int, Gateway]]:
    """The adapter alone, before the station at ``socket``: the port where it listens, and its gateway."""
    from edge_ad.controllers.http.server import listen, serve_on

    chosen = settings(**given)
    listener = listen("127.0.0.1", 0, "web")
    loop = asyncio.new_event_loop()
    audit = AuditTrail(AuditSettings(file=str(folder / "audit.jsonl")), "web")
    gateway = Gateway(socket, "web", chosen, audit=audit, station_file=station_file)
    connected = threading.Event()

    async def run() -> None:
        gateway.changed.append(lambda: connected.set() if gateway.view.is_connected else None)
        connecting = asyncio.create_task(gateway.run())
        try:
            await serve_on(listener, chosen, gateway, "web")
        except asyncio.CancelledError:
            pass
        finally:
            connecting.cancel()
            await asyncio.gather(connecting, return_exceptions=True)

    task = loop.create_task(run())
    thread = threading.Thread(target=loop.run_until_complete, args=(task,))
    thread.start()
    try:
        assert connected.wait(60)
        yield listener.getsockname()[1], gateway
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join(60)
        loop.close()
