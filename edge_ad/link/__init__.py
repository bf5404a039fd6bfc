"""The link: the one door of a station, a Unix socket with one JSON object a line. See ``docs/link.md``."""

from __future__ import annotations

from edge_ad.link.address import default_path
from edge_ad.link.async_client import AsyncClient
from edge_ad.link.client import Client
from edge_ad.link.fake_station import FakeStation, Judgement, RecordedRequest
from edge_ad.link.handed import HandedFrame
from edge_ad.link.ledger import Ledger, OpenTrigger
from edge_ad.link.messages import (
    Accepted,
    AcknowledgeRequest,
    AlarmChanged,
    Answer,
    Done,
    ErrorAnswer,
    Event,
    ExposureComplete,
    FaultRaised,
    FrameRequest,
    PartResult,
    PresentCounts,
    RecipeChanged,
    RecipeRequest,
    Refused,
    ResetCountersRequest,
    ResetRequest,
    Snapshot,
    SnapshotRequest,
    StateChanged,
    StationRequest,
    StationState,
    TriggerRequest,
    UpdateChanged,
    UpdateRequest,
)
from edge_ad.link.protocol import LinkLimits
from edge_ad.link.server import ClientRequest, LinkServer

__all__ = [
    "Accepted",
    "AcknowledgeRequest",
    "AlarmChanged",
    "Answer",
    "AsyncClient",
    "Client",
    "ClientRequest",
    "Done",
    "ErrorAnswer",
    "Event",
    "ExposureComplete",
    "FakeStation",
    "FaultRaised",
    "FrameRequest",
    "HandedFrame",
    "Judgement",
    "Ledger",
    "LinkLimits",
    "LinkServer",
    "OpenTrigger",
    "PartResult",
    "PresentCounts",
    "RecipeChanged",
    "RecipeRequest",
    "RecordedRequest",
    "Refused",
    "ResetCountersRequest",
    "ResetRequest",
    "Snapshot",
    "SnapshotRequest",
    "StateChanged",
    "StationRequest",
    "StationState",
    "TriggerRequest",
    "UpdateChanged",
    "UpdateRequest",
    "default_path",
]
