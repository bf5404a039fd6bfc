"""What a protocol has to bring, and which protocols are installed."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import msgspec

from edge_ad.controllers.gateway import Gateway
from edge_ad.controllers.settings import ControllerSettings
from edge_ad.errors import InputError
from edge_ad.station.strict import convert

__all__ = ["Protocol", "load_protocol", "read_settings"]

GROUP = "edge_ad.controllers"
"""The entry points by which a package adds a protocol: ``name = "module:PROTOCOL"``."""


@dataclass(frozen=True, slots=True)
class Protocol:
    """One protocol.

    ``settings``: its table in the station file. ``check``: raises ``EdgeAdError`` where something that the settings
    name is missing, such as a library or a certificate; connects to nothing. ``run``: serves until it is cancelled;
    raises ``EdgeAdError`` where it cannot begin, for instance because its port is taken. It gets the settings, the
    gateway (which runs already) and the name of its table.
    """

    settings: type[ControllerSettings]
    check: Callable[[Any], None]
    run: Callable[[Any, Gateway, str], Awaitable[None]]


def load_protocol(name: str, where: str) -> Protocol:
    """A protocol by its name; ``where``: the entry of the station file that asks for it.

    Raises:
        InputError: there is none of this name.
    """
    known = _installed()
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f", did you mean {close[0]!r}?" if close else f": there are {', '.join(sorted(known))}"
        raise InputError(f"{where}: no protocol {name!r} is installed{hint}")
    protocol = known[name].load()
    if not isinstance(protocol, Protocol):
        raise InputError(f"{where}: the entry point {name!r} of {GROUP} is no Protocol but a {type(protocol).__name__}")
    return protocol


def read_settings(name: str, table: object, folder: Path) -> tuple[Protocol, ControllerSettings]:
    """The table ``[controller.NAME]`` of a station file that lies in ``folder``.

    Raises:
        InputError: an unknown protocol, or an unknown, missing or wrong entry.
    """
    where = f"controller.{name}"
    if not isinstance(table, dict) or not isinstance(table.get("protocol"), str):
        raise InputError(f"{where}.protocol is missing: name one of {', '.join(sorted(_installed()))}")
    protocol = load_protocol(table["protocol"], f"{where}.protocol")
    settings = convert(table, protocol.settings, where)
    paths = {field: getattr(settings, field) for field in settings.PATHS}
    below = {field: str(folder / path) for field, path in paths.items() if path is not None}
    return protocol, msgspec.structs.replace(settings, **below)


@functools.cache
def _installed() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}
