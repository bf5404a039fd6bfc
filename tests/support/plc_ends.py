"""A controller for tests: it drives the handshake through whatever memory a protocol gives it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import msgspec

from edge_ad.controllers import Gateway, Inputs, Outputs, SignalSettings
from edge_ad.controllers.layout import INPUTS, OUTPUTS, WordOrder
from edge_ad.link import FakeStation

__all__ = ["Memory", "Plc", "connected", "log_lines", "play", "told", "until"]

PATIENCE_S = 60.0


async def until(true: Callable[[], bool]) -> None:
    """Waits, with the loop running, until it is true."""

    async def wait() -> None:
        while not true():
            await asyncio.sleep(0.002)

    await asyncio.wait_for(wait(), PATIENCE_S)


class Memory(Protocol):
    """The words of a controller, as its program sees them."""

    async def read(self) -> list[int]:
        """All outputs of the station."""

    async def write(self, words: list[int]) -> None:
        """All inputs of the station."""


class Plc:
    """The program of a controller: one part after the other, each step when its signal came."""

    def __init__(self, memory: Memory, order: WordOrder = "big") -> None:
        self.inputs = Inputs()
        self._memory = memory
        self._order = order

    async def outputs(self) -> Outputs:
        """The signals as the controller reads them now."""
        return Outputs(**OUTPUTS.unpack(await self._memory.read(), self._order))

    async def write(self, **signals: Any) -> None:
        """Changes some of the controller's own signals."""
        self.inputs = msgspec.structs.replace(self.inputs, **signals)
        await self._memory.write(INPUTS.pack(self.inputs, self._order))

    async def wait_for(self, true: Callable[[Outputs], bool]) -> Outputs:
        """Reads until it is true."""

        async def wait() -> Outputs:
            while not true(outputs := await self.outputs()):
                await asyncio.sleep(0.001)
            return outputs

        return await asyncio.wait_for(wait(), PATIENCE_S)

    async def trigger(self, number: int, part_id: str = "") -> Outputs:
        """Raises the trigger and lowers it when it was answered; the answer."""
        await self.write(trigger=True, part_number=number, part_id=part_id)
        answer = await self.wait_for(lambda out: out.trigger_ack or out.trigger_error)
        await self.write(trigger=False)
        await self.wait_for(lambda out: not (out.trigger_ack or out.trigger_error))
        return answer

    async def take(self) -> Outputs:
        """The next result, read and acknowledged."""
        shown = await self.wait_for(lambda out: out.result_valid != self.inputs.result_ack)
        await self.write(result_ack=shown.result_valid)
        return shown

    async def inspect(self, number: int, part_id: str = "") -> Outputs:
        """One part from ready to its result."""
        await self.wait_for(lambda out: out.ready)
        answer = await self.trigger(number, part_id)
        assert answer.trigger_ack
        assert answer.trigger_part_number == number
        return await self.take()


@contextlib.asynccontextmanager
async def connected(
    path: Path, settings: SignalSettings, run: Callable[[Gateway], Awaitable[None]]
) -> AsyncIterator[Gateway]:
    """A gateway to the station at ``path``, and a protocol that runs beside it."""
    gateway = Gateway(path, "plc", settings)
    tasks = [asyncio.ensure_future(gateway.run()), asyncio.ensure_future(run(gateway))]
    try:
        await until(lambda: gateway.view.is_connected and gateway.view.snapshot is not None)
        yield gateway
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def play(path: Path, scene: Callable[[FakeStation], Awaitable[None]], **more: Any) -> FakeStation:
    """Lets a scene happen beside a fake station."""
    with FakeStation(path, **more) as station:
        asyncio.run(_awaited(scene(station)))
    return station


async def _awaited(scene: Awaitable[None]) -> None:
    await scene


class _Lines(logging.Handler):
    def __init__(self, lines: list[str]) -> None:
        super().__init__(logging.INFO)
        self.lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@contextlib.contextmanager
def log_lines(lines: list[str]) -> Iterator[None]:
    """What the controllers' modules log goes into the list, also while a scene still runs."""
    logger, handler = logging.getLogger("edge_ad.controllers"), _Lines(lines)
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


async def told(lines: list[str], text: str) -> bool:
    """Waits until a line with this text was logged."""
    await until(lambda: any(text in line for line in lines))
    return True
