"""Memory of past frames: a ring of the samples that clips are made of, and the last scores for smoothing."""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

if TYPE_CHECKING:
    from edge_ad.bundle.clip import Smoothing

__all__ = ["ClipRing", "ClipState", "Smoother"]


class ClipState(Enum):
    """Whether the clip that ends with the newest sample can be scored."""

    WHOLE = "whole"
    TOO_SHORT = "too short"
    BROKEN = "broken"


class ClipRing:
    """The newest ``length * stride`` samples of ``shape``.

    Samples of one clip lie ``stride`` apart, so that every ``stride``-th sample shares a lane: the clip is one lane,
    read from its oldest slot on in at most two runs of memory.
    """

    def __init__(self, length: int, stride: int, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        self._lanes: NDArray[Any] = np.zeros((stride, length, *shape), dtype)
        self._valid = np.zeros((stride, length), np.bool_)
        self._length = length
        self._stride = stride
        self._pushed = 0

    @property
    def slot(self) -> NDArray[Any]:
        """Where the coming sample is to be written; a view."""
        lane, place = self._place(self._pushed)
        return np.asarray(self._lanes[lane, place])

    @property
    def newest(self) -> NDArray[Any]:
        """The sample that was pushed last; a view."""
        lane, place = self._place(max(self._pushed - 1, 0))
        return np.asarray(self._lanes[lane, place])

    @property
    def pushed(self) -> int:
        """How many samples came since the last :meth:`clear`."""
        return self._pushed

    @property
    def state(self) -> ClipState:
        """Of the clip that ends with the newest sample."""
        if self._pushed <= (self._length - 1) * self._stride:
            return ClipState.TOO_SHORT
        lane, _ = self._place(self._pushed - 1)
        return ClipState.WHOLE if self._valid[lane].all() else ClipState.BROKEN

    def push(self, *, valid: bool) -> None:
        """Adds the sample that was written into :attr:`slot`; ``valid=False`` marks it as missing."""
        self._valid[self._place(self._pushed)] = valid
        self._pushed += 1

    def clear(self) -> None:
        """Forgets all samples: another scene begins."""
        self._pushed = 0

    def copy_to(self, out: NDArray[Any]) -> None:
        """Writes the clip that ends with the newest sample, ``[length, ...]``, in the order of time."""
        lane, newest = self._place(self._pushed - 1)
        oldest = newest + 1
        samples = self._lanes[lane]
        np.copyto(out[: self._length - oldest], samples[oldest:])
        np.copyto(out[self._length - oldest :], samples[:oldest])

    def _place(self, index: int) -> tuple[int, int]:
        return index % self._stride, index // self._stride % self._length


class Smoother:
    """Smooths scores over time; with ``smoothing=None`` each score is returned unchanged."""

    def __init__(self, smoothing: Smoothing | None) -> None:
        self.window = 1 if smoothing is None else smoothing.window
        self._smoothing = smoothing
        self._scores: deque[float] = deque(maxlen=self.window)

    @property
    def missing(self) -> int:
        """How many more scores are needed for the first smoothed one."""
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
