"""The samples that clips are made of, each kept once and in place."""

from __future__ import annotations

from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

__all__ = ["ClipRing", "ClipState"]


class ClipState(Enum):
    """What the clip that ends with the newest sample is good for."""

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
        """Time goes on by one sample: what stands in :attr:`slot`, or nothing of use."""
        self._valid[self._place(self._pushed)] = valid
        self._pushed += 1

    def clear(self) -> None:
        """What came before belongs to another scene."""
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
