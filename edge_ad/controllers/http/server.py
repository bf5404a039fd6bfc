"""Serves the application on a socket, with bounds on how long a client may take."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Iterator
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from edge_ad.controllers.gateway import Gateway
from edge_ad.controllers.http.app import make_app, make_desk
from edge_ad.controllers.http.bundle_routes import clear_incoming
from edge_ad.controllers.http.desk import SUBJECT
from edge_ad.controllers.http.http_settings import HttpSettings
from edge_ad.errors import DeviceError

__all__ = ["listen", "serve", "serve_on"]

logger = logging.getLogger(__name__)

_KEEP_ALIVE_S = 60
_GRACE_S = 2
_BACKLOG = 128


async def serve(settings: HttpSettings, gateway: Gateway, name: str) -> None:
    """Serves until it is cancelled.

    Raises:
        DeviceError: the port is taken, or the host is none of this machine.
        InputError: the file of tokens is missing or damaged.
    """
    await serve_on(listen(settings.host, settings.port, name), settings, gateway, name)


async def serve_on(listener: socket.socket, settings: HttpSettings, gateway: Gateway, name: str) -> None:
    """As :func:`serve`, on a socket that listens already."""
    desk = make_desk(settings, gateway, name)
    clear_incoming(desk)
    config = uvicorn.Config(
        make_app(desk),
        http=_bounded(settings),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,  # else any program of this machine could say that it asks from another address
        server_header=False,
        ssl_certfile=settings.certificate,
        ssl_keyfile=settings.key,
        ssl_ca_certs=settings.client_certificates,
        ssl_cert_reqs=ssl.CERT_NONE if settings.client_certificates is None else ssl.CERT_REQUIRED,
        limit_concurrency=settings.clients,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_GRACE_S,
    )
    server = _Server(config)
    gateway.heard += [desk.parts.hear, desk.recent.hear]
    gateway.changed.append(desk.recent.changed)
    host, port = listener.getsockname()[:2]
    logger.info("%s serves %s on %s port %d", name, "https" if settings.certificate else "http", host, port)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        await asyncio.shield(serving)
    finally:
        gateway.heard.remove(desk.parts.hear)
        gateway.heard.remove(desk.recent.hear)
        gateway.changed.remove(desk.recent.changed)
        desk.closing.set()
        server.should_exit = True
        await serving


class _Server(uvicorn.Server):
    """Signals are those of ``edge-ad connect``."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def listen(host: str, port: int, name: str) -> socket.socket:
    """A listening socket; port 0 is any free one. Raises :class:`DeviceError` where there is none."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen(_BACKLOG)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        reason = error.strerror or error
        raise DeviceError(
            f"controller.{name}: cannot listen on {host} port {port}: {reason}: choose another host or port"
        ) from error
    listener.setblocking(False)
    return listener


def _bounded(settings: HttpSettings) -> type[H11Protocol]:
    return type("Bounded", (_Bounded,), {"head_s": settings.receive_s, "send_s": settings.send_s})


class _Bounded(H11Protocol):
    """A connection whose client has to send a request's head, and to take its answers, within a time.

    ``head_s``: for the head of a request, from its first byte on. ``send_s``: for taking what is sent.
    """

    head_s: float
    send_s: float
    _head: asyncio.TimerHandle | None = None
    _sends: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.app = _with_subject(self.app, transport)
        self._watch_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch_head()

    def connection_lost(self, exc: Exception | None) -> None:
        _stop(self._head, self._sends)
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._sends = self._sends or self.loop.call_later(self.send_s, self._abort)

    def resume_writing(self) -> None:
        _stop(self._sends)
        self._sends = None
        super().resume_writing()

    def _watch_head(self) -> None:
        """A connection that waits for its next request is ended by the keep-alive time; one amid a head by this."""
        if self.conn.their_state is not h11.IDLE:
            self._head_is_here()
        elif self._head is None:
            self._head = self.loop.call_later(self.head_s, self._abort)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._head_is_here()
        if self.conn.trailing_data[0]:  # a part of the next request came with this one
            self._watch_head()

    def _head_is_here(self) -> None:
        _stop(self._head)
        self._head = None

    def _abort(self) -> None:
        self.transport.abort()


def _with_subject(app: Any, transport: Any) -> Any:
    """The application for the requests of one connection, with the subject of its client's certificate."""
    tls = transport.get_extra_info("ssl_object")
    shown = None if tls is None else tls.getpeercert(binary_form=True)
    if not shown:
        return app
    from cryptography.x509 import load_der_x509_certificate

    try:
        subject = load_der_x509_certificate(shown).subject.rfc4514_string()
    except ValueError:  # OpenSSL takes certificates that others do not: this one has no role
        return app

    async def named(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, SUBJECT: subject}, receive, send)

    return named


def _stop(*timers: asyncio.TimerHandle | None) -> None:
    for timer in timers:
        if timer is not None:
            timer.cancel()
