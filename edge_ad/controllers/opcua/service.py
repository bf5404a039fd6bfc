"""The server in a running event loop: shows what the gateway tells, and carries out what clients ask for."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from asyncua import ua

from edge_ad import __version__
from edge_ad.controllers.gateway import Gateway
from edge_ad.controllers.opcua.certificates import TrustedClients, load_own
from edge_ad.controllers.opcua.events import EventSender, result_fields, result_structure
from edge_ad.controllers.opcua.hardened import BoundedServer, Bounds
from edge_ad.controllers.opcua.jobs import Jobs, PublishedResult, VisionJob
from edge_ad.controllers.opcua.methods import bind_methods
from edge_ad.controllers.opcua.nodes import OURS, load_companion, make_nodes, types
from edge_ad.controllers.opcua.opcua_settings import OpcUaSettings
from edge_ad.controllers.opcua.plain import VARIABLES, plain_values
from edge_ad.controllers.opcua.states import OPERATIONAL, TRANSITIONS, VisionState, path_between, vision_state
from edge_ad.controllers.opcua.users import Users
from edge_ad.controllers.security import RateLimit
from edge_ad.errors import OutputError
from edge_ad.link.messages import AlarmChanged, Event, RecipeChanged

__all__ = ["OpcUaService", "serve"]

logger = logging.getLogger(__name__)

_FAILURES_PER_S = 5.0
_MOST_DUE = 10_000
_KINDS = {variable.name: variable.kind.removesuffix("[]") for variable in VARIABLES}
_ARRAYS = {variable.name for variable in VARIABLES if variable.kind.endswith("[]")}


async def serve(settings: OpcUaSettings, gateway: Gateway, name: str) -> None:
    """Serves until it is cancelled.

    Raises:
        DeviceError: the port is taken.
    """
    logging.getLogger("asyncua").setLevel(logging.CRITICAL)  # what a client does wrong would be logged with tracebacks
    async with contextlib.AsyncExitStack() as stack:
        with gateway.away():  # making the nodes takes seconds on a small machine, without a pause for a heartbeat
            service = await stack.enter_async_context(OpcUaService(settings, gateway, name))
        logger.info("OPC UA on opc.tcp://%s:%d/edge-ad/", settings.host, service.port)
        await service.run()


class OpcUaService:
    """``port``: where it listens, once it is entered."""

    def __init__(self, settings: OpcUaSettings, gateway: Gateway, name: str) -> None:
        self._settings = settings
        self._gateway = gateway
        self._name = name
        self.jobs = Jobs(gateway, settings, settings.kept_results)
        # What comes faster than clients can be told pushes out the oldest: each one shows how things stand then.
        self._due: deque[Callable[[], Awaitable[None]]] = deque(maxlen=_MOST_DUE)
        self._woken = asyncio.Event()
        self._state = VisionState.PREOPERATIONAL
        self._newest: PublishedResult | None = None
        self._failures = RateLimit(_FAILURES_PER_S)
        self._shown: dict[str, object] = {}
        self._current: dict[str, str] = {}
        self._beats = self._results = 0
        bounds = Bounds(settings.max_connections, settings.max_message_kb * 1024)
        trusted = None if settings.trusted_clients is None else TrustedClients(Path(settings.trusted_clients))
        self._server = BoundedServer(settings.host, settings.port, bounds, Users(settings, self._failed_login), trusted)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.port)

    async def __aenter__(self) -> OpcUaService:
        server = self._server
        await self._introduce()
        # Its 790 nodes take a second or more without a pause. In a loop of its own, while nobody else has the server.
        index = await asyncio.to_thread(lambda: asyncio.run(load_companion(server)))
        self.nodes = await make_nodes(server, index, self._gateway.view.station or "edge-ad")
        self._events = EventSender(self.nodes)
        await self._events.prepare()
        await bind_methods(self.nodes, self._gateway, self.jobs)
        await self._show_state()
        await self._show_plain()
        await server.start()
        self.jobs.on_started, self.jobs.on_exposed, self.jobs.on_result = self._started, self._exposed, self._result
        self.jobs.follow()
        self._gateway.heard.append(self._heard)
        self._gateway.changed.append(self._changed)
        self._changed()
        return self

    async def _introduce(self) -> None:
        """What the server says of itself, and with which security it is reached."""
        server, settings = self._server, self._settings
        await server.init()
        uri, security = f"urn:edge-ad:{self._name}", [ua.SecurityPolicyType.NoSecurity]
        if settings.certificate is not None and settings.key is not None:
            own = load_own(settings.certificate, settings.key)
            server.iserver.certificate, server.iserver.private_key, uri = own.certificate, own.key, own.uri
            kinds = ua.SecurityPolicyType
            security = [kinds.Basic256Sha256_SignAndEncrypt, kinds.Basic256Sha256_Sign]
        await server.set_application_uri(uri)
        server.set_server_name("edge-ad")
        server.set_endpoint(f"opc.tcp://{settings.host}:{settings.port}/edge-ad/")
        now = datetime.now(timezone.utc)
        await server.set_build_info("urn:edge-ad", "edge-ad", "edge-ad", __version__, __version__, now)
        server.set_security_policy(security)
        named = [] if settings.tokens is None else [ua.UserNameIdentityToken]
        server.set_identity_tokens([ua.AnonymousIdentityToken, *named])

    async def __aexit__(self, *_: object) -> None:
        self._gateway.heard.remove(self._heard)
        self._gateway.changed.remove(self._changed)
        self.jobs.leave()
        await self._server.stop()

    async def run(self) -> None:
        """Shows what happens, in its order, until it is cancelled."""
        loop = asyncio.get_running_loop()
        beat_s = self._settings.heartbeat_ms / 1000
        next_beat = loop.time() + beat_s
        while True:
            # Before Python 3.12 wait_for may swallow that it was cancelled.
            timer = loop.call_at(next_beat, self._woken.set)
            await self._woken.wait()
            timer.cancel()
            self._woken.clear()
            while self._due:
                await self._due.popleft()()
            await self._show_plain()
            if loop.time() >= next_beat:
                next_beat = max(next_beat + beat_s, loop.time())
                self._beats = (self._beats + 1) % 65_536
                await self._write("Heartbeat", self._beats)

    # --- what happens; none of these waits

    def _started(self, job: VisionJob) -> None:
        fields = {"JobId": _structure("JobIdDataType", job.job_id)}
        self._send("JobStarted", f"job {job.job_id} for part {job.part.part_id or '(without id)'}", 100, fields)
        self._changed()

    def _exposed(self, job: VisionJob) -> None:
        self._send("AcquisitionDone", f"job {job.job_id}", 100, {"JobId": _structure("JobIdDataType", job.job_id)})
        self._changed()

    def _result(self, result: PublishedResult) -> None:
        async def show() -> None:
            self._newest = result
            self._results += 1
            await self._show_plain()
            outcome, fields = result.outcome, result_fields(result)
            who = outcome.part_id or "a part without id"
            await self._events.send("ResultReady", f"{who}: {outcome.state.value}", 100, fields)
            await self._put("Newest", ua.Variant(result_structure(fields), ua.VariantType.ExtensionObject))
            for name in self.nodes.shown.keys() & fields.keys():
                await self._put(name, fields[name])

        self._later(show)
        self._changed()

    def _heard(self, event: Event) -> None:
        if isinstance(event, RecipeChanged) and event.acknowledged and event.active is not None:
            kinds = {"InternalId": "RecipeIdInternalDataType", "ExternalId": "RecipeIdExternalDataType"}
            fields = {name: _structure(kind, event.active) for name, kind in kinds.items()}
            self._send("RecipePrepared", f"the recipe {event.active} is active", 100, fields)
        elif isinstance(event, RecipeChanged) and event.error is not None:
            self._send("DiagnosticInfo", f"the recipe {event.requested} is not active: {event.error}", 500)
        elif isinstance(event, AlarmChanged):
            end = "acknowledged" if event.acknowledged else "raised" if event.active else "gone"
            self._send("DiagnosticInfo", f"alarm {event.alarm} {end}: {event.text}", 500 if event.active else 100)

    def _failed_login(self, source: str, how: str) -> None:
        """Of a flood of failed log-ins only some stand in the audit trail, so that it cannot push out the rest."""
        if self._failures.take("") > 0:
            return

        async def record() -> None:
            try:
                await self._gateway.record("log_in", "refused", source=source, detail=how)
            except OutputError as error:
                logger.error("a failed log-in from %s is not in the audit trail: %s", source, error)

        self._later(record)

    def _changed(self) -> None:
        conversation = self.jobs.conversation
        after = vision_state(
            self._gateway.view, is_late_fault=conversation.is_late_fault, is_exposing=conversation.is_exposing
        )
        for state in path_between(self._state, after):
            before, self._state = self._state, state
            self._later(self._transition(before, state, self._gateway.view.cause or ""))
        self._woken.set()

    def _send(self, name: str, message: str, severity: int, fields: dict[str, Any] | None = None) -> None:
        self._later(lambda: self._events.send(name, message, severity, fields or {}))

    def _later(self, action: Callable[[], Awaitable[None]]) -> None:
        self._due.append(action)
        self._woken.set()

    # --- what is shown

    def _transition(self, before: VisionState, after: VisionState, cause: str) -> Callable[[], Awaitable[None]]:
        async def show() -> None:
            await self._show_state(after)
            fields = self._transition_fields(before, after)
            await self._events.send("StateChanged", f"{before.value} to {after.value}", 100, fields)
            if after is VisionState.ERROR:
                await self._events.send("Error", cause or "no part is inspected", 800, fields)
            if before is VisionState.ERROR:
                await self._events.send("ErrorResolved", f"{before.value} to {after.value}", 100, fields)
            if after is VisionState.READY:
                job_id = {"JobId": _structure("JobIdDataType", "")}
                await self._events.send("Ready", "a trigger is accepted", 100, job_id)

        return show

    def _transition_fields(self, before: VisionState, after: VisionState) -> dict[str, Any]:
        states = self.nodes.states
        fields: dict[str, Any] = {}
        for name, text, node in (
            ("Transition", TRANSITIONS[before, after], None),
            ("FromState", before.value, states[before]),
            ("ToState", after.value, states[after]),
        ):
            fields[name] = ua.Variant(ua.LocalizedText(text), ua.VariantType.LocalizedText)
            if node is not None:
                fields[f"{name}/Id"] = ua.Variant(node.nodeid, ua.VariantType.NodeId)
        return fields

    async def _show_state(self, state: VisionState = VisionState.PREOPERATIONAL) -> None:
        nodes, is_inside = self.nodes, state in OPERATIONAL
        if is_inside:
            await self._put_state("Machine", "Operational", nodes.operational.nodeid)
            await self._put_state("Automatic", state.value, nodes.states[state].nodeid)
        else:
            await self._put_state("Machine", state.value, nodes.states[state].nodeid)
            self._current.pop("Automatic", None)
            inactive = ua.DataValue(StatusCode=ua.StatusCode(ua.StatusCodes.BadStateNotActive))
            for name in ("Automatic", "Automatic/Id"):
                await self._server.iserver.write_attribute_value(nodes.shown[name], inactive)

    async def _put_state(self, machine: str, name: str, node_id: Any) -> None:
        if self._current.get(machine) != name:
            self._current[machine] = name
            await self._put(machine, ua.Variant(ua.LocalizedText(name), ua.VariantType.LocalizedText))
            await self._put(f"{machine}/Id", ua.Variant(node_id, ua.VariantType.NodeId))

    async def _show_plain(self) -> None:
        conversation = self.jobs.conversation
        values = plain_values(
            self._gateway.view,
            self._state,
            self._newest.outcome if self._newest is not None else None,
            results=self._results,
            is_late_fault=conversation.is_late_fault,
            is_busy=bool(conversation.open),
        )
        for name, value in values.items():
            if self._shown.get(name) != value:
                await self._write(name, value)
                self._shown[name] = value

    async def _write(self, name: str, value: object) -> None:
        variant = ua.Variant(value, getattr(ua.VariantType, _KINDS[name]), is_array=name in _ARRAYS)
        await self._put_at(ua.NodeId(f"EdgeAd.{name}", OURS), variant)

    async def _put(self, name: str, variant: Any) -> None:
        await self._put_at(self.nodes.shown[name], variant)

    async def _put_at(self, node_id: Any, variant: Any) -> None:
        now = datetime.now(timezone.utc)
        value = ua.DataValue(variant, SourceTimestamp=now, ServerTimestamp=now)
        await self._server.iserver.write_attribute_value(node_id, value)


def _structure(name: str, text: str) -> Any:
    return ua.Variant(types(name)(Id=text), ua.VariantType.ExtensionObject)
