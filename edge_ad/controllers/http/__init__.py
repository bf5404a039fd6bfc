"""HTTP: triggers, pictures, results, events, and the Open Inference Protocol."""

from __future__ import annotations

from edge_ad.controllers.adapter import Protocol
from edge_ad.controllers.gateway import Gateway
from edge_ad.controllers.http.http_settings import HttpSettings, check_settings

__all__ = ["PROTOCOL", "HttpSettings"]


async def _run(settings: HttpSettings, gateway: Gateway, name: str) -> None:
    from edge_ad.controllers.http.server import serve

    await serve(settings, gateway, name)


PROTOCOL = Protocol(HttpSettings, check_settings, _run)
