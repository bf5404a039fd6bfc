"""The table ``[controller.NAME]`` of a station file for ``protocol = "opcua"``."""

from __future__ import annotations

import ipaddress
from importlib.util import find_spec
from typing import Annotated

import msgspec

from edge_ad.controllers.settings import HandshakeSettings, Milliseconds, Port
from edge_ad.errors import InputError, MissingExtraError

__all__ = ["OpcUaSettings", "check_settings"]


class OpcUaSettings(HandshakeSettings, frozen=True, kw_only=True):
    """``host``, ``port``: where the server listens. ``kept_results``: so many can be asked for later.

    ``max_connections``: more are turned away. ``max_message_kb``: a longer request ends its connection.
    """

    host: str = "127.0.0.1"
    port: Port = 4840
    heartbeat_ms: Milliseconds = 500
    kept_results: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 100
    max_connections: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 20
    max_message_kb: Annotated[int, msgspec.Meta(ge=64, le=65_536)] = 1_024


def check_settings(settings: OpcUaSettings) -> None:
    """Whether a server could begin with these; connects to nothing.

    Raises:
        MissingExtraError: asyncua is not installed.
        InputError: the settings do not fit together.
    """
    if find_spec("asyncua") is None:
        raise MissingExtraError("asyncua", "opcua")
    if not is_loopback(settings.host):
        raise InputError(f"controller host {settings.host!r}: without certificates OPC UA is served on 127.0.0.1 alone")


def is_loopback(host: str) -> bool:
    """Whether only this machine can be reached under this name."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
