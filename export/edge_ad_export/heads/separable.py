"""Separable linear maps of a picture as matrices, one for each axis.

Applied from both sides they do in two small products what interpolation, padding and a two-dimensional convolution
do in a large one, and products of such matrices fold several steps into one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["gaussian_matrix", "gaussian_taps", "linear_matrix"]


def gaussian_taps(sigma: float, radius: int) -> NDArray[np.float64]:
    """A sampled Gaussian of ``2 radius + 1`` taps that sums to 1."""
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    taps: NDArray[np.float64] = weights / weights.sum()
    return taps


def gaussian_matrix(length: int, sigma: float) -> NDArray[np.float32]:
    """``(length, length)``: blurs an axis, mirrored at its ends without repeating them.

    The kernel reaches 4 sigma to each side, as in SciPy and in anomalib's blur of the map.
    """
    radius = int(4 * sigma + 0.5)
    sources = np.pad(np.arange(length), radius, mode="reflect")
    matrix = np.zeros((length, length))
    for offset, weight in enumerate(gaussian_taps(sigma, radius)):
        np.add.at(matrix, (np.arange(length), sources[offset : offset + length]), weight)
    return matrix.astype(np.float32)


def linear_matrix(source: int, target: int) -> NDArray[np.float32]:
    """``(target, source)``: resamples an axis linearly, pixel centres at halves, ends repeated, no antialiasing."""
    position = np.clip((np.arange(target) + 0.5) * source / target - 0.5, 0, source - 1)
    lower = np.minimum(position.astype(np.int64), max(source - 2, 0))
    share = position - lower
    matrix = np.zeros((target, source))
    matrix[np.arange(target), lower] = 1 - share
    matrix[np.arange(target), np.minimum(lower + 1, source - 1)] += share
    return matrix.astype(np.float32)
