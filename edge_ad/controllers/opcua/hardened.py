"""asyncua's server with bounds: of connections, sessions, messages and of clients that do not read.

asyncua 2.1 leaves a few things open that a machine's server must not: a message may claim any length, an unknown policy
falls back to none with all rights, sessions that are never activated stay, and methods do not learn who calls. Methods
run beside the other requests of their connection, so that one that waits holds up nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from dataclasses import dataclass
from typing import Any

from asyncua import Server, ua
from asyncua.common.connection import TransportLimits
from asyncua.common.utils import Buffer, ServiceError
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.crypto.security_policies import SecurityPolicyNone
from asyncua.server.binary_server_asyncio import BinaryServer, OPCUAProtocol
from asyncua.server.internal_server import InternalServer
from asyncua.server.internal_session import InternalSession, SessionState
from asyncua.server.uaprocessor import UaProcessor
from asyncua.ua.ua_binary import header_from_binary, nodeid_from_binary, uatcp_to_binary

from edge_ad.controllers.opcua.certificates import TrustedClients, UntrustedError
from edge_ad.controllers.opcua.users import CALLER, PEER
from edge_ad.controllers.security import RateLimit
from edge_ad.errors import DeviceError, one_line

__all__ = ["BoundedServer", "Bounds"]

logger = logging.getLogger(__name__)

_KINDS = (b"HEL", b"OPN", b"MSG", b"CLO", b"ERR")
_CHUNK_BYTES = 65_535
_UNREAD_BYTES = 8 * 2**20
_CALLS_AT_ONCE = 16
_MONITORED_ITEMS = 10_000
_NEVER_ACTIVATED_S = 30.0
_LINES_PER_S = 5.0


@dataclass(frozen=True, slots=True)
class Bounds:
    """``connections``: at a time; twice as many sessions, ten times as many subscriptions. ``message_bytes``: each."""

    connections: int
    message_bytes: int


def _of(*names: str) -> set[Any]:
    return {ua.NodeId(getattr(ua.ObjectIds, f"{name}Request_Encoding_DefaultBinary")) for name in names}


_DISCOVERY = _of("FindServers", "GetEndpoints", "CloseSecureChannel")
_WITHOUT_SESSION = _DISCOVERY | _of("CreateSession", "ActivateSession", "CloseSession")
_NOT_SERVED = _of("RegisterServer", "RegisterServer2", "AddNodes", "DeleteNodes", "AddReferences", "DeleteReferences")
_CALL = _of("Call")


class _Session(InternalSession):  # type: ignore[misc]
    """Methods learn who calls, and the items of all subscriptions together are bounded."""

    async def call(self, params: list[Any]) -> list[Any]:
        CALLER.set(self.user)
        return await super().call(params)  # type: ignore[no-any-return]

    async def create_monitored_items(self, params: Any) -> list[Any]:
        subscriptions = self.iserver.subscription_service.subscriptions.values()
        watched = sum(len(one.monitored_item_srv._monitored_items) for one in subscriptions)
        if self.external and watched + len(params.ItemsToCreate) > _MONITORED_ITEMS:
            raise ServiceError(ua.StatusCodes.BadTooManyMonitoredItems)
        return await super().create_monitored_items(params)  # type: ignore[no-any-return]


class _InternalServer(InternalServer):  # type: ignore[misc]
    time_task: asyncio.Task[None] | None

    def __init__(self, bounds: Bounds, users: Any, trusted: TrustedClients | None) -> None:
        super().__init__(user_manager=users)
        self.trusted = trusted
        self.allow_remote_admin = False
        self.max_connections = bounds.connections
        self.max_sessions = 2 * bounds.connections
        self.max_subscriptions = 10 * bounds.connections
        self.max_session_timeout_ms = 120_000.0
        self._said = RateLimit(_LINES_PER_S)

    def say(self, level: int, what: str, peer: Any, more: str = "") -> None:
        """Logs what happened to a client, but no more than some lines a second of each kind and address."""
        if self._said.take(f"{what} {peer[0] if isinstance(peer, tuple) else peer}") == 0:
            logger.log(level, "the client %s %s%s", peer, what, more)

    def create_session(self, name: str, user: Any = None, external: bool = False) -> _Session:
        now = time.monotonic()
        for one in list(self._external_sessions.values()):
            if one.state is SessionState.Created and now - one._last_activity > _NEVER_ACTIVATED_S:
                self.unregister_external_session(one)
        if external and len(self._external_sessions) >= self.max_sessions:
            raise ServiceError(ua.StatusCodes.BadTooManySessions)
        user = user or User(role=UserRole.Anonymous)
        return _Session(self, self.aspace, self.subscription_service, name, user=user, external=external)

    async def stop(self) -> None:
        if self.time_task is not None:  # it would be waited for up to a second
            self.time_task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self.time_task
            self.time_task = None
        await super().stop()


class _Processor(UaProcessor):  # type: ignore[misc]
    """The messages of one connection."""

    def __init__(self, server: Any, transport: Any, limits: Any) -> None:
        super().__init__(server, transport, limits)
        self._is_for_discovery = True
        self._calls: set[asyncio.Task[Any]] = set()

    def open_secure_channel(self, algohdr: Any, seqhdr: Any, body: Any) -> None:
        is_secure = algohdr.SecurityPolicyURI != SecurityPolicyNone.URI
        if is_secure and self.iserver.trusted is not None:
            self.iserver.trusted.check(algohdr.SenderCertificate)
        super().open_secure_channel(algohdr, seqhdr, body)
        policy = self._connection.security_policy
        self._is_for_discovery = not any(one.matches(policy.URI, policy.Mode) for one in self._connection._policies)

    async def process_message(self, seqhdr: Any, body: Any) -> Any:
        PEER.set(str(self.name[0]) if self.name else "unknown")
        if nodeid_from_binary(body.copy()) not in _CALL:
            return await super().process_message(seqhdr, body)
        if len(self._calls) >= _CALLS_AT_ONCE:
            await asyncio.wait(self._calls, return_when=asyncio.FIRST_COMPLETED)
        task = asyncio.create_task(super().process_message(seqhdr, body))
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)
        return True

    async def _process_message(self, typeid: Any, requesthdr: Any, seqhdr: Any, body: Any) -> Any:
        if typeid in _NOT_SERVED:
            raise ServiceError(ua.StatusCodes.BadServiceUnsupported)
        if self._is_for_discovery and typeid not in _DISCOVERY:
            raise ServiceError(ua.StatusCodes.BadSecurityPolicyRejected)
        if typeid not in _WITHOUT_SESSION:
            if self.session is None or requesthdr.AuthenticationToken != self.session.auth_token:
                raise ServiceError(ua.StatusCodes.BadSessionIdInvalid)
            if not self.session.is_activated():
                raise ServiceError(ua.StatusCodes.BadSessionNotActivated)
        return await super()._process_message(typeid, requesthdr, seqhdr, body)

    def send_response(self, *args: Any, **kwargs: Any) -> None:
        if not self._transport.is_closing():
            super().send_response(*args, **kwargs)


class _Connection(OPCUAProtocol):  # type: ignore[misc]
    """One client's socket: only messages of a known kind and a bounded length, and a client that reads."""

    _buffer: bytes

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if self.transport is not None:
            transport.set_write_buffer_limits(high=_UNREAD_BYTES)
            self.processor = _Processor(self.iserver, transport, self.limits)
            self.processor.set_policies(self.policies)
            self.iserver.say(logging.INFO, "connects", self.peer_name)
        else:
            self.iserver.say(logging.WARNING, "is turned away", self.peer_name, f": there are {len(self.clients)}")

    def pause_writing(self) -> None:
        self._end("it does not read what it asked for")
        if self.transport is not None:
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= 8:
            kind, size = self._buffer[:3], int.from_bytes(self._buffer[4:8], "little")
            if kind not in _KINDS or not 12 <= size <= _CHUNK_BYTES:
                self._end("it sent what is no OPC UA message", ua.StatusCodes.BadTcpMessageTypeInvalid)
                return
            if len(self._buffer) < size:
                return
            message = Buffer(self._buffer[:size])
            self._buffer = self._buffer[size:]
            try:
                self.messages.put_nowait((header_from_binary(message), message))
            except asyncio.QueueFull:
                self._end("it sends faster than it can be answered", ua.StatusCodes.BadTcpNotEnoughResources)
                return

    async def _process_one_msg(self, header: Any, buf: Any) -> bool:
        try:
            return bool(await super()._process_one_msg(header, buf))
        except UntrustedError as error:
            self._end(str(error), getattr(ua.StatusCodes, error.status))
            return False
        except Exception as error:  # noqa: BLE001 - whatever one client sends must not cost another one anything
            self._end(
                one_line(error) or type(error).__name__, getattr(error, "code", ua.StatusCodes.BadTcpInternalError)
            )
            return False

    def _end(self, why: str, code: int | None = None) -> None:
        self.iserver.say(logging.WARNING, "is cut off", self.peer_name, f": {why}")
        self._buffer = b""
        if self.transport is None or self.transport.is_closing():
            return
        if code is not None:
            error = ua.ErrorMessage(ua.StatusCode(code), why)
            self.transport.write(uatcp_to_binary(ua.MessageType.Error, error))
        self.transport.close()


