"""Whitening matrices of Gaussians whose features come from maps of several sizes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["FeatureGrid", "Level", "split_levels"]

# Of the largest entry at a position; an inverse taken in float32 stays well below.
_SHARED_TOLERANCE = 1e-3


@dataclass(frozen=True)
class FeatureGrid:
    """The map's size, and for each feature how many times in each direction its pixels are repeated to fill it."""

    height: int
    width: int
    factors: tuple[int, ...]


@dataclass(frozen=True)
class Level:
    """Features that change at the same pace. ``features``: their indices, which the level adds to the coarser ones.

    ``mean``: float32 ``(features, h, w)``; ``whitening``: float32 ``(h * w, seen, rank)``, where ``seen`` are the
    level's own features and then those of the coarser levels, in their order. The squared length of
    ``(x - mean) @ whitening``, summed over the levels, is the squared distance.
    """

    factor: int
    features: tuple[int, ...]
    mean: NDArray[np.float32]
    whitening: NDArray[np.float32]


def split_levels(
    mean: NDArray[np.floating], precision: NDArray[np.floating], grid: FeatureGrid, energy: float = 1.0
) -> tuple[Level, ...]:
    """Factors ``(x - mean)' precision (x - mean)``, coarsest level first.

    With the features in order from fine to coarse, Cholesky's ``precision = L L'`` gives ``|L' d|^2``, and the rows of
    ``L'`` that belong to a coarse level see that level and coarser ones only: they factor the inverse of that
    features' own covariance. Where features are repeated over a block of positions, so are these rows, and one copy
    a block is kept.

    Args:
        mean: ``(k, h * w)``.
        precision: inverse covariances, ``(h * w, k, k)``.
        energy: a level keeps as many directions as hold this part of its squared singular values everywhere.

    Raises:
        numpy.linalg.LinAlgError: a precision is not positive definite.
    """
    order = np.argsort(grid.factors, kind="stable")
    symmetric = (precision.astype(np.float64) + precision.astype(np.float64).swapaxes(1, 2)) / 2
    lower = np.linalg.cholesky(symmetric[:, order][:, :, order])
    levels = _levels(mean, lower, grid, order)
    if levels is None:
        levels = _levels(mean, lower, FeatureGrid(grid.height, grid.width, (1,) * len(grid.factors)), order)
    if levels is None:
        raise AssertionError("on one level nothing is shared")
    return tuple(_truncated(level, energy) for level in levels)


def _levels(
    mean: NDArray[np.floating], lower: NDArray[np.float64], grid: FeatureGrid, order: NDArray[np.intp]
) -> tuple[Level, ...] | None:
    """``None`` where positions that should share a row do not."""
    levels: list[Level] = []
    factors = np.array(grid.factors)[order]
    for factor in sorted(set(grid.factors), reverse=True):
        start, stop = np.searchsorted(factors, factor), np.searchsorted(factors, factor, side="right")
        rows = _shared(lower[:, start:, start:stop], grid, factor)
        own = _shared(mean[order[start:stop]].T, grid, factor)
        if rows is None or own is None:
            return None
        shape = (-1, grid.height // factor, grid.width // factor)
        level = Level(factor, tuple(map(int, order[start:stop])), own.T.reshape(shape), rows)
        levels.append(level)
    return tuple(levels)


def _shared(values: NDArray[np.floating], grid: FeatureGrid, factor: int) -> NDArray[np.float32] | None:
    """The mean over each block of ``factor`` by ``factor`` positions, ``None`` where a block is not uniform.

    ``values``: positions first.
    """
    blocks = values.reshape(grid.height // factor, factor, grid.width // factor, factor, *values.shape[1:])
    mean = blocks.mean(axis=(1, 3), keepdims=True, dtype=np.float64)
    if np.abs(blocks - mean).max() > _SHARED_TOLERANCE * np.abs(values).max():
        return None
    return np.ascontiguousarray(mean.reshape(-1, *values.shape[1:]), np.float32)


def _truncated(level: Level, energy: float) -> Level:
    if energy >= 1:
        return level
    left, values, _ = np.linalg.svd(level.whitening, full_matrices=False)
    share = np.cumsum(values**2, axis=1) / np.sum(values**2, axis=1, keepdims=True)
    rank = int((share < energy).sum(axis=1).max()) + 1
    kept = left[:, :, :rank] * values[:, None, :rank]
    return Level(level.factor, level.features, level.mean, np.ascontiguousarray(kept, np.float32))
