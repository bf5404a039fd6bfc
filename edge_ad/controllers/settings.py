"""What every table ``[controller.NAME]`` of a station file may say, whatever its protocol is."""

from __future__ import annotations

import ipaddress
from typing import Annotated, ClassVar

import msgspec

from edge_ad.bundle.fields import Record

__all__ = ["ControllerSettings", "HandshakeSettings", "Milliseconds", "Port", "SignalSettings", "is_loopback"]

Milliseconds = Annotated[int, msgspec.Meta(ge=1, le=600_000)]
Port = Annotated[int, msgspec.Meta(ge=0, le=65_535)]


class ControllerSettings(Record, frozen=True, kw_only=True):
    """``protocol``: the name of one of the protocols that are installed.

    ``PATHS``: the fields that are files or folders; in the file they are relative to its own folder.
    """

    PATHS: ClassVar[tuple[str, ...]] = ()

    protocol: str

    def claims(self) -> dict[str, str]:
        """What no other controller of the station may have: an entry of the table, and what is taken by it."""
        return {}


class HandshakeSettings(ControllerSettings, frozen=True, kw_only=True):
    """How strictly parts are taken from a controller.

    ``window_ms``: from an accepted trigger to its result; a part without one by then is INVALID (``no_result``).
    ``late_limit``: so many such parts in a row are a fault until it is reset. ``ordered``: part numbers have to rise;
    one that does not is refused. ``recent``: so many parts are remembered in order to refuse the same one again.
    A reset of faults lets numbers begin anew. ``max_open``: triggers beyond so many parts without a result are refused.
    """

    window_ms: Milliseconds = 1_000
    late_limit: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 3
    ordered: bool = False
    recent: Annotated[int, msgspec.Meta(ge=0, le=100_000)] = 64
    max_open: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 32


class SignalSettings(HandshakeSettings, frozen=True, kw_only=True):
    """Of a protocol that carries signals in registers, tags or data blocks.

    ``heartbeat_ms``: how often our heartbeat counts up. ``controller_silent_ms``: a controller whose own heartbeat does
    not change for so long is a fault; without it nobody looks. ``acknowledge``: the next result waits until
    ``result_ack`` equals ``result_valid``; one that is not taken within ``acknowledge_ms`` is a fault until it is.
    """

    heartbeat_ms: Milliseconds = 500
    controller_silent_ms: Milliseconds | None = None
    acknowledge: bool = True
    acknowledge_ms: Milliseconds = 1_000


def is_loopback(host: str) -> bool:
    """Whether only this machine can be reached under this name."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
