"""Carries out what a controller's signals ask for, and says when the signals it is shown have changed."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine

from edge_ad.controllers.conversation import TriggerRefusal
from edge_ad.controllers.gateway import Gateway, PartRefusedError
from edge_ad.controllers.settings import SignalSettings
from edge_ad.controllers.signalling import AskPart, AskRecipe, Command, ResetCounters, ResetFault, Signalling
from edge_ad.controllers.signals import Inputs, Outputs
from edge_ad.errors import EdgeAdError
from edge_ad.link.messages import Event

__all__ = ["SignalExchange"]

logger = logging.getLogger(__name__)

_MOST_COMMANDS = 64


class SignalExchange:
    """One controller's signals in a running event loop.

    ``show``: is given the new signals, without waiting, whenever they have changed; also once at the beginning.
    ``by``: who this controller is, for the station's log.
    """

    def __init__(self, gateway: Gateway, settings: SignalSettings, show: Callable[[Outputs], None], by: str) -> None:
        self._gateway = gateway
        self._by = by
        self._show = show
        self._signalling = Signalling(settings, gateway.view, time.monotonic_ns())
        self._tasks: set[asyncio.Task[None]] = set()
        self._shown: Outputs | None = None
        self._woken = asyncio.Event()

    @property
    def outputs(self) -> Outputs:
        """The signals as they are now."""
        return self._signalling.outputs

    def read(self, inputs: Inputs) -> None:
        """The controller's signals as they are now; call it whenever they were written or read. Never waits."""
        for command in self._signalling.read(inputs, time.monotonic_ns()):
            if len(self._tasks) >= _MOST_COMMANDS:
                self._refuse(command)
                continue
            task = asyncio.get_running_loop().create_task(self._carry_out(command))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self._tell()

    def controller_gone(self) -> None:
        """The controller cannot be reached: a fault until it was read again, for protocols that can know."""
        self._signalling.controller_gone(time.monotonic_ns())
        self._tell()

    async def run(self) -> None:
        """Follows the station and the clock until it is cancelled."""
        self._gateway.heard.append(self._heard)
        self._gateway.changed.append(self._changed)
        try:
            self._changed()
            while True:
                wait_s = max(0.0, (self._signalling.next_tick_ns() - time.monotonic_ns()) / 1e9)
                # Before Python 3.12 wait_for may swallow that it was cancelled.
                timer = asyncio.get_running_loop().call_later(wait_s, self._woken.set)
                await self._woken.wait()
                timer.cancel()
                self._woken.clear()
                self._signalling.tick(time.monotonic_ns())
                self._tell()
        finally:
            self._gateway.heard.remove(self._heard)
            self._gateway.changed.remove(self._changed)
            for task in list(self._tasks):
                task.cancel()

    def _heard(self, event: Event) -> None:
        self._signalling.hear(event, time.monotonic_ns())
        self._tell()

    def _changed(self) -> None:
        self._signalling.changed(time.monotonic_ns())
        self._tell()

    def _tell(self) -> None:
        if self._signalling.outputs != self._shown:
            self._shown = self._signalling.outputs
            self._show(self._shown)
            self._woken.set()

    def _refuse(self, command: Command) -> None:
        """So many are under way that whoever asks is no controller: none of them may cost memory."""
        if isinstance(command, AskPart):
            refusal = TriggerRefusal("too_many_open", f"{_MOST_COMMANDS} commands have no answer yet")
            self._signalling.part_refused(command.part, refusal, time.monotonic_ns())
        elif isinstance(command, AskRecipe):
            self._signalling.recipe_refused(time.monotonic_ns())

    async def _carry_out(self, command: Command) -> None:
        if isinstance(command, AskPart):
            await self._ask(command)
            return
        action: Coroutine[None, None, None]
        if isinstance(command, AskRecipe):
            action = self._gateway.recipe(command.name, by=self._by)
        elif isinstance(command, ResetFault):
            action = self._gateway.reset(by=self._by)
        else:
            assert isinstance(command, ResetCounters)  # noqa: S101
            action = self._gateway.reset_counters(by=self._by)
        try:
            await action
        except EdgeAdError as error:
            logger.warning("%s: %s", type(command).__name__, error)
            if isinstance(command, AskRecipe):
                self._signalling.recipe_refused(time.monotonic_ns())
        self._tell()

    async def _ask(self, command: AskPart) -> None:
        part = command.part
        try:
            trigger = await self._gateway.trigger(part.part_id)
        except PartRefusedError as error:
            self._signalling.part_refused(part, error.refusal, time.monotonic_ns())
        except EdgeAdError as error:
            self._signalling.part_refused(part, TriggerRefusal("bad_part", str(error)), time.monotonic_ns())
        else:
            self._signalling.part_accepted(part, trigger, time.monotonic_ns())
        self._tell()
