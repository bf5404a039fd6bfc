"""Estimates how many independent frames the frames of a video are worth."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge_ad.sources.frame_name import FrameName
from edge_ad.thresholds.correlation import SHORTEST, matters

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

__all__ = ["Stream", "correlated_streams", "has_streams"]


@dataclass(frozen=True, slots=True)
class Stream:
    """Frames of one video or one folder of numbered images. ``length``: over how many frames their scores are alike."""

    where: str
    frames: int
    length: float

    @property
    def every(self) -> int:
        """Every how many frames one is about independent of the one before."""
        return math.ceil(self.length)

    @property
    def worth(self) -> int:
        """About how many independent frames these are worth."""
        return max(1, int(self.frames / self.length))


def correlated_streams(names: Sequence[str], scores: NDArray[np.float64]) -> list[Stream]:
    """The videos and folders of numbered images whose neighbouring frames score alike.

    Args:
        names: the names of the images; the frames of one video follow one another in the order of time.
        scores: float64 ``(n,)``, raw, one for each name.
    """
    found = []
    for where, values in _streams(names, scores):
        length = matters(values)
        if length is not None:
            found.append(Stream(where, values.size, length))
    return found


def has_streams(names: Sequence[str], scores: NDArray[np.float64]) -> bool:
    """Whether any of the images form a stream that is long enough for :func:`correlated_streams`."""
    return any(True for _ in _streams(names, scores))


def _streams(names: Sequence[str], scores: NDArray[np.float64]) -> Iterator[tuple[str, NDArray[np.float64]]]:
    for where, group in groupby(range(len(names)), key=lambda k: _stream_of(names[k])):
        values = scores[list(group)]
        if where and values.size >= SHORTEST and values.min() < values.max():
            yield where, values


def _stream_of(name: str) -> str:
    """The video, or the folder of an image with a number in its name; empty for other images."""
    parts = FrameName.parse(name)
    file = Path(parts.file)
    if parts.index is not None:
        return str(file)
    return str(file.parent) if any(letter.isdigit() for letter in file.stem) else ""
