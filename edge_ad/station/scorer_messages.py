"""What the station and a scorer's process say to each other."""

from __future__ import annotations

import msgspec

from edge_ad.cameras import CameraSettings
from edge_ad.link.messages import InspectionFacts
from edge_ad.station.evidence_writer import EvidenceChoice
from edge_ad.station.preview_writer import PreviewChoice
from edge_ad.station.scorer_drift import DriftChoice
from edge_ad.station.video_writer import VideoChoice
from edge_ad.teaching.session import TeachingSettings
from edge_ad.verdict import Verdict

__all__ = [
    "MESSAGE_BYTES",
    "Opening",
    "Refusal",
    "RingGiven",
    "ScoreThis",
    "Scored",
    "ScorerReady",
    "decode_order",
    "decode_report",
    "encode",
]


class Opening(msgspec.Struct, frozen=True, kw_only=True, tag="open"):
    """The first order: which bundle, and how. ``handed_in``: of a camera whose frames clients hand in, its settings.

    ``trust``: the trust store by which the bundle has to be signed, ``None`` where that is not asked for. ``is_trial``:
    the bundle may yet be given back, so the store does not remember it. ``frames``: so many of them are a part.
    ``cache``: the folder of compiled models.
    """

    bundle: str
    is_trial: bool = False
    variant: str | None
    calibration: str | None
    device: str
    threads: int | None
    cache: str | None = None
    station: str
    inspection: str
    camera: str
    recipe: str
    trust: str | None = None
    handed_in: CameraSettings | None = None
    evidence: EvidenceChoice | None = None
    evidence_bytes: int = 0
    drift: DriftChoice | None = None
    videos: tuple[VideoChoice, ...] = ()
    preview: PreviewChoice | None = None
    teaching: TeachingSettings | None = None
    frames: int = 1


class RingGiven(msgspec.Struct, frozen=True, kw_only=True, tag="ring"):
    """A camera's ring of frames; its descriptor comes with this message. It replaces the camera's earlier one."""

    camera: str
    ring: int
    size: int


class ScoreThis(msgspec.Struct, frozen=True, kw_only=True, tag="score"):
    """Score a frame: at ``offset`` of the ``ring`` of a camera, or of the descriptor that comes with this message.

    ``is_challenge``: it shows a labelled part, from which drift learns nothing and which is not taught.
    """

    job: int
    height: int
    width: int
    channels: int
    frame_id: int
    part_id: str
    captured_at: float
    camera: str | None = None
    ring: int = 0
    offset: int = 0
    is_challenge: bool = False


class ScorerReady(msgspec.Struct, frozen=True, kw_only=True, tag="ready"):
    """The bundle is open, verified and calibrated, and its golden frames gave their scores here.

    ``choice``: why it is this variant, where that has to be said. ``warning``: what should be known all the same.
    ``facts``: what the link tells of it.
    """

    bundle: str
    variant: str
    engine: str
    choice: str | None = None
    warning: str | None = None
    facts: InspectionFacts | None = None


class Refusal(msgspec.Struct, frozen=True, kw_only=True, tag="refusal"):
    """The bundle cannot be used; the process ends."""

    detail: str


class Scored(msgspec.Struct, frozen=True, kw_only=True, tag="scored"):
    """The answer to one :class:`ScoreThis`. ``videos``: the state of each video output.

    ``preview_error``: why the last preview was not written; ``teaching_error``: the last frame that is taught.
    """

    job: int
    verdict: Verdict
    evidence_kept: int = 0
    evidence_dropped: int = 0
    evidence_error: str | None = None
    drift_error: str | None = None
    videos: dict[str, str] = {}
    preview_error: str | None = None
    teaching_error: str | None = None


Order = Opening | RingGiven | ScoreThis
Report = ScorerReady | Refusal | Scored

MESSAGE_BYTES = 1 << 20
"""The longest message."""

_ENCODER = msgspec.msgpack.Encoder()
_ORDERS: msgspec.msgpack.Decoder[Order] = msgspec.msgpack.Decoder(Order)
_REPORTS: msgspec.msgpack.Decoder[Report] = msgspec.msgpack.Decoder(Report)


def encode(message: Order | Report) -> bytes:
    """The bytes of one message."""
    return _ENCODER.encode(message)


def decode_order(data: bytes) -> Order:
    """Raises ``msgspec.DecodeError`` for anything else."""
    return _ORDERS.decode(data)


def decode_report(data: bytes) -> Report:
    """Raises ``msgspec.DecodeError`` for anything else."""
    return _REPORTS.decode(data)
