"""One score of several over time."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_ad.bundle.clip import Smoothing

__all__ = ["Smoother"]


class Smoother:
    """Holds the last raw scores; ``None`` as smoothing hands every score on."""

    def __init__(self, smoothing: Smoothing | None) -> None:
        self.window = 1 if smoothing is None else smoothing.window
        self._smoothing = smoothing
        self._scores: deque[float] = deque(maxlen=self.window)

    @property
    def missing(self) -> int:
        """How many scores it takes still before there is a smoothed one."""
        return self.window - len(self._scores)

    def clear(self) -> None:
        self._scores.clear()

    def add(self, score: float) -> float | None:
        """The smoothed score, ``None`` while scores are :attr:`missing`."""
        self._scores.append(score)
        if self._smoothing is None:
            return score
        if self.missing:
            return None
        if self._smoothing.kind == "mean":
            return sum(self._scores) / self.window
        return sorted(self._scores)[-self._smoothing.k]
