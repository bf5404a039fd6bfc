"""The tables of the two Modbus protocols."""

from __future__ import annotations

import importlib.util
import ipaddress
from typing import Annotated

import msgspec

from edge_ad.controllers.layout import INPUTS, OUTPUTS, WordOrder
from edge_ad.controllers.polling import PollSettings
from edge_ad.controllers.settings import Port, SignalSettings
from edge_ad.errors import InputError, MissingExtraError

__all__ = [
    "ModbusClientSettings",
    "ModbusServerSettings",
    "Network",
    "allowed_networks",
    "check_client",
    "check_server",
]

Unit = Annotated[int, msgspec.Meta(ge=0, le=255)]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class ModbusServerSettings(SignalSettings, frozen=True, kw_only=True):
    """Modbus TCP knows neither passwords nor encryption: who may come is decided by address alone.

    ``host``: the address to listen on. ``allow``: the addresses and networks that may connect, such as
    ``192.168.0.10`` or ``10.0.0.0/24``; has to be given for a ``host`` that others can reach. ``unit``: the number that
    requests name; 0 and 255 are answered as well. ``word_order``: of values with two words. ``connections``: at most so
    many; when there are so many, one that has asked nothing for ``idle_s`` gives way to a new one. ``requests_per_s``:
    of one connection; what comes faster waits.
    """

    host: str = "127.0.0.1"
    port: Port = 502
    allow: tuple[str, ...] = ()
    unit: Unit = 1
    word_order: WordOrder = "big"
    connections: Annotated[int, msgspec.Meta(ge=1, le=256)] = 8
    idle_s: Annotated[float, msgspec.Meta(gt=0, le=3_600)] = 10.0
    requests_per_s: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 1_000

    def claims(self) -> dict[str, str]:
        """The port, unless the system chooses it."""
        return {"port": f"{self.host} port {self.port}"} if self.port else {}


class ModbusClientSettings(PollSettings, frozen=True, kw_only=True):
    """We write our signals into the registers of a controller and read its own there (function codes 3 and 16).

    ``outputs_address``, ``inputs_address``: where our signals and those of the controller begin, counted from 0 as in
    the protocol: what a manual calls 40001 is 0.
    """

    port: Port = 502
    unit: Unit = 1
    outputs_address: Annotated[int, msgspec.Meta(ge=0, le=65_535)] = 0
    inputs_address: Annotated[int, msgspec.Meta(ge=0, le=65_535)] = 100


def check_client(settings: ModbusClientSettings) -> None:
    """Raises ``MissingExtraError`` without the library, and ``InputError`` for areas that cannot be."""
    check_library()
    outputs = range(settings.outputs_address, settings.outputs_address + OUTPUTS.words)
    inputs = range(settings.inputs_address, settings.inputs_address + INPUTS.words)
    if max(outputs[0], inputs[0]) <= min(outputs[-1], inputs[-1]):
        raise InputError(
            f"inputs_address: the registers {inputs[0]} to {inputs[-1]} overlap with those of "
            f"outputs_address, {outputs[0]} to {outputs[-1]}"
        )
    for name, last in (("outputs_address", outputs[-1]), ("inputs_address", inputs[-1])):
        if last > 65_535:
            raise InputError(f"{name}: expected an area that ends at register 65535, it would end at {last}")


def check_server(settings: ModbusServerSettings) -> None:
    """Raises ``MissingExtraError`` without the library, and ``InputError`` for addresses that cannot be used."""
    check_library()
    allowed = allowed_networks(settings)
    if not _is_loopback(settings.host) and not allowed:
        raise InputError(
            f"allow is missing: others can reach host {settings.host!r}, and Modbus has no password: "
            "list the addresses of the controllers"
        )


def check_library() -> None:
    """Raises :class:`MissingExtraError` where pymodbus is not installed."""
    if importlib.util.find_spec("pymodbus") is None:
        raise MissingExtraError("pymodbus", "modbus")


def allowed_networks(settings: ModbusServerSettings) -> tuple[Network, ...]:
    """Who may connect; empty where everybody may who reaches the address.

    Raises:
        InputError: an entry is no address and no network.
    """
    try:
        return tuple(ipaddress.ip_network(one) for one in settings.allow)
    except ValueError as error:
        raise InputError(f"allow: expected addresses or networks: {error}") from error


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError as error:
        raise InputError(f"host: expected an address such as 127.0.0.1, found {host!r}") from error
