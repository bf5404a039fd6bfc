"""The results of late in short, for the page."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

import msgspec

from edge_ad.controllers.conversation import outcome_of
from edge_ad.link.messages import Event, PartResult
from edge_ad.verdict import State

__all__ = ["PageResult", "RecentResults"]

_KEPT = 300


class PageResult(msgspec.Struct, frozen=True, kw_only=True):
    """A result in short. ``at``: seconds since the epoch, UTC. ``challenge``: which challenge part it is, if any."""

    number: int
    trigger: int
    part_id: str | None
    state: State
    reason: str | None
    detail: str | None
    recipe: str | None
    score: float | None
    threshold: float | None
    latency_ms: float
    at: float
    challenge: str | None = None


class RecentResults:
    """The results of late, each with a number that rises, and whoever waits for another one."""

    def __init__(self) -> None:
        self.drift_causes: tuple[str, ...] = ()
        self.told: set[Callable[[], None]] = set()
        self._results: deque[PageResult] = deque(maxlen=_KEPT)
        self._number = 0

    def hear(self, event: Event) -> None:
        """Every event of the station."""
        if isinstance(event, PartResult):
            self._number += 1
            self._results.append(_in_short(event, self._number))
            drifts = [one.drift for one in event.verdicts if one.drift is not None]
            if drifts:
                self.drift_causes = tuple(dict.fromkeys(cause for one in drifts for cause in one.causes))
        self.changed()

    def changed(self) -> None:
        """Something else may have changed."""
        for tell in tuple(self.told):
            tell()

    def after(self, number: int) -> list[PageResult]:
        """The results after that one, the oldest first; all of them where it is one of an earlier process."""
        number = 0 if number > self._number else number
        return [one for one in self._results if one.number > number]


def _in_short(result: PartResult, number: int) -> PageResult:
    outcome = outcome_of(result)
    return PageResult(
        number=number,
        trigger=result.trigger,
        part_id=result.part_id,
        state=result.state,
        reason=result.reason,
        detail=result.detail,
        recipe=result.recipe,
        score=outcome.score,
        threshold=outcome.threshold,
        latency_ms=result.latency_ms,
        challenge=result.challenge,
        at=max((one.captured_at for one in result.verdicts), default=time.time()),
    )
