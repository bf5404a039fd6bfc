"""The registers of a controller that is the Modbus server."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from pymodbus.client import ModbusTcpClient
from pymodbus.exceptions import ModbusException

from edge_ad.controllers.layout import INPUTS
from edge_ad.controllers.modbus.modbus_settings import ModbusClientSettings
from edge_ad.errors import DeviceError, one_line

__all__ = ["ModbusMemory"]

logging.getLogger("pymodbus").setLevel(logging.CRITICAL)  # a line for each attempt would fill the log


class ModbusMemory:
    """See :class:`edge_ad.controllers.polling.ControllerMemory`."""

    def __init__(self, settings: ModbusClientSettings) -> None:
        self._settings = settings
        timeout_s = settings.timeout_ms / 1_000
        self._client: Any = ModbusTcpClient(settings.host, port=settings.port, timeout=timeout_s, retries=0)

    def open(self) -> None:
        """Connects."""
        if not self._client.connect():
            raise DeviceError(f"{self._place()} cannot be reached")

    def read(self) -> list[int]:
        """One request for all words."""
        first, unit = self._settings.inputs_address, self._settings.unit
        answer = self._asked(lambda: self._client.read_holding_registers(first, count=INPUTS.words, device_id=unit))
        if len(answer.registers) != INPUTS.words:
            raise DeviceError(f"{self._place()} answered {len(answer.registers)} registers, expected {INPUTS.words}")
        return list(answer.registers)

    def write(self, words: list[int]) -> None:
        """Two requests: the data, then version and bits."""
        first, unit = self._settings.outputs_address, self._settings.unit
        self._asked(lambda: self._client.write_registers(first + 2, words[2:], device_id=unit))
        self._asked(lambda: self._client.write_registers(first, words[:2], device_id=unit))

    def close(self) -> None:
        """Never raises."""
        self._client.close()

    def _asked(self, request: Callable[[], Any]) -> Any:
        try:
            answer = request()
        except (ModbusException, OSError) as error:
            raise DeviceError(f"{self._place()}: {one_line(error)}") from error
        if answer.isError():
            raise DeviceError(f"{self._place()} refuses the registers: {one_line(answer)}")
        return answer

    def _place(self) -> str:
        return f"the Modbus server {self._settings.host}:{self._settings.port}"
