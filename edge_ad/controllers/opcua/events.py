"""Results as the structures of OPC 40100-1, and events for all who have subscribed."""

from __future__ import annotations

import copy
import logging
import math
import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

import msgspec
from asyncua import ua
from asyncua.common.events import get_event_obj_from_type_node

from edge_ad.controllers.conversation import Outcome
from edge_ad.controllers.opcua.jobs import PublishedResult
from edge_ad.controllers.opcua.nodes import VisionNodes, types
from edge_ad.errors import one_line
from edge_ad.verdict import State

__all__ = ["COMPLETED", "FAILED", "EventSender", "content_of", "result_fields", "result_structure"]

logger = logging.getLogger(__name__)

COMPLETED, FAILED = 1, 4
"""Of ``ResultStateDataType``: a part that was judged, and one that is INVALID."""

_EVENT_TYPES = {
    "StateChanged": 1018,
    "Error": 1019,
    "ErrorResolved": 1020,
    "RecipePrepared": 1022,
    "Ready": 1023,
    "ResultReady": 1024,
    "AcquisitionDone": 1025,
    "JobStarted": 1013,
    "DiagnosticInfo": 1037,
}

Fields = Mapping[str, Any]


class EventSender:
    """Sends events of the vision system; a client whose filter fails costs the others nothing."""

    def __init__(self, nodes: VisionNodes) -> None:
        self._nodes = nodes
        self._subscriptions = nodes.server.iserver.subscription_service.subscriptions
        self._templates: dict[str, Any] = {}
        self._sources = (ua.NodeId(ua.ObjectIds.Server), nodes.system.nodeid)

    async def prepare(self) -> None:
        """Reads the types of events; call it once."""
        nodes = self._nodes
        for name, number in _EVENT_TYPES.items():
            event = await get_event_obj_from_type_node(nodes.server.get_node(ua.NodeId(number, nodes.index)))
            event.SourceNode, event.SourceName = nodes.system.nodeid, "VisionSystem"
            self._templates[name] = event
        await nodes.system.set_event_notifier([ua.EventNotifier.SubscribeToEvents])

    async def send(self, name: str, message: str, severity: int, fields: Fields = {}) -> None:  # noqa: B006 - not changed
        """One event; ``fields``: Variants by the names of the event type. Its moment is now."""
        if not any(one.monitored_item_srv._monitored_events for one in self._subscriptions.values()):
            return
        event = copy.copy(self._templates[name])
        event.data_types = dict(event.data_types)
        event.EventId = uuid.uuid4().bytes
        event.Time = event.ReceiveTime = datetime.now(timezone.utc)
        event.Message, event.Severity = ua.LocalizedText(message), severity
        for field, value in fields.items():
            event.add_property(field, value.Value, value.VariantType)
        for subscription in list(self._subscriptions.values()):
            for source in self._sources:
                event.emitting_node = source
                try:
                    await subscription.monitored_item_srv.trigger_event(event)
                except Exception as error:  # noqa: BLE001 - one client's filter is not the others' loss
                    logger.warning("an event could not be given to a subscription: %s", one_line(error))


def result_structure(fields: Fields) -> Any:
    """What ``result_fields`` gave, as ``ResultDataType``."""
    return types("ResultDataType")(**{name: value.Value for name, value in fields.items()})


def result_fields(result: PublishedResult) -> dict[str, Any]:
    """A result as Variants by the names of ``ResultDataType``, which those of ``ResultReadyEventType`` are too."""
    outcome, job = result.outcome, result.job
    took = timedelta(milliseconds=outcome.latency_ms or 0.0)
    times = types("ProcessingTimesDataType")(
        StartTime=job.started if job is not None else result.created - took, EndTime=result.created
    )
    structures = {
        "ResultId": types("ResultIdDataType")(Id=result.result_id),
        "PartId": types("PartIdDataType")(Id=outcome.part_id or ""),
        "ExternalRecipeId": types("RecipeIdExternalDataType")(Id=outcome.recipe or ""),
        "InternalRecipeId": types("RecipeIdInternalDataType")(Id=outcome.recipe or ""),
        "InternalConfigurationId": types("ConfigurationIdDataType")(Id=""),
        "JobId": types("JobIdDataType")(Id=job.job_id if job is not None else ""),
        "ProcessingTimes": times,
    }
    if job is not None and job.meas_id:
        structures["MeasId"] = types("MeasIdDataType")(Id=job.meas_id)
    fields = {name: ua.Variant(value, ua.VariantType.ExtensionObject) for name, value in structures.items()}
    return fields | {
        "IsPartial": ua.Variant(False, ua.VariantType.Boolean),
        "IsSimulated": ua.Variant(False, ua.VariantType.Boolean),
        "HasTransferableDataOnFile": ua.Variant(False, ua.VariantType.Boolean),
        "ResultState": ua.Variant(FAILED if outcome.state is State.INVALID else COMPLETED, ua.VariantType.Int32),
        "CreationTime": ua.Variant(result.created, ua.VariantType.DateTime),
        "ResultContent": ua.Variant(content_of(outcome), ua.VariantType.Variant, is_array=True),
    }


def content_of(outcome: Outcome) -> list[Any]:
    """What ``ResultContent`` holds: state, code, score, threshold, latency in ms, detail, and all of it as JSON."""
    return [
        ua.Variant(outcome.state.value, ua.VariantType.String),
        ua.Variant(int(outcome.code), ua.VariantType.Int32),
        ua.Variant(math.nan if outcome.score is None else outcome.score, ua.VariantType.Double),
        ua.Variant(math.nan if outcome.threshold is None else outcome.threshold, ua.VariantType.Double),
        ua.Variant(math.nan if outcome.latency_ms is None else outcome.latency_ms, ua.VariantType.Double),
        ua.Variant(outcome.detail or "", ua.VariantType.String),
        ua.Variant(msgspec.json.encode(outcome).decode(), ua.VariantType.String),
    ]
