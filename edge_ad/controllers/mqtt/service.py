"""Brings a station and a broker together: what the station says is published, what the broker brings is carried out."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from pathlib import Path
from typing import Any

import msgspec

from edge_ad.controllers.conversation import Outcome, outcome_of
from edge_ad.controllers.gateway import Gateway
from edge_ad.controllers.mqtt import messages
from edge_ad.controllers.mqtt.broker import Broker, Incoming, Listener
from edge_ad.controllers.mqtt.commands import Commands
from edge_ad.controllers.mqtt.mqtt_settings import MqttSettings
from edge_ad.controllers.outbox import Outbox, OutboxLimits, Waiting
from edge_ad.controllers.view import StationView
from edge_ad.link.messages import AlarmChanged, Event, ExposureComplete, FaultRaised, PartResult, RecipeChanged

__all__ = ["run"]

logger = logging.getLogger(__name__)

_IN_FLIGHT = 20
_STATE_S = 0.1
_REFUSED_S = 5.0


async def run(settings: MqttSettings, gateway: Gateway, name: str) -> None:
    """Serves until it is cancelled.

    Raises:
        EdgeAdError: the outbox cannot be used.
    """
    size = settings.outbox_mb * 1_000_000
    limits = OutboxLimits(messages=settings.outbox_messages, size_bytes=size, sync=settings.outbox_sync)
    with contextlib.closing(Outbox(Path(settings.outbox), limits)) as outbox:
        await _Service(settings, gateway, name, outbox).run()


class _Service:
    """One adapter. All of it happens in one thread."""

    def __init__(self, settings: MqttSettings, gateway: Gateway, name: str, outbox: Outbox) -> None:
        station = gateway.view.station or name
        self._base = settings.topic or f"edge-ad/{station}"
        self._station = station
        self._view = gateway.view
        self._gateway = gateway
        self._outbox = outbox
        listener = Listener(self._up, self._down, self._heard, self._acknowledged)
        client_id = settings.client_id or f"edge-ad-{station}-{name}"
        self._broker = Broker(settings, client_id, f"{self._base}/online", f"{self._base}/command/+", listener)
        self._commands = Commands(settings, gateway, name, self._publish_result, self._answer, self._broker.drop)
        self._in_flight: dict[int, Waiting] = {}
        self._handed = 0
        self._session = ""
        self._was_connected = False
        self._shown: tuple[bytes, bytes] = (b"", b"")
        self._state_timer: asyncio.TimerHandle | None = None
        self._pause: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        self._gateway.heard.append(self._hear)
        self._gateway.changed.append(self._changed)
        tasks = [asyncio.create_task(self._broker.run()), asyncio.create_task(self._commands.watch())]
        try:
            self._changed()
            await asyncio.gather(*tasks)
        finally:
            self._gateway.heard.remove(self._hear)
            self._gateway.changed.remove(self._changed)
            for timer in (self._state_timer, self._pause):
                if timer is not None:
                    timer.cancel()
            await self._commands.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    # --- the station

    def _hear(self, event: Event) -> None:
        if isinstance(event, PartResult):
            if not self._commands.takes(event):
                self._publish_result(outcome_of(event))
        elif isinstance(event, ExposureComplete):
            told = messages.ExposureMessage(trigger=event.trigger, part_id=event.part_id)
            self._broker.publish(f"{self._base}/exposure", msgspec.json.encode(told), qos=0)
        elif isinstance(event, FaultRaised):
            self._keep("fault", messages.FaultMessage, cause=event.cause, detail=event.detail, triggers=event.triggers)
        elif isinstance(event, AlarmChanged):
            self._keep(
                "alarm",
                messages.AlarmMessage,
                alarm=event.alarm,
                text=event.text,
                active=event.active,
                acknowledged=event.acknowledged,
            )
        elif isinstance(event, RecipeChanged):
            self._keep(
                "recipe",
                messages.RecipeMessage,
                requested=event.requested,
                active=event.active,
                acknowledged=event.acknowledged,
                error=event.error,
            )

    def _publish_result(self, outcome: Outcome) -> messages.ResultMessage:
        name = f"{self._session}-{outcome.trigger}"
        sequence = self._outbox.next_sequence()
        message = messages.result_message(outcome, name, sequence, self._station, time.time())
        self._send(self._outbox.add("result", msgspec.json.encode(message)))
        return message

    def _keep(self, topic: str, kind: type[messages.Published], **fields: Any) -> None:
        message = kind(sequence=self._outbox.next_sequence(), **fields)
        self._send(self._outbox.add(topic, msgspec.json.encode(message)))

    def _changed(self) -> None:
        if self._view.is_connected != self._was_connected:
            self._was_connected = self._view.is_connected
            if self._view.is_connected:
                self._session = secrets.token_hex(8)  # trigger numbers begin anew with each run of the station
        if self._state_timer is None:
            self._show()
            self._state_timer = asyncio.get_running_loop().call_later(_STATE_S, self._show_again)

    def _show_again(self) -> None:
        self._state_timer = None
        self._show()

    def _show(self) -> None:
        """Publishes state and counters where they have changed; the newest ones only, and not more often than that."""
        if not self._broker.is_up:
            return
        shown = (msgspec.json.encode(_state(self._view, self._station)), msgspec.json.encode(self._counters()))
        for topic, old, new in zip(("state", "counters"), self._shown, shown, strict=True):
            if new != old:
                self._broker.publish(f"{self._base}/{topic}", new, retain=True)
        self._shown = shown

    def _counters(self) -> messages.CountersMessage:
        counts, snapshot = self._view.counts, self._view.snapshot
        present = None if snapshot is None else snapshot.counts
        return messages.CountersMessage(
            recipe=self._view.recipe,
            since=None if present is None else present.since,
            total=counts.total,
            ok=counts.ok,
            ng=counts.ng,
            invalid=counts.invalid,
            refused=counts.refused,
            waiting=max(0, self._outbox.waiting - len(self._in_flight)),
            dropped=self._outbox.dropped,
            unwritten=self._outbox.unwritten,
        )

    # --- the broker

    def _up(self) -> None:
        self._shown = (b"", b"")
        self._show()
        self._pump()

    def _down(self) -> None:
        self._rewind()

    def _heard(self, message: Incoming) -> None:
        self._commands.hear(message, message.topic.removeprefix(f"{self._base}/command/"))

    def _answer(self, to: Incoming, answer: messages.Answer) -> None:
        topic = to.response_topic or f"{self._base}/answer"
        self._broker.publish(topic, msgspec.json.encode(answer), correlation=to.correlation)

    def _acknowledged(self, number: int, failure: str | None) -> None:
        waiting = self._in_flight.pop(number, None)
        if waiting is None:
            return
        if failure is None:
            self._outbox.done(waiting.sequence)
            self._pump()
            return
        logger.error("the broker does not take %s/%s: %s; trying again", self._base, waiting.kind, failure)
        self._rewind()
        if self._pause is None:
            self._pause = asyncio.get_running_loop().call_later(_REFUSED_S, self._resume)

    def _resume(self) -> None:
        self._pause = None
        self._pump()

    def _rewind(self) -> None:
        """Nobody will acknowledge what was handed over: it is sent again, with the same id, in the same order."""
        self._in_flight.clear()
        self._handed = 0

    def _send(self, message: Waiting) -> None:
        """A fresh message: at once, where none waits before it."""
        if self._handed == message.sequence - 1 and self._may_send():
            self._hand_over(message)
        else:
            self._pump()

    def _pump(self) -> None:
        while self._may_send():
            waiting = self._outbox.after(self._handed, _IN_FLIGHT - len(self._in_flight))
            if not waiting:
                if self._outbox.waiting <= len(self._in_flight):
                    self._handed = self._outbox.next_sequence() - 1
                return
            for message in waiting:
                self._hand_over(message)

    def _may_send(self) -> bool:
        return self._broker.is_up and self._pause is None and len(self._in_flight) < _IN_FLIGHT

    def _hand_over(self, message: Waiting) -> None:
        number = self._broker.publish(f"{self._base}/{message.kind}", message.payload)
        self._in_flight[number] = message
        self._handed = message.sequence


def _state(view: StationView, station: str) -> messages.StateMessage:
    if not view.is_connected:
        return messages.StateMessage(station=station, connected=False)
    return messages.StateMessage(
        station=station,
        connected=True,
        state=view.state,
        cause=view.cause,
        causes=view.causes,
        recipe=view.recipe,
        requested_recipe=view.requested_recipe,
        recipe_error=view.recipe_error,
        recipes=view.recipes,
        alarms=view.alarms,
    )
