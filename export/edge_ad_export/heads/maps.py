"""From the anomaly maps of several levels to the map and the score of the bundle.

Interpolation and blur treat rows and columns apart: each is a matrix for one axis. Applied from both sides, two small
products do what a two-dimensional convolution or a resize does, and several steps fold into one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np

from edge_ad_export.model.head import Array, HeadOutputs, HeadResult
from edge_ad_export.model.head_options import Combine, MapScore

if TYPE_CHECKING:
    import onnx_ir as ir
    from numpy.typing import NDArray

    from edge_ad_export.graph.builder import GraphBuilder

__all__ = ["MapCombination", "MapPostprocessor", "gaussian_kernel", "gaussian_matrix", "linear_matrix"]


@dataclass(frozen=True)
class MapCombination:
    """Every map is resampled linearly to ``rows`` x ``columns``, then all are multiplied, added or averaged."""

    rows: int
    columns: int
    how: Combine

    def build(
        self, graph: GraphBuilder, anomaly_maps: Sequence[ir.Value], sizes: Sequence[tuple[int, int]]
    ) -> ir.Value:
        """One map ``[1, 1, rows, columns]`` of maps ``[1, 1, h, w]`` that have these ``sizes`` (h, w)."""
        resized = [
            graph.multiply_axes(
                anomaly_map,
                None if rows == self.rows else linear_matrix(rows, self.rows),
                None if columns == self.columns else linear_matrix(columns, self.columns),
            )
            for anomaly_map, (rows, columns) in zip(anomaly_maps, sizes, strict=True)
        ]
        joined = reduce(lambda a, b: graph.op("Mul" if self.how == "product" else "Add", a, b), resized)
        if self.how == "mean" and len(resized) > 1:
            return graph.op("Mul", joined, graph.number("share", 1 / len(resized)))
        return joined

    def reference(self, anomaly_maps: Sequence[Array]) -> Array:
        """The same by OpenCV: float64 ``(rows, columns)`` of float64 maps ``(h, w)``."""
        import cv2

        size = (self.columns, self.rows)
        resized = np.stack([cv2.resize(one, size, interpolation=cv2.INTER_LINEAR) for one in anomaly_maps])
        if self.how == "product":
            return np.asarray(resized.prod(axis=0))
        return np.asarray(resized.sum(axis=0) if self.how == "sum" else resized.mean(axis=0))


@dataclass(frozen=True)
class MapPostprocessor:
    """Blurs an anomaly map and takes one score from it.

    Attributes:
        rows: cells of the map, from top to bottom.
        columns: cells of the map, from left to right.
        sigma_rows: standard deviation of the blur along a column, in cells; 0 for none.
        sigma_columns: standard deviation of the blur along a row, in cells; 0 for none.
        score: how the score is taken.

    Raises:
        InputError: the score asks for more cells than the map has.
    """

    rows: int
    columns: int
    sigma_rows: float = 0.0
    sigma_columns: float = 0.0
    score: MapScore = field(default_factory=MapScore)

    def __post_init__(self) -> None:
        self.score.largest(self.rows * self.columns)

    def smooth(self, graph: GraphBuilder, anomaly_map: ir.Value) -> ir.Value:
        """The blur alone, of a map ``[1, 1, h, w]``."""
        rows = gaussian_matrix(self.rows, self.sigma_rows) if self.sigma_rows else None
        columns = gaussian_matrix(self.columns, self.sigma_columns) if self.sigma_columns else None
        return graph.multiply_axes(anomaly_map, rows, columns)

    def build(self, graph: GraphBuilder, anomaly_map: ir.Value) -> HeadOutputs:
        """Adds blur and score to a map ``[1, 1, h, w]``."""
        smoothed = self.smooth(graph, anomaly_map)
        return HeadOutputs(self._score(graph, smoothed), smoothed)

    def _score(self, graph: GraphBuilder, anomaly_map: ir.Value) -> ir.Value:
        cells = self.rows * self.columns
        count = self.score.largest(cells)
        flat = graph.reshape(anomaly_map, (1, cells))
        if count == 1:
            return graph.reduce("ReduceMax", flat, [1])
        largest = graph.first_of("TopK", 2, flat, graph.constant("count", np.array([count], np.int64)), axis=1)
        # A quantile is the smallest of the largest cells.
        return graph.reduce("ReduceMean" if self.score.kind == "top" else "ReduceMin", largest, [1])

    def smooth_reference(self, anomaly_map: Array) -> Array:
        """The blur alone, by SciPy: float64 ``(h, w)`` to the same."""
        from scipy.ndimage import gaussian_filter

        sigmas = (self.sigma_rows, self.sigma_columns)
        smoothed: Array = gaussian_filter(anomaly_map, sigmas, mode="mirror", truncate=4.0)
        return smoothed

    def reference(self, anomaly_map: Array) -> HeadResult:
        """What :meth:`build` computes, in float64, for a map ``(h, w)``."""
        smoothed = self.smooth_reference(np.asarray(anomaly_map, np.float64))
        ascending = np.sort(smoothed, axis=None)
        if self.score.kind == "max":
            return HeadResult(float(ascending[-1]), smoothed)
        if self.score.kind == "top":
            return HeadResult(float(ascending[-int(self.score.amount) :].mean()), smoothed)
        return HeadResult(float(np.quantile(smoothed, self.score.amount, method="inverted_cdf")), smoothed)


def gaussian_kernel(sigma: float, radius: int) -> NDArray[np.float64]:
    """A sampled Gaussian, float64 ``(2 radius + 1,)``, that sums to 1."""
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    kernel: NDArray[np.float64] = weights / weights.sum()
    return kernel


def gaussian_matrix(length: int, sigma: float) -> NDArray[np.float32]:
    """Blurs an axis: float32 ``(length, length)``. The axis is mirrored at its ends without repeating them.

    The kernel reaches 4 sigma to each side, as in SciPy and in anomalib's blur of the map.
    """
    radius = int(4 * sigma + 0.5)
    sources = np.pad(np.arange(length), radius, mode="reflect")
    matrix = np.zeros((length, length))
    for offset, weight in enumerate(gaussian_kernel(sigma, radius)):
        np.add.at(matrix, (np.arange(length), sources[offset : offset + length]), weight)
    return matrix.astype(np.float32)


def linear_matrix(source: int, target: int) -> NDArray[np.float32]:
    """Resamples an axis linearly: float32 ``(target, source)``. Pixel centres lie at halves; no antialiasing."""
    position = np.clip((np.arange(target) + 0.5) * source / target - 0.5, 0, source - 1)
    lower = np.minimum(position.astype(np.int64), max(source - 2, 0))
    share = position - lower
    matrix = np.zeros((target, source))
    matrix[np.arange(target), lower] = 1 - share
    matrix[np.arange(target), np.minimum(lower + 1, source - 1)] += share
    return matrix.astype(np.float32)