class _BinaryServer(BinaryServer):  # type: ignore[misc]
    def _make_protocol(self) -> _Connection:
        return _Connection(self.iserver, self._policies, self.clients, self.closing_tasks, self.limits)


class BoundedServer(Server):  # type: ignore[misc]
    """As asyncua's server. ``users``: an asyncua user manager, who says who somebody is. ``trusted``: without it every
    certificate is."""

    def __init__(self, host: str, port: int, bounds: Bounds, users: Any, trusted: TrustedClients | None) -> None:
        super().__init__(iserver=_InternalServer(bounds, users, trusted))
        self.limits = TransportLimits(
            max_recv_buffer=_CHUNK_BYTES,
            max_send_buffer=_CHUNK_BYTES,
            max_chunk_count=bounds.message_bytes // _CHUNK_BYTES + 2,
            max_message_size=bounds.message_bytes,
        )
        self.socket_address = (host, port)

    async def start(self) -> None:
        """Listens.

        Raises:
            DeviceError: the port is taken, or there is no such host.
        """
        host, port = self.socket_address
        await self._setup_server_nodes()
        self.bserver = _BinaryServer(self.iserver, host, port, self.limits)
        self.bserver.set_policies(self._policies)
        try:
            await self.bserver.start()
        except OSError as error:
            raise DeviceError(f"OPC UA cannot listen on {host} port {port}: {one_line(error)}") from error
        await self.iserver.start()
        self.port = self.bserver.port
