"""Evenly spaced choices from many things: images, clips, tiles, thresholds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["evenly_spaced", "evenly_spaced_to_the_last", "evenly_stepped"]


def evenly_spaced(total: int, most: int) -> list[int]:
    """The indices of ``min(total, most)`` of ``total`` things, ascending and distinct, index 0 among them."""
    count = min(total, most)
    return [i * total // count for i in range(count)]


def evenly_spaced_to_the_last(total: int, most: int) -> NDArray[np.intp]:
    """The same with the last index among them too, where ``most`` is 2 or more: intp ``(min(total, most),)``."""
    places: NDArray[np.intp] = np.linspace(0, total - 1, min(total, most)).round().astype(np.intp)
    return places


def evenly_stepped(total: int, most: int) -> range:
    """Index 0 and every n-th one after it, with the smallest n that leaves at most ``most`` indices.

    Other than :func:`evenly_spaced` it may choose fewer, but the distance is always the same.
    """
    return range(0, total, -(-total // most) or 1)
