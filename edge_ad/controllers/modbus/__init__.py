"""Modbus TCP: a controller reads and writes our registers, or we read and write those of the controller."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_ad.controllers.adapter import Protocol
from edge_ad.controllers.modbus.settings import ModbusServerSettings, check_server

if TYPE_CHECKING:
    from edge_ad.controllers.gateway import Gateway

__all__ = ["SERVER", "ModbusServerSettings"]


async def _serve(settings: ModbusServerSettings, gateway: Gateway, name: str) -> None:
    from edge_ad.controllers.modbus.server import ModbusServer

    await ModbusServer(settings, gateway, name).run()


SERVER = Protocol(ModbusServerSettings, check_server, _serve)
"""The controller is the client: it reads our outputs and writes our inputs."""
