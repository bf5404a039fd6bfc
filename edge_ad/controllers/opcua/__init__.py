"""OPC UA: a server with the companion specification for machine vision, OPC 40100-1, and plain variables."""

from __future__ import annotations

import asyncio
import importlib

from edge_ad.controllers.adapter import Protocol
from edge_ad.controllers.gateway import Gateway
from edge_ad.controllers.opcua.opcua_settings import OpcUaSettings, check_settings

__all__ = ["PROTOCOL", "OpcUaSettings"]


async def _run(settings: OpcUaSettings, gateway: Gateway, name: str) -> None:
    with gateway.away():  # until the nodes are made, too: the loop sends no heartbeats meanwhile
        service = await asyncio.to_thread(importlib.import_module, "edge_ad.controllers.opcua.service")
    await service.serve(settings, gateway, name)


PROTOCOL = Protocol(settings=OpcUaSettings, check=check_settings, run=_run)
