"""An adapter of a controller that serves while a test goes on."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edge_ad.controllers import Gateway, HandshakeSettings, Protocol

__all__ = ["serving"]


@contextmanager
def serving(protocol: Protocol, settings: Any, socket: Path, name: str = "test") -> Iterator[Gateway]:
    """Runs an adapter in a thread with a loop of its own; what it raises is raised here."""
    loop = asyncio.new_event_loop()
    gateway = Gateway(socket, name, settings if isinstance(settings, HandshakeSettings) else None, station="fake")
    raised: list[BaseException] = []

    async def run() -> None:
        connecting = asyncio.create_task(gateway.run())
        try:
            await protocol.run(settings, gateway, name)
        except asyncio.CancelledError:
            pass
        except BaseException as error:  # noqa: BLE001
            raised.append(error)
        finally:
            connecting.cancel()
            await asyncio.gather(connecting, return_exceptions=True)

    main = loop.create_task(run())

    def turn() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            loop.run_until_complete(main)

    thread = threading.Thread(target=turn, name="adapter")
    thread.start()
    try:
        yield gateway
    finally:
        loop.call_soon_threadsafe(main.cancel)
        thread.join()
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
    if raised:
        raise raised[0]
