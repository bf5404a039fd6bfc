"""Modbus TCP: a controller reads and writes our registers, or we read and write those of the controller."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_ad.controllers.adapter import Protocol
from edge_ad.controllers.modbus.modbus_settings import (
    ModbusClientSettings,
    ModbusServerSettings,
    check_client,
    check_server,
)
from edge_ad.controllers.polling import PolledController

if TYPE_CHECKING:
    from edge_ad.controllers.gateway import Gateway

__all__ = ["CLIENT", "SERVER", "ModbusClientSettings", "ModbusServerSettings"]


async def _serve(settings: ModbusServerSettings, gateway: Gateway, name: str) -> None:
    from edge_ad.controllers.modbus.server import ModbusServer

    await ModbusServer(settings, gateway, name).run()


async def _follow(settings: ModbusClientSettings, gateway: Gateway, name: str) -> None:
    from edge_ad.controllers.modbus.client import ModbusMemory

    await PolledController(settings, gateway, name, lambda: ModbusMemory(settings)).run()


SERVER = Protocol(ModbusServerSettings, check_server, _serve)
"""The controller is the client: it reads our outputs and writes our inputs."""

CLIENT = Protocol(ModbusClientSettings, check_client, _follow)
"""The controller is the server: we write our outputs into its registers and read our inputs there."""
