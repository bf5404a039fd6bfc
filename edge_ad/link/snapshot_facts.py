"""What the link's snapshot says of counts, inspections and the proof of a recipe."""

from __future__ import annotations

import msgspec

from edge_ad.verdict import State

__all__ = ["ChallengeFacts", "ChallengePart", "InspectionFacts", "PresentCounts"]


class PresentCounts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was counted with ``recipe`` since the shift began, or since somebody set the counts back.

    ``since``: local time, such as ``2026-11-27T06:00``. ``parts``: by state. ``invalid``: parts, and ``refused``:
    triggers, by reason. ``challenges``: challenge parts by state, which are in none of the other counts. Times in
    milliseconds, from trigger to result, of parts that got a score.
    """

    recipe: str
    since: str
    parts: dict[str, int] = {}
    invalid: dict[str, int] = {}
    refused: dict[str, int] = {}
    challenges: dict[str, int] = {}
    lost_frames: int = 0
    faults: int = 0
    scorer_restarts: int = 0
    latency_min_ms: float | None = None
    latency_mean_ms: float | None = None
    latency_max_ms: float | None = None


class InspectionFacts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an inspection of the active recipe scores with, and what its calibration promises.

    ``calibration``: the name of the calibrated station in the bundle; ``method``: how its threshold was found, of
    ``normals`` held-out observations. ``rate``: the false-reject rate that is promised with ``confidence``, where one
    is; ``doubt``: why the promise does not count all the same.
    """

    camera: str
    bundle: str
    variant: str
    engine: str
    calibration: str
    method: str
    threshold: float
    normals: int
    rate: float | None = None
    confidence: float | None = None
    doubt: str | None = None


class ChallengePart(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A labelled part. ``state``: what the station said of it in the challenge that goes on, or in the last one."""

    name: str
    is_bad: bool = False
    state: State | None = None
    reason: str | None = None


class ChallengeFacts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How the active recipe is proved. Times: seconds since the epoch, UTC.

    ``parts``: those that are put in. ``running_by``: who has begun a challenge that goes on; ``next``: the part that is
    to come, ``is_armed``: that it comes now; ``again``: why it has to come once more. ``due_at``: when it is due,
    ``locked``: why no part is accepted. ``last``, ``last_at``, ``last_by``: how the last challenge of parts ended.
    ``is_replaying``: pictures are being replayed; ``replay``, ``replay_at``, ``replay_detail``: how that ended last,
    ``replay_why``: what had changed before it. ``kept``: why results cannot be written down.
    """

    parts: tuple[ChallengePart, ...] = ()
    has_set: bool = False
    running_by: str | None = None
    next: str | None = None
    is_armed: bool = False
    again: str | None = None
    due_at: float | None = None
    is_due: bool = False
    locked: str | None = None
    last: str | None = None
    last_at: float | None = None
    last_by: str | None = None
    is_replaying: bool = False
    replay: str | None = None
    replay_at: float | None = None
    replay_detail: str | None = None
    replay_why: tuple[str, ...] = ()
    kept: str | None = None
