"""The verdict on one frame, and the types it is made of."""

from __future__ import annotations

from enum import Enum

import msgspec

__all__ = [
    "Box",
    "Drift",
    "DriftState",
    "FrameSpan",
    "FrameStatistics",
    "Latency",
    "ObjectVerdict",
    "Point",
    "Reason",
    "Region",
    "State",
    "Verdict",
]


class State(str, Enum):
    """Everything that is not ``ACCEPT`` drives the reject output."""

    ACCEPT = "ACCEPT"
    REJECT = "REJECT"
    INVALID = "INVALID"


class Reason(str, Enum):
    """Why a frame is ``INVALID``."""

    UNREADABLE = "unreadable"
    WRONG_SHAPE = "wrong_shape"
    WRONG_TYPE = "wrong_type"
    NOT_FINITE = "not_finite"
    ENGINE_FAILED = "engine_failed"
    SOURCE_FAILED = "source_failed"
    UNCALIBRATED = "uncalibrated"
    WARMING_UP = "warming_up"
    INCOMPLETE_CLIP = "incomplete_clip"
    BETWEEN_SCORES = "between_scores"
    NO_OBJECTS = "no_objects"
    BAD_OBJECT = "bad_object"
    OUT_OF_RANGE = "out_of_range"
    STALE = "stale"
    FROZEN = "frozen"


class Point(msgspec.Struct, frozen=True):
    """A pixel of the camera's frame."""

    x: int
    y: int


class Box(msgspec.Struct, frozen=True):
    """An upright box in pixels of the camera's frame; ``x``, ``y`` is its top left pixel."""

    x: int
    y: int
    width: int
    height: int


class Region(msgspec.Struct, frozen=True, kw_only=True):
    """A connected part of the anomaly map above the pixel threshold, in camera pixels."""

    box: Box
    area_px: int
    peak: Point
    peak_score: float


class ObjectVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict on one object of a frame; ``state`` is ``INVALID`` where the bundle is not calibrated."""

    box: Box
    state: State
    score: float
    p_value: float | None = None


class FrameSpan(msgspec.Struct, frozen=True):
    """The frames from ``first`` to ``last``, both included."""

    first: int
    last: int


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds spent on one frame, by stage."""

    geometry: float = 0.0
    engine: float = 0.0
    decision: float = 0.0
    total: float = 0.0


class DriftState(str, Enum):
    """Whether frames still look like those of the calibration; says nothing about a single frame."""

    OK = "OK"
    WATCH = "WATCH"
    RECALIBRATE = "RECALIBRATE"


class FrameStatistics(msgspec.Struct, frozen=True):
    """How the model's input looks, whatever the model makes of it; see ``edge_ad.drift.frame_statistics``.

    ``brightness``: mean, 0-255. ``contrast``: standard deviation over mean. ``sharpness``: root mean square
    step between neighbouring pixels over the standard deviation. ``colour``: how far the three channels lie apart, over
    the brightest of them: 0 is gray, 1 the purest colour; ``None`` in a record of an earlier version.
    """

    brightness: float
    contrast: float
    sharpness: float
    colour: float | None = None


class Drift(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the calibration still holds, as of this frame; see ``edge_ad.drift``.

    ``evidence``: what ``state`` is decided by; at 1 it is ``RECALIBRATE``. ``causes``: what has departed, for
    instance ``brightness lower``, the plainest first; empty while all is well. ``since``: the observed frame,
    counted from 1, with which this state began; 0 from the start. ``frames``: how many were observed, this one
    included; ``rejects``: how many of them were rejected. ``statistics``: of this frame; ``None`` where the
    calibration has none to compare with or the frame has no score. Where objects are scored, all figures count objects
    and ``statistics`` is ``None``.
    """

    state: DriftState
    evidence: float
    causes: tuple[str, ...]
    since: int
    frames: int
    rejects: int
    statistics: FrameStatistics | None = None


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict on one frame.

    ``score``: raw and unclamped, higher is more anomalous; ``None`` where there is no finite score.
    ``p_value``: the split-conformal p-value ``(1 + #{normals >= score}) / (n + 1)`` against the calibration's held-out
    normals (Vovk et al. 2005).
    ``captured_at``: seconds since the epoch, UTC.
    ``drift``: about the stream up to this frame; ``None`` where drift is not watched.
    ``covers``: the ids of the frames that a clip's score is about; ``None`` for a model of single frames.
    ``objects``: of a bundle that scores objects, each of them, in the order given. The frame is rejected when any of
    them is, and its score and p-value are those of the highest-scoring one.
    """

    state: State
    reason: Reason | None = None
    detail: str | None = None
    score: float | None = None
    p_value: float | None = None
    threshold: float | None = None
    pixel_threshold: float | None = None
    regions: tuple[Region, ...] = ()
    frame_id: int = 0
    part_id: str | None = None
    captured_at: float
    latency_ms: Latency = Latency()
    bundle: str
    variant: str
    station: str | None = None
    drift: Drift | None = None
    covers: FrameSpan | None = None
    objects: tuple[ObjectVerdict, ...] = ()

    @property
    def accepted(self) -> bool:
        """True for ``ACCEPT`` alone: the only state that may let a part pass."""
        return self.state is State.ACCEPT
