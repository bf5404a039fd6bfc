"""What a station counts: parts by state and reason, refused triggers, lost frames, and how long verdicts took."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from edge_ad.link.messages import PresentCounts
from edge_ad.station.parts import InspectedPart
from edge_ad.verdict import State

__all__ = ["StationCounters"]


@dataclass(slots=True)
class StationCounters:
    """Counts since the start. Times in milliseconds, from trigger to result, of parts that got a score."""

    parts: dict[str, int] = field(default_factory=lambda: {state.value: 0 for state in State})
    reasons: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    lost_frames: int = 0
    unasked_frames: int = 0
    faults: int = 0
    scorer_restarts: int = 0
    scored: int = 0
    latency_sum_ms: float = 0.0
    latency_min_ms: float | None = None
    latency_max_ms: float | None = None
    challenges: dict[str, int] = field(default_factory=dict)

    def count(self, part: InspectedPart) -> None:
        """Counts one result. That of a challenge part is counted apart from all others, by its state."""
        if part.challenge is not None:
            self.challenges[part.state.value] = self.challenges.get(part.state.value, 0) + 1
            return
        self.parts[part.state.value] += 1
        if part.reason is not None:
            self.reasons[part.reason] = self.reasons.get(part.reason, 0) + 1
        if part.state is State.INVALID:
            return
        self.scored += 1
        self.latency_sum_ms += part.latency_ms
        self.latency_min_ms = min(part.latency_ms, self.latency_min_ms or part.latency_ms)
        self.latency_max_ms = max(part.latency_ms, self.latency_max_ms or part.latency_ms)

    def copy(self) -> StationCounters:
        """The counts of this moment."""
        mine = replace(self, parts=dict(self.parts), reasons=dict(self.reasons))
        mine.refused, mine.challenges = dict(self.refused), dict(self.challenges)
        return mine

    def refuse(self, reason: str) -> None:
        """Counts a trigger that was not taken."""
        self.refused[reason] = self.refused.get(reason, 0) + 1

    def as_present(self, recipe: str, since: str) -> PresentCounts:
        """The same for the link's snapshot."""
        return PresentCounts(
            recipe=recipe,
            since=since,
            parts=dict(self.parts),
            invalid=dict(self.reasons),
            refused=dict(self.refused),
            challenges=dict(self.challenges),
            lost_frames=self.lost_frames,
            faults=self.faults,
            scorer_restarts=self.scorer_restarts,
            latency_min_ms=self.latency_min_ms,
            latency_mean_ms=self.latency_sum_ms / self.scored if self.scored else None,
            latency_max_ms=self.latency_max_ms,
        )

    def as_numbers(self) -> dict[str, int]:
        """All counts under flat names, for the link's snapshot."""
        named = {f"parts_{name}": n for name, n in self.parts.items()}
        named |= {f"invalid_{name}": n for name, n in self.reasons.items()}
        named |= {f"refused_{name}": n for name, n in self.refused.items()}
        return named | {
            "lost_frames": self.lost_frames,
            "unasked_frames": self.unasked_frames,
            "faults": self.faults,
            "scorer_restarts": self.scorer_restarts,
        }
