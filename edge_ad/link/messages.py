"""The messages of the link: one JSON object a line, told apart by their field ``type``.

Fields that a reader does not know are ignored, so that a newer station or client may add some. Clients send the
``Request`` types, the station sends the ``Answer`` and ``Event`` types.
"""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Literal

import msgspec

from edge_ad.link.snapshot_facts import ChallengeFacts, ChallengePart, InspectionFacts, PresentCounts
from edge_ad.verdict import State, Verdict

__all__ = [
    "PART_ID_CHARACTERS",
    "PROTOCOL_VERSION",
    "TOPICS",
    "Accepted",
    "AcknowledgeRequest",
    "AlarmChanged",
    "Answer",
    "ChallengeAction",
    "ChallengeFacts",
    "ChallengePart",
    "ChallengeRequest",
    "ClientHello",
    "Done",
    "ErrorAnswer",
    "Event",
    "ExposureComplete",
    "FaultRaised",
    "FrameRequest",
    "Heartbeat",
    "InspectionFacts",
    "OperatorRequest",
    "PartResult",
    "PresentCounts",
    "RecipeChanged",
    "RecipeRequest",
    "Refused",
    "Request",
    "ResetCountersRequest",
    "ResetRequest",
    "Snapshot",
    "SnapshotRequest",
    "StateChanged",
    "StationHello",
    "StationRequest",
    "StationState",
    "SubscribeRequest",
    "Topic",
    "TriggerRequest",
    "UpdateChanged",
    "UpdateRequest",
]

PROTOCOL_VERSION = 1
PART_ID_CHARACTERS = 128

