"""Whitening matrices of Gaussians whose features come from maps of several sizes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["FeatureGrid", "Level", "split_levels"]

# Of the largest entry at a position; an inverse taken in float32 stays well below.
_SHARED_TOLERANCE = 1e-3


@dataclass(frozen=True)
class FeatureGrid:
    """For each feature, which row and which column of its own map each row and column of the full map repeats."""

    rows: tuple[tuple[int, ...], ...]
    columns: tuple[tuple[int, ...], ...]

    @classmethod
    def even(cls, height: int, width: int, factors: Sequence[int]) -> FeatureGrid:
        """Every pixel of a feature is repeated ``factor`` times in each direction."""
        rows, columns = ([tuple(i // factor for i in range(size)) for factor in factors] for size in (height, width))
        return cls(tuple(rows), tuple(columns))

    def pixels(self) -> list[int]:
        """Of each feature's own map, as far as it is read."""
        return [len(set(rows)) * len(set(columns)) for rows, columns in zip(self.rows, self.columns, strict=True)]


@dataclass(frozen=True)
class Level:
    """Features that change at the same pace. ``features``: their indices, which the level adds to the coarser ones.

    ``rows`` and ``columns``: where the level's cells start on the full map; all features seen are uniform in a cell.
    ``mean``: float32 ``(features, h, w)``; ``whitening``: float32 ``(h * w, seen, rank)``, where ``seen`` are the
    level's own features and then those of the coarser levels, in their order. The squared length of
    ``(x - mean) @ whitening``, summed over the levels, is the squared distance.
    """

    rows: tuple[int, ...]
    columns: tuple[int, ...]
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
    a block is kept. Blocks need not be of one size: 15 pixels repeated to 63 fill four or five each.

    Args:
        mean: ``(k, h * w)``.
        precision: inverse covariances, ``(h * w, k, k)``.
        energy: a level keeps as many directions as hold this part of its squared singular values everywhere.

    Raises:
        numpy.linalg.LinAlgError: a precision is not positive definite.
    """
    order = np.argsort([-pixels for pixels in grid.pixels()], kind="stable")
    symmetric = (precision.astype(np.float64) + precision.astype(np.float64).swapaxes(1, 2)) / 2
    lower = np.linalg.cholesky(symmetric[:, order][:, :, order])
    levels = _levels(mean, lower, grid, order)
    if levels is None:
        full = FeatureGrid.even(len(grid.rows[0]), len(grid.columns[0]), (1,) * len(grid.rows))
        levels = _levels(mean, lower, full, order)
    if levels is None:
        raise AssertionError("on one level nothing is shared")
    return tuple(_truncated(level, energy) for level in levels)


def _levels(
    mean: NDArray[np.floating], lower: NDArray[np.float64], grid: FeatureGrid, order: NDArray[np.intp]
) -> tuple[Level, ...] | None:
    """``None`` where positions that should share a row do not."""
    levels: list[Level] = []
    pixels = np.array(grid.pixels())[order]
    rows, columns = {0}, {0}
    for many in sorted(set(pixels)):
        start, stop = np.searchsorted(-pixels, -many), np.searchsorted(-pixels, -many, side="right")
        for index in order[start:stop]:
            rows |= _starts(grid.rows[index])
            columns |= _starts(grid.columns[index])
        cells = _Cells(tuple(sorted(rows)), tuple(sorted(columns)), len(grid.rows[0]), len(grid.columns[0]))
        whitening = _shared(lower[:, start:, start:stop], cells)
        own = _shared(mean[order[start:stop]].T, cells)
        if whitening is None or own is None:
            return None
        shape = (-1, len(cells.rows), len(cells.columns))
        features = tuple(map(int, order[start:stop]))
        levels.append(Level(cells.rows, cells.columns, features, own.T.reshape(shape), whitening))
    return tuple(levels)


@dataclass(frozen=True)
class _Cells:
    """Blocks of positions of a map of ``height`` by ``width``, by where they start."""

    rows: tuple[int, ...]
    columns: tuple[int, ...]
    height: int
    width: int


def _starts(repeats: Sequence[int]) -> set[int]:
    return {index for index in range(1, len(repeats)) if repeats[index] != repeats[index - 1]}


def _shared(values: NDArray[np.floating], cells: _Cells) -> NDArray[np.float32] | None:
    """The mean over each cell, ``None`` where a cell is not uniform. ``values``: positions first."""
    plane = values.reshape(cells.height, cells.width, *values.shape[1:])
    tall, wide = (
        np.diff((*starts, size)) for starts, size in ((cells.rows, cells.height), (cells.columns, cells.width))
    )
    sums = np.add.reduceat(np.add.reduceat(plane, cells.rows, axis=0, dtype=np.float64), cells.columns, axis=1)
    mean = sums / np.multiply.outer(tall, wide).reshape(sums.shape[:2] + (1,) * (sums.ndim - 2))
    if np.abs(plane - mean.repeat(tall, axis=0).repeat(wide, axis=1)).max() > _SHARED_TOLERANCE * np.abs(values).max():
        return None
    return np.ascontiguousarray(mean.reshape(-1, *values.shape[1:]), np.float32)


def _truncated(level: Level, energy: float) -> Level:
    if energy >= 1:
        return level
    left, values, _ = np.linalg.svd(level.whitening, full_matrices=False)
    share = np.cumsum(values**2, axis=1) / np.sum(values**2, axis=1, keepdims=True)
    rank = int((share < energy).sum(axis=1).max()) + 1
    kept = left[:, :, :rank] * values[:, None, :rank]
    return Level(level.rows, level.columns, level.features, level.mean, np.ascontiguousarray(kept, np.float32))
