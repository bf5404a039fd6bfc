"""A part on its way through the station: what was asked, what has come in, and the verdict of all its frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from edge_ad.verdict import State, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Asker", "InspectedPart", "Moment", "PartFrame", "PartReason", "judge_part"]


@dataclass(frozen=True, slots=True)
class Moment:
    """``ns``: of the monotonic clock. ``at``: seconds since the epoch, for people."""

    ns: int
    at: float


class PartReason:
    """Why a part is ``INVALID``, beside the reasons of its frames (:class:`edge_ad.verdict.Reason`)."""

    LATE = "late"
    FAULT = "fault"
    STOPPED = "stopped"
    SCORER_LOST = "scorer_lost"
    DROPPED = "dropped"
    MISSING_FRAMES = "missing_frames"
    LOCKED = "locked"


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asked for a part: a client of the link, and the id that it gave to its request."""

    client: int
    id: str


class PartFrame(msgspec.Struct, frozen=True, kw_only=True):
    """One frame of a part: by which inspection it was scored, from which camera it came, and its verdict."""

    inspection: str
    camera: str
    verdict: Verdict


class InspectedPart(msgspec.Struct, frozen=True, kw_only=True):
    """The one answer to a trigger.

    ``triggered_at``: seconds since the epoch, UTC. ``latency_ms``: from the trigger to this result.
    ``challenge``: the name of the challenge part that this is; it is no production.
    ``accepted`` alone may let a part pass.
    """

    trigger: int
    part_id: str
    recipe: str
    state: State
    reason: str | None = None
    detail: str | None = None
    triggered_at: float
    latency_ms: float
    frames: tuple[PartFrame, ...] = ()
    challenge: str | None = None

    @property
    def accepted(self) -> bool:
        """Whether the part may pass."""
        return self.state is State.ACCEPT


def judge_part(verdicts: Iterable[Verdict], reject_from: int = 1) -> tuple[State, str | None, str | None]:
    """State, reason and detail of a part with these frames.

    ``REJECT`` where at least ``reject_from`` frames are rejected. Else ``INVALID`` where any frame is, with the reason
    of the first: it might have been rejected. ``ACCEPT`` only where every frame has a valid verdict, and there is one.
    """
    given = list(verdicts)
    if sum(one.state is State.REJECT for one in given) >= reject_from:
        return State.REJECT, None, None
    for one in given:
        if one.state not in {State.ACCEPT, State.REJECT}:
            return State.INVALID, one.reason.value if one.reason else None, one.detail
    if not given:
        return State.INVALID, PartReason.MISSING_FRAMES, "no frame of this part was scored"
    return State.ACCEPT, None, None
