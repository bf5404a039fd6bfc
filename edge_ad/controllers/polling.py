"""The direction in which we are the client: a controller is read at intervals, and written when signals change.

The libraries of these protocols block. Each connection has a thread of its own; a call that does not come back in time
is left to itself, and a new connection is made.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

from edge_ad.controllers.exchange import SignalExchange
from edge_ad.controllers.gateway import Gateway
from edge_ad.controllers.layout import WordOrder, read_inputs, write_outputs
from edge_ad.controllers.settings import Milliseconds, SignalSettings
from edge_ad.controllers.signals import SIGNALS_VERSION, Outputs
from edge_ad.errors import DeviceError, one_line

__all__ = ["ControllerMemory", "PollSettings", "PolledController"]

logger = logging.getLogger(__name__)
T = TypeVar("T")

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 2.0


class PollSettings(SignalSettings, frozen=True, kw_only=True):
    """Of a protocol in which we are the client.

    ``host``: the address of the controller. ``poll_ms``: how often its signals are read. ``timeout_ms``: an answer that
    takes longer is a lost connection. ``word_order``: of values with two words.
    """

    host: str
    poll_ms: Milliseconds = 10
    timeout_ms: Milliseconds = 1_000
    word_order: WordOrder = "big"


class ControllerMemory(Protocol):
    """One connection to a controller. Each call may wait, and raises ``DeviceError``; one at a time, in any thread."""

    def open(self) -> None:
        """Connects."""

    def read(self) -> list[int]:
        """The words of the controller's signals."""

    def write(self, words: list[int]) -> None:
        """Our signals: first the data from word 2 on, then the bits, so that no bit comes before its data."""

    def close(self) -> None:
        """Never raises."""


class PolledController:
    """Keeps a connection to one controller. ``make``: a connection that is not open yet."""

    def __init__(
        self, settings: PollSettings, gateway: Gateway, name: str, make: Callable[[], ControllerMemory]
    ) -> None:
        self._settings = settings
        self._make = make
        self._words = write_outputs(Outputs(), settings.word_order)
        self._woken = asyncio.Event()
        self._exchange = SignalExchange(gateway, settings, self._show, name)
        self._is_reached: bool | None = None
        self._wrong_version = False

    async def run(self) -> None:
        """Follows the controller and the station until it is cancelled; what the controller does raises nothing."""
        exchanging = asyncio.ensure_future(self._exchange.run())
        try:
            await self._follow()
        finally:
            exchanging.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await exchanging

    def _show(self, outputs: Outputs) -> None:
        self._words = write_outputs(outputs, self._settings.word_order)
        self._woken.set()

    async def _follow(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while True:
            thread = ThreadPoolExecutor(1, "controller")
            memory = self._make()
            try:
                await self._call(thread, memory.open)
                pause_s = _FIRST_PAUSE_S
                await self._poll(thread, memory)
            except DeviceError as error:
                self._exchange.controller_gone()
                self._tell(one_line(error))
            finally:
                thread.submit(memory.close)
                thread.shutdown(wait=False)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _poll(self, thread: ThreadPoolExecutor, memory: ControllerMemory) -> None:
        loop = asyncio.get_running_loop()
        written: list[int] = []
        while True:
            due = loop.time() + self._settings.poll_ms / 1_000
            self._read(await self._call(thread, memory.read))
            self._tell(None)
            while True:
                words = self._words
                if words != written:
                    await self._call(thread, lambda words=words: memory.write(words))  # type: ignore[misc]
                    written = words
                if loop.time() >= due:
                    break
                await self._wait_until(due)

    def _read(self, words: list[int]) -> None:
        inputs = read_inputs(words, self._settings.word_order)
        if inputs is not None:
            self._exchange.read(inputs)
        elif not self._wrong_version:
            logger.warning(
                "the controller's first word says version %d, expected 0 to %d: its signals are not read",
                words[0],
                SIGNALS_VERSION,
            )
        self._wrong_version = inputs is None

    async def _wait_until(self, due: float) -> None:
        """Returns earlier where our signals change."""
        # Before Python 3.12 wait_for may swallow that it was cancelled.
        timer = asyncio.get_running_loop().call_at(due, self._woken.set)
        await self._woken.wait()
        timer.cancel()
        self._woken.clear()

    async def _call(self, thread: ThreadPoolExecutor, call: Callable[[], T]) -> T:
        """Raises ``DeviceError`` also where the call is still not done in time."""
        future = asyncio.get_running_loop().run_in_executor(thread, call)
        future.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody may be left to ask
        done, _ = await asyncio.wait({future}, timeout=self._settings.timeout_ms / 1_000)
        if not done:
            raise DeviceError(f"{self._settings.host} did not answer within {self._settings.timeout_ms} ms")
        try:
            return future.result()
        except DeviceError:
            raise
        except Exception as error:  # libraries raise all sorts of things for an answer that is broken
            raise DeviceError(f"{self._settings.host}: {type(error).__name__} {one_line(error)}") from error

    def _tell(self, trouble: str | None) -> None:
        """Logs once that the controller is lost, and once that it is there."""
        if (trouble is None) is self._is_reached:
            return
        self._is_reached = trouble is None
        if trouble is None:
            logger.info("connected to the controller at %s", self._settings.host)
        else:
            logger.warning("no controller: %s; trying again", trouble)