RequestId = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
PartId = Annotated[str, msgspec.Meta(max_length=PART_ID_CHARACTERS)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
Seconds = Annotated[float, msgspec.Meta(ge=0.1, le=3600)]
Pixels = Annotated[int, msgspec.Meta(ge=1, le=65_535)]

ChallengeAction = Literal["begin", "next", "cancel", "replay"]
Topic = Literal["state", "exposure_complete", "result", "fault", "recipe", "alarm", "update"]
TOPICS: tuple[Topic, ...] = ("state", "exposure_complete", "result", "fault", "recipe", "alarm", "update")


class StationState(str, Enum):
    """What the station as a whole does. Triggers are accepted in ``READY`` and ``BUSY`` alone."""

    STARTING = "STARTING"
    READY = "READY"
    BUSY = "BUSY"
    FAULT = "FAULT"
    STOPPING = "STOPPING"


class Message(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", omit_defaults=True):
    """What every message has in common: it is a value, and optional fields are left out where they say nothing."""


# --- what clients send


class ClientHello(Message, tag="hello", frozen=True, kw_only=True):
    """The first line of every client. One that states ``heartbeat_s`` is dropped after three times that in silence."""

    version: int
    client: Name
    heartbeat_s: Seconds | None = None


class SubscribeRequest(Message, tag="subscribe", frozen=True, kw_only=True):
    """From now on these events are sent; without ``topics``, all of them. Replaces what was subscribed before."""

    id: RequestId | None = None
    topics: tuple[Topic, ...] | None = None


class SnapshotRequest(Message, tag="snapshot", frozen=True, kw_only=True):
    """How does the station stand? ``recent_parts``: and which parts were accepted of late from clients of this name?"""

    id: RequestId
    recent_parts: bool = False


class TriggerRequest(Message, tag="trigger", frozen=True, kw_only=True):
    """A part is there: take its pictures and judge it."""

    id: RequestId
    part_id: PartId | None = None


class FrameRequest(Message, tag="frame", frozen=True, kw_only=True):
    """A part's picture that the client brings along, in a sealed memfd sent with the first byte of this line.

    uint8, ``height`` x ``width`` x ``channels`` (1 gray, 3 blue green red), rows packed, no header.
    """

    id: RequestId
    part_id: PartId | None = None
    camera: Name | None = None
    height: Pixels
    width: Pixels
    channels: Literal[1, 3]


class RecipeRequest(Message, tag="recipe", frozen=True, kw_only=True):
    """Change to this recipe between two parts. ``by``, here and below: who wants it, for the station's log."""

    id: RequestId
    name: Name
    by: Name | None = None


class AcknowledgeRequest(Message, tag="acknowledge", frozen=True, kw_only=True):
    """Somebody has seen this alarm."""

    id: RequestId
    alarm: Name
    by: Name | None = None


class ResetRequest(Message, tag="reset", frozen=True, kw_only=True):
    """Leave FAULT, where its cause is gone."""

    id: RequestId
    by: Name | None = None


class ResetCountersRequest(Message, tag="reset_counters", frozen=True, kw_only=True):
    """Close the present count, as at the end of a shift, and begin at zero."""

    id: RequestId
    by: Name | None = None


class UpdateRequest(Message, tag="update", frozen=True, kw_only=True):
    """Take a bundle that was deployed and checked into use, between two parts. ``bundle`` and ``slot``: where it lies.

    ``edge-ad deploy`` asks this when it has checked the bundle.
    """

    id: RequestId
    bundle: Name
    slot: Annotated[int, msgspec.Meta(ge=1)]
    by: Name | None = None


class ChallengeRequest(Message, tag="challenge", frozen=True, kw_only=True):
    """Prove the station. ``begin`` a challenge of the parts that the active recipe names; ``next``: the named ``part``
    comes now; ``cancel`` it; ``replay`` the pictures of its challenge set, ``runs`` times.
    """

    id: RequestId
    action: ChallengeAction
    part: Name | None = None
    runs: Annotated[int, msgspec.Meta(ge=1, le=10)] = 1
    by: Name | None = None


class Heartbeat(Message, tag="heartbeat", frozen=True, kw_only=True):
    """Only says that the sender is alive."""


OperatorRequest = (
    RecipeRequest | AcknowledgeRequest | ResetRequest | ResetCountersRequest | UpdateRequest | ChallengeRequest
)
"""What people ask now and then; the station logs who did."""
StationRequest = SnapshotRequest | TriggerRequest | FrameRequest | OperatorRequest
Request = ClientHello | SubscribeRequest | Heartbeat | StationRequest

# --- what the station answers to one client


class StationHello(Message, tag="hello", frozen=True, kw_only=True):
    """The answer to a hello. The station sends something every ``heartbeat_s``; silence of three times that is loss."""

    version: int
    station: str
    state: StationState
    heartbeat_s: float


class Accepted(Message, tag="accepted", frozen=True, kw_only=True):
    """A trigger or frame was taken. Exactly one result or fault will name this ``trigger``."""

    id: str
    trigger: int


class Refused(Message, tag="refused", frozen=True, kw_only=True):
    """A request is not carried out. ``reason`` is a short code, ``detail`` a sentence for people."""

    id: str
    reason: str
    detail: str = ""


class Done(Message, tag="done", frozen=True, kw_only=True):
    """A request that asks for no data was carried out."""

    id: str


class Snapshot(Message, tag="snapshot", frozen=True, kw_only=True):
    """How the station stands: names to states, texts and counts. What does not exist here is left out.

    ``recipes``: those of the station file, in its order. ``counters``: since the station started. ``counts``: of the
    active recipe in this shift. ``drift``: by inspection. ``files``: whether log, counters and metrics can be written.
    ``inspections``: those of the active recipe whose bundle is open. ``controllers``: those of the station file,
    ``connected`` or ``away``. ``challenge``: how the active recipe is proved, where it names challenge parts or a set.
    ``recent_parts``: where they were asked for, the newest last.
    """

    id: str
    station: str
    version: str
    state: StationState
    cause: str | None = None
    causes: tuple[str, ...] = ()
    recipe: str | None = None
    requested_recipe: str | None = None
    recipes: tuple[str, ...] = ()
    open_triggers: tuple[int, ...] = ()
    cameras: dict[str, str] = {}
    outputs: dict[str, str] = {}
    alarms: dict[str, str] = {}
    counters: dict[str, int] = {}
    counts: PresentCounts | None = None
    drift: dict[str, str] = {}
    files: dict[str, str] = {}
    inspections: dict[str, InspectionFacts] = {}
    controllers: dict[str, str] = {}
    challenge: ChallengeFacts | None = None
    recent_parts: tuple[str, ...] = ()


class ErrorAnswer(Message, tag="error", frozen=True, kw_only=True):
    """A line that was not understood, or why the connection ends."""

    detail: str
    id: str | None = None


Answer = StationHello | Accepted | Refused | Done | Snapshot | ErrorAnswer | Heartbeat

# --- events: to all who subscribed, and to the one who triggered


class StateChanged(Message, tag="state", frozen=True, kw_only=True):
    """The station's state, and in FAULT its cause. Sent at once to a new subscriber too.

    ``causes``: short names of the causes, such as ``camera top``.
    """

    state: StationState
    cause: str | None = None
    causes: tuple[str, ...] = ()


class ExposureComplete(Message, tag="exposure_complete", frozen=True, kw_only=True):
    """The last picture of this part is taken: the line may move on while the station still scores."""

    trigger: int
    part_id: str | None = None
    id: str | None = None


class PartResult(Message, tag="result", frozen=True, kw_only=True):
    """The verdict on one part. ``latency_ms``: from the trigger to this message.

    ``verdicts``: one a frame; where a line would be too long they are cut, and ``shortened`` is true.
    ``challenge``: the name of the challenge part that this is: it is no production.
    """

    trigger: int
    state: State
    part_id: str | None = None
    id: str | None = None
    reason: str | None = None
    detail: str | None = None
    recipe: str | None = None
    latency_ms: float
    verdicts: tuple[Verdict, ...] = ()
    shortened: bool = False
    challenge: str | None = None

    @property
    def accepted(self) -> bool:
        """True for ``ACCEPT`` alone: the only state that may let a part pass."""
        return self.state is State.ACCEPT


class FaultRaised(Message, tag="fault", frozen=True, kw_only=True):
    """Inspection stops. ``triggers`` were accepted and get no result: their parts are rejected."""

    cause: str
    triggers: tuple[int, ...] = ()
    detail: str | None = None


class RecipeChanged(Message, tag="recipe", frozen=True, kw_only=True):
    """Where a change of recipe stands. ``error``: the requested one did not verify and ``active`` goes on."""

    requested: str | None = None
    active: str | None = None
    acknowledged: bool = False
    error: str | None = None


class AlarmChanged(Message, tag="alarm", frozen=True, kw_only=True):
    """An alarm came (``active``), went, or was acknowledged by somebody."""

    alarm: str
    text: str
    active: bool = True
    acknowledged: bool = False


class UpdateChanged(Message, tag="update", frozen=True, kw_only=True):
    """What became of a bundle that was deployed. ``title``: its name and version. ``step``: such as ``KEPT``."""

    bundle: str
    slot: int
    title: str
    step: str
    reason: str | None = None


Event = StateChanged | ExposureComplete | PartResult | FaultRaised | RecipeChanged | AlarmChanged | UpdateChanged
