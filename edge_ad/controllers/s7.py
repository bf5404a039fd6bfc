"""Siemens S7: our signals are written into a data block of the controller, and its own are read there."""

from __future__ import annotations

import importlib.util
import logging
import struct
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from edge_ad.controllers.adapter import Protocol
from edge_ad.controllers.layout import INPUTS, OUTPUTS
from edge_ad.controllers.polling import PolledController, PollSettings
from edge_ad.controllers.settings import Port
from edge_ad.errors import DeviceError, InputError, MissingExtraError, one_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge_ad.controllers.gateway import Gateway

__all__ = ["PROTOCOL", "S7Memory", "S7Settings"]

_Byte = Annotated[int, msgspec.Meta(ge=0, le=65_535)]


class S7Settings(PollSettings, frozen=True, kw_only=True):
    """The connection and the data block, whose access must not be optimised.

    ``outputs_byte``, ``inputs_byte``: at which byte of the data block ``db`` our signals and those of the controller
    begin.
    """

    port: Port = 102
    rack: Annotated[int, msgspec.Meta(ge=0, le=7)] = 0
    slot: Annotated[int, msgspec.Meta(ge=0, le=31)] = 1
    db: Annotated[int, msgspec.Meta(ge=1, le=65_535)]
    outputs_byte: _Byte = 0
    inputs_byte: _Byte = 100


class S7Memory:
    """See :class:`edge_ad.controllers.polling.ControllerMemory`."""

    def __init__(self, settings: S7Settings) -> None:
        from snap7.client import Client

        logging.getLogger("snap7").setLevel(logging.CRITICAL)  # a line for each attempt would fill the log
        self._settings = settings
        self._client: Any = Client()

    def open(self) -> None:
        """Connects."""
        one = self._settings
        self._asked(lambda: self._client.connect(one.host, one.rack, one.slot, one.port))

    def read(self) -> list[int]:
        """One request for all words."""
        one, size = self._settings, 2 * INPUTS.words
        data = self._asked(lambda: self._client.db_read(one.db, one.inputs_byte, size))
        if len(data) != size:
            raise DeviceError(f"{self._place()} answered {len(data)} bytes, expected {size}")
        return list(struct.unpack(f">{INPUTS.words}H", bytes(data)))

    def write(self, words: list[int]) -> None:
        """Two requests: the data, then version and bits."""
        one, data = self._settings, bytearray(struct.pack(f">{len(words)}H", *words))
        self._asked(lambda: self._client.db_write(one.db, one.outputs_byte + 4, data[4:]))
        self._asked(lambda: self._client.db_write(one.db, one.outputs_byte, data[:4]))

    def close(self) -> None:
        """Never raises."""
        self._client.disconnect()

    def _asked(self, request: Callable[[], Any]) -> Any:
        from snap7.error import S7Error

        try:
            return request()
        except (S7Error, RuntimeError, ValueError, OSError) as error:
            raise DeviceError(f"{self._place()}: {one_line(error)}") from error

    def _place(self) -> str:
        return f"DB{self._settings.db} of the S7 controller {self._settings.host}:{self._settings.port}"


def _check(settings: S7Settings) -> None:
    if importlib.util.find_spec("snap7") is None:
        raise MissingExtraError("python-snap7", "s7")
    outputs = range(settings.outputs_byte, settings.outputs_byte + 2 * OUTPUTS.words)
    inputs = range(settings.inputs_byte, settings.inputs_byte + 2 * INPUTS.words)
    if max(outputs[0], inputs[0]) <= min(outputs[-1], inputs[-1]):
        raise InputError(
            f"inputs_byte: the bytes {inputs[0]} to {inputs[-1]} overlap with those of outputs_byte, "
            f"{outputs[0]} to {outputs[-1]}"
        )


async def _follow(settings: S7Settings, gateway: Gateway, name: str) -> None:
    await PolledController(settings, gateway, name, lambda: S7Memory(settings)).run()


PROTOCOL = Protocol(S7Settings, _check, _follow)
