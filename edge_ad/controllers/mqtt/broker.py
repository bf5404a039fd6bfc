"""The connection to the broker: one paho client for each, in this process's event loop, and another after each end."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edge_ad.controllers.mqtt.mqtt_settings import MqttSettings, password_of, tls_context
from edge_ad.errors import one_line

if TYPE_CHECKING:
    from paho.mqtt.client import Client
    from paho.mqtt.properties import Properties

__all__ = ["Broker", "Incoming", "Listener"]

logger = logging.getLogger(__name__)

PAYLOAD_BYTES = 65_536
"""A broker is asked not to send larger messages."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S, _REFUSED_PAUSE_S = 0.2, 5.0, 15.0
_CONNECT_S = 3.0
_LASTING = {135, 138, 142}
"""Reasons of a broker to send us away that are still there at once: not authorized, banned, another of our name."""
_MISC_S = 0.5
_FAREWELL_S = 1.0


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message of the broker. ``response_topic``, ``correlation``: of MQTT 5, where they were given."""

    topic: str
    payload: bytes
    is_retained: bool
    response_topic: str | None = None
    correlation: bytes | None = None


@dataclass(frozen=True, slots=True)
class Listener:
    """What is called, without waiting.

    ``up``, ``down``: the connection is there, or gone. ``acknowledged``: the broker has answered a message with
    this number; the text says why it did not take it.
    """

    up: Callable[[], None]
    down: Callable[[], None]
    heard: Callable[[Incoming], None]
    acknowledged: Callable[[int, str | None], None]


class Broker:
    """``online``: a topic that tells whether we are connected; ``filter``: the topics that are subscribed.

    Nothing is kept here: what is published while there is no connection is not sent. Every connection begins a new
    session, so the broker keeps no command for a time when nobody could carry it out.
    """

    def __init__(self, settings: MqttSettings, client_id: str, online: str, filter_: str, listener: Listener) -> None:
        self._settings = settings
        self._client_id = client_id
        self._online = online
        self._filter = filter_
        self._listener = listener
        self._client: Client | None = None
        self._ended: asyncio.Future[str] | None = None
        self._is_refused = False

    @property
    def is_up(self) -> bool:
        """Whether messages can be sent."""
        return self._client is not None

    async def run(self) -> None:
        """Connects, and connects again, until it is cancelled; never raises for what the broker does."""
        pause_s, told = _FIRST_PAUSE_S, ""
        where = f"{self._settings.host}:{self._settings.broker_port}"
        while True:
            self._is_refused = False
            begun = time.monotonic()
            why = await self._connect_once()
            if why != told:
                logger.warning("no connection to the broker %s: %s; trying again", where, why)
                told = why
            if time.monotonic() - begun > _LONGEST_PAUSE_S:
                pause_s, told = _FIRST_PAUSE_S, ""
            await asyncio.sleep(_REFUSED_PAUSE_S if self._is_refused else pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def publish(
        self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False, correlation: bytes | None = None
    ) -> int:
        """Sends a message; the number with which it is acknowledged, 0 where there is no connection.

        ``correlation``: of MQTT 5.
        """
        if self._client is None:
            return 0
        more = None if correlation is None else _properties("PUBLISH", CorrelationData=correlation)
        return self._client.publish(topic, payload, qos=qos, retain=retain, properties=more).mid

    def drop(self, why: str) -> None:
        """Gives this connection up at once, and begins another one; nothing that waits in it is heard."""
        self._end(why)
        self._went_down()

    async def farewell(self) -> None:
        """Says that we go, and goes; for the end of :meth:`run`, which has to be cancelled before."""
        client, self._client = self._client, None
        if client is None:
            return
        client.publish(self._online, b'{"online":false}', qos=1, retain=True)
        client.disconnect()
        end = time.monotonic() + _FAREWELL_S
        while client.want_write() and client.socket() is not None and time.monotonic() < end:
            await asyncio.sleep(0.01)

    # --- one connection

    async def _connect_once(self) -> str:
        """From connecting to the end; why it ended."""
        loop = asyncio.get_running_loop()
        client = self._new_client()
        try:
            await asyncio.to_thread(self._connect, client)
        except (OSError, ValueError) as error:
            return one_line(getattr(error, "verify_message", "") or getattr(error, "strerror", "") or error)
        self._ended = loop.create_future()
        watch = _Watch(client, loop, self._end)
        try:
            while not self._ended.done():
                await asyncio.wait([self._ended], timeout=_MISC_S)
                watch.guarded(client.loop_misc)
            return self._ended.result()
        except asyncio.CancelledError:
            await self.farewell()
            raise
        finally:
            watch.close()
            self._went_down()

    def _went_down(self) -> None:
        was_up, self._client = self._client is not None, None
        if was_up:
            self._listener.down()

    def _end(self, why: str) -> None:
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(why)

    def _new_client(self) -> Client:
        from paho.mqtt.client import Client, MQTTv5, MQTTv311
        from paho.mqtt.enums import CallbackAPIVersion

        settings = self._settings
        client = Client(
            CallbackAPIVersion.VERSION2,
            self._client_id,
            protocol=MQTTv5 if settings.version == "5" else MQTTv311,
            reconnect_on_failure=False,
        )
        client.connect_timeout = _CONNECT_S
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        if settings.username is not None:
            client.username_pw_set(settings.username, password_of(settings))
        context = tls_context(settings)
        if context is not None:
            client.tls_set_context(context)
        client.will_set(self._online, b'{"online":false}', qos=1, retain=True)
        return client

    def _connect(self, client: Client) -> None:
        """In a thread: names are looked up, and a certificate is shown."""
        settings = self._settings
        given: dict[str, Any] = {}
        if settings.version == "5":
            given = {"properties": _properties("CONNECT", MaximumPacketSize=2 * PAYLOAD_BYTES), "clean_start": True}
        client.connect(settings.host, settings.broker_port, settings.keepalive_s, **given)

    def _on_connect(self, client: Client, _: object, __: object, reason: Any, ___: object) -> None:
        if reason.is_failure:
            self._is_refused = True
            self._end(f"it refuses us: {reason}")
            return
        if self._settings.version == "5":
            from paho.mqtt.subscribeoptions import SubscribeOptions

            never = SubscribeOptions.RETAIN_DO_NOT_SEND
            client.subscribe(self._filter, options=SubscribeOptions(1, False, True, never))
        else:
            client.subscribe(self._filter, qos=1)
        logger.info("connected to the broker %s:%d", self._settings.host, self._settings.broker_port)
        self._client = client
        client.publish(self._online, b'{"online":true}', qos=1, retain=True)
        self._listener.up()

    def _on_disconnect(self, _: object, __: object, flags: Any, reason: Any, ___: object) -> None:
        if flags.is_disconnect_packet_from_server and reason.value in _LASTING:
            self._is_refused = True
        self._end(f"the connection ended: {reason}")

    def _on_message(self, client: Client, _: object, message: Any) -> None:
        if client is not self._client:
            return
        given = message.properties
        incoming = Incoming(
            message.topic,
            bytes(message.payload),
            bool(message.retain),
            getattr(given, "ResponseTopic", None),
            getattr(given, "CorrelationData", None),
        )
        self._listener.heard(incoming)

    def _on_publish(self, client: Client, _: object, number: int, reason: Any, __: object) -> None:
        if client is self._client:
            self._listener.acknowledged(number, str(reason) if reason.is_failure else None)


class _Watch:
    """Lets a client read and write when the event loop finds its socket ready."""

    def __init__(self, client: Client, loop: asyncio.AbstractEventLoop, end: Callable[[str], None]) -> None:
        self._client = client
        self._loop = loop
        self._end = end
        self._socket: Any = client.socket()
        client.on_socket_register_write = self._wants_to_write
        client.on_socket_unregister_write = self._has_written
        client.on_socket_close = self._forget
        if isinstance(self._socket, socket.socket):
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._socket is None:
            end("the connection was lost")
            return
        loop.add_reader(self._socket, self._read)
        if client.want_write():
            self._wants_to_write()

    def guarded(self, step: Callable[[], object]) -> None:
        """Paho raises this and that where a broker sends nonsense."""
        try:
            if step():
                self._end("the connection was lost")
        except Exception as error:  # noqa: BLE001
            self._end(f"the broker sends what is no MQTT: {type(error).__name__}: {one_line(error)}")

    def close(self) -> None:
        """Nothing is read or written any more."""
        self._forget()
        self._client.on_disconnect = self._client.on_socket_close = None
        self._client._reset_sockets()  # a client has no other way to close at once, without a farewell

    def _wants_to_write(self, *_: object) -> None:
        if self._socket is not None:
            self._loop.add_writer(self._socket, self._write)

    def _has_written(self, *_: object) -> None:
        if self._socket is not None:
            self._loop.remove_writer(self._socket)

    def _read(self) -> None:
        self.guarded(self._client.loop_read)
        while self._socket is not None and getattr(self._socket, "pending", int)():
            self.guarded(self._client.loop_read)

    def _write(self) -> None:
        self.guarded(self._client.loop_write)

    def _forget(self, *_: object) -> None:
        if self._socket is not None:
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
            self._socket = None


def _properties(packet: str, **values: Any) -> Properties:
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties

    made = Properties(getattr(PacketTypes, packet))  # type: ignore[no-untyped-call]
    for name, value in values.items():
        setattr(made, name, value)
    return made
