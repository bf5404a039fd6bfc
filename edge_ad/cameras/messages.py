"""What the station, a camera and its capture process say to each other, and how it is written down."""

from __future__ import annotations

from enum import Enum

import msgspec

from edge_ad.cameras.settings import CameraSettings

__all__ = [
    "NO_SLOT",
    "Alive",
    "CameraEnded",
    "CameraEvent",
    "CameraState",
    "CameraStatus",
    "Command",
    "Failed",
    "FrameInfo",
    "Opened",
    "Release",
    "Report",
    "Setting",
    "Start",
    "Trigger",
    "decode_command",
    "decode_report",
    "encode",
]

Setting = str | int | float | bool
"""A value that a camera was given, or gives back."""

NO_SLOT = -1
"""The slot of a damaged frame of which there are no pixels at all."""


class FrameInfo(msgspec.Struct, frozen=True, kw_only=True, tag="frame"):
    """A frame that lies in a slot of the ring: uint8, rows packed, 1 channel gray or 3 channels BGR.

    ``slot``: ``NO_SLOT`` where there are no pixels, and then ``damaged`` says why. ``sequence``: counted by the capture
    process from 0 on, the frames that it had to drop included; of a camera of files, the number of the picture.
    ``captured_at``: seconds since the epoch; ``captured_ns``: the same moment of the monotonic clock; both are the end
    of exposure as well as it is known. ``trigger``: the number of the software trigger that it answers.
    ``camera_counter``, ``camera_time_ns``, ``exposure_us``, ``gain``: as the camera states them.
    ``lost_before``: frames that were lost between the previous frame and this one: the camera counted them, or no
    slot was free. ``damaged``: what the decoder complained of; such a frame is no evidence of anything.
    ``digest``: a checksum of a sample of the pixels, which tells whether a frame repeats.
    ``name``: of a camera of files, the picture's.
    """

    slot: int
    height: int
    width: int
    channels: int
    sequence: int
    captured_at: float
    captured_ns: int
    trigger: int | None = None
    camera_counter: int | None = None
    camera_time_ns: int | None = None
    exposure_us: float | None = None
    gain: float | None = None
    lost_before: int = 0
    digest: int | None = None
    damaged: str | None = None
    name: str | None = None


class CameraState(str, Enum):
    """Where a camera stands. ``LOST`` is tried again soon, ``REFUSED`` after a longer time."""

    CONNECTING = "CONNECTING"
    STREAMING = "STREAMING"
    LOST = "LOST"
    REFUSED = "REFUSED"


class CameraStatus(msgspec.Struct, frozen=True, kw_only=True, tag="status"):
    """A camera's new state. ``detail``: why, of a failure. ``settings``: what was read back from the camera."""

    state: CameraState
    detail: str | None = None
    settings: dict[str, Setting] = {}


class CameraEnded(msgspec.Struct, frozen=True, kw_only=True, tag="ended"):
    """A file or folder came to its end, which is no fault."""

    detail: str


CameraEvent = FrameInfo | CameraStatus | CameraEnded


class Opened(msgspec.Struct, frozen=True, kw_only=True, tag="opened"):
    """The camera is open and has its settings; ``settings``: what was read back."""

    settings: dict[str, Setting] = {}


class Alive(msgspec.Struct, frozen=True, tag="alive"):
    """The loop that waits for frames has come round. ``dropped``: frames since the last word that found no slot."""

    dropped: int = 0


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag="failed"):
    """The last word of a capture process. ``is_refusal``: the camera answered, and said no."""

    detail: str
    is_refusal: bool


class Start(msgspec.Struct, frozen=True, kw_only=True, tag="start"):
    """The first word to a capture process. ``first``: the picture with which a camera of files goes on."""

    settings: CameraSettings
    slots: int
    slot_bytes: int
    first: int = 0


class Trigger(msgspec.Struct, frozen=True, kw_only=True, tag="trigger"):
    """Take one picture now."""

    number: int


class Release(msgspec.Struct, frozen=True, kw_only=True, tag="release"):
    """The slot may be written again."""

    slot: int


Report = FrameInfo | CameraEnded | Opened | Alive | Failed
"""What a capture process says."""

Command = Start | Trigger | Release
"""What a capture process is told."""

_ENCODER = msgspec.msgpack.Encoder()
_REPORTS: msgspec.msgpack.Decoder[Report] = msgspec.msgpack.Decoder(Report)
_COMMANDS: msgspec.msgpack.Decoder[Command] = msgspec.msgpack.Decoder(Command)


def encode(message: Report | Command) -> bytes:
    """The bytes of one message."""
    return _ENCODER.encode(message)


def decode_report(data: bytes) -> Report:
    """Raises ``msgspec.DecodeError`` or ``msgspec.ValidationError`` for anything else."""
    return _REPORTS.decode(data)


def decode_command(data: bytes) -> Command:
    """Raises ``msgspec.DecodeError`` or ``msgspec.ValidationError`` for anything else."""
    return _COMMANDS.decode(data)
