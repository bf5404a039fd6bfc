"""The messages of the link: one JSON object a line, told apart by their field ``type``.

Fields that a reader does not know are ignored, so that a newer station or client may add some. Clients send the
``Request`` types, the station sends the ``Answer`` and ``Event`` types.
"""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Literal, TypeVar

import msgspec

from edge_ad.verdict import State, Verdict

__all__ = [
    "LINE_BYTES",
    "PART_ID_CHARACTERS",
    "PROTOCOL_VERSION",
    "TOPICS",
    "Accepted",
    "AcknowledgeRequest",
    "AlarmChanged",
    "Answer",
    "ClientHello",
    "Done",
    "ErrorAnswer",
    "Event",
    "ExposureComplete",
    "FaultRaised",
    "FrameRequest",
    "Heartbeat",
    "PartResult",
    "RecipeChanged",
    "RecipeRequest",
    "Refused",
    "Request",
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
    "Unread",
    "decode_request",
    "decode_sent",
    "decode_unread",
    "encode_line",
]

PROTOCOL_VERSION = 1
LINE_BYTES = 65_536
"""The longest line in either direction, its line feed included."""
PART_ID_CHARACTERS = 128
_REGIONS_KEPT = 8
_LONGEST_TEXT = 1000

T = TypeVar("T")
M = TypeVar("M", bound=msgspec.Struct)
RequestId = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
PartId = Annotated[str, msgspec.Meta(max_length=PART_ID_CHARACTERS)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
Seconds = Annotated[float, msgspec.Meta(ge=0.1, le=3600)]
Pixels = Annotated[int, msgspec.Meta(ge=1, le=65_535)]

Topic = Literal["state", "exposure_complete", "result", "fault", "recipe", "alarm"]
TOPICS: tuple[Topic, ...] = ("state", "exposure_complete", "result", "fault", "recipe", "alarm")


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
    """How does the station stand?"""

    id: RequestId


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
    """Change to this recipe between two parts."""

    id: RequestId
    name: Name


class AcknowledgeRequest(Message, tag="acknowledge", frozen=True, kw_only=True):
    """Somebody has seen this alarm."""

    id: RequestId
    alarm: Name


class ResetRequest(Message, tag="reset", frozen=True, kw_only=True):
    """Leave FAULT, where its cause is gone."""

    id: RequestId


class Heartbeat(Message, tag="heartbeat", frozen=True, kw_only=True):
    """Only says that the sender is alive."""


StationRequest = SnapshotRequest | TriggerRequest | FrameRequest | RecipeRequest | AcknowledgeRequest | ResetRequest
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
    """How the station stands: names to states, texts and counts. What does not exist here is left out."""

    id: str
    station: str
    version: str
    state: StationState
    cause: str | None = None
    recipe: str | None = None
    requested_recipe: str | None = None
    open_triggers: tuple[int, ...] = ()
    cameras: dict[str, str] = {}
    outputs: dict[str, str] = {}
    alarms: dict[str, str] = {}
    counters: dict[str, int] = {}


class ErrorAnswer(Message, tag="error", frozen=True, kw_only=True):
    """A line that was not understood, or why the connection ends."""

    detail: str
    id: str | None = None


Answer = StationHello | Accepted | Refused | Done | Snapshot | ErrorAnswer | Heartbeat

# --- events: to all who subscribed, and to the one who triggered


class StateChanged(Message, tag="state", frozen=True, kw_only=True):
    """The station's state, and in FAULT its cause. Sent at once to a new subscriber too."""

    state: StationState
    cause: str | None = None


class ExposureComplete(Message, tag="exposure_complete", frozen=True, kw_only=True):
    """The last picture of this part is taken: the line may move on while the station still scores."""

    trigger: int
    part_id: str | None = None
    id: str | None = None


class PartResult(Message, tag="result", frozen=True, kw_only=True):
    """The verdict on one part. ``latency_ms``: from the trigger to this message.

    ``verdicts``: one a frame; where a line would be too long they are cut, and ``shortened`` is true.
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


Event = StateChanged | ExposureComplete | PartResult | FaultRaised | RecipeChanged | AlarmChanged

_encoder = msgspec.json.Encoder()
_requests: msgspec.json.Decoder[Request] = msgspec.json.Decoder(Request)
_sent: msgspec.json.Decoder[Answer | Event] = msgspec.json.Decoder(Answer | Event)


class Unread(msgspec.Struct, frozen=True):
    """What can be known of a line that is no request: so the client learns which one was not understood."""

    id: RequestId | None = None
    type: str | None = None


_unread = msgspec.json.Decoder(Unread)


def decode_request(line: bytes | bytearray) -> Request:
    """One line of a client.

    Raises:
        ValueError: it is no request; the message says why.
    """
    return _decoded(_requests, line)


def decode_sent(line: bytes | bytearray) -> Answer | Event:
    """One line of the station.

    Raises:
        ValueError: it is no answer and no event; the message says why.
    """
    return _decoded(_sent, line)


def decode_unread(line: bytes | bytearray) -> Unread:
    """What can be known of a line that ``decode_request`` refused."""
    try:
        return _decoded(_unread, line)
    except ValueError:
        return Unread()


def encode_line(message: Request | Answer | Event) -> bytes:
    """One line with its line feed, never longer than ``LINE_BYTES``: texts are cut, and a result loses regions.

    Raises:
        ValueError: it is too long even so.
    """
    line = _encoder.encode(message) + b"\n"
    if len(line) <= LINE_BYTES:
        return line
    shorter = _shortened(message)
    if shorter is None:
        raise ValueError(f"a {type(message).__name__} of {len(line)} bytes is longer than a line of {LINE_BYTES}")
    return encode_line(shorter)


def _shortened(message: M) -> M | None:
    """First with texts cut, then with the highest regions of each frame alone, then without verdicts; then ``None``."""
    fields = {name: getattr(message, name) for name in message.__struct_fields__}
    cut = {
        name: f"{value[:_LONGEST_TEXT]}…"
        for name, value in fields.items()
        if isinstance(value, str) and len(value) > _LONGEST_TEXT + 1
    }
    if cut:
        return msgspec.structs.replace(message, **cut)
    if not isinstance(message, PartResult) or not message.verdicts:
        return None
    if message.shortened:
        return msgspec.structs.replace(message, verdicts=())
    kept = tuple(
        msgspec.structs.replace(
            verdict,
            regions=tuple(sorted(verdict.regions, key=lambda region: -region.peak_score)[:_REGIONS_KEPT]),
            objects=(),
        )
        for verdict in message.verdicts
    )
    return msgspec.structs.replace(message, verdicts=kept, shortened=True)


def _decoded(decoder: msgspec.json.Decoder[T], line: bytes | bytearray) -> T:
    try:
        return decoder.decode(line)
    except RecursionError as error:  # thousands of brackets in a field that nobody knows
        raise ValueError("nested too deeply") from error
