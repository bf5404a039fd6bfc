"""Structural similarity at every place (Wang, Bovik, Sheikh and Simoncelli 2004)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from edge_ad.errors import ModelError
from edge_ad_export.heads.maps import gaussian_kernel
from edge_ad_export.model.head import Array

if TYPE_CHECKING:
    import onnx_ir as ir
    from numpy.typing import NDArray

    from edge_ad_export.graph.builder import GraphBuilder

__all__ = ["Ssim"]

# The window of the paper, 11 x 11, and its two constants.
_SIGMA, _RADIUS = 1.5, 5
_K1, _K2 = 0.01, 0.03


@dataclass(frozen=True)
class Ssim:
    """``spans``: the dynamic range of each channel. The border is mirrored, so that the map keeps its size."""

    spans: tuple[float, ...]
    rows: int
    columns: int

    def __post_init__(self) -> None:
        if min(self.rows, self.columns) <= _RADIUS:
            raise ModelError(
                f"--error ssim looks at windows of {2 * _RADIUS + 1} pixels: found a picture of "
                f"{self.columns}x{self.rows}; use --error squared"
            )

    def build(self, graph: GraphBuilder, first: ir.Value, second: ir.Value) -> ir.Value:
        """``1 - SSIM`` of two ``[1, C, h, w]``, averaged over the channels: ``[1, 1, h, w]``."""
        products = [graph.square(first), graph.square(second), graph.op("Mul", first, second)]
        stacked = graph.op("Concat", first, second, *products, axis=1)
        parts = self._window(graph, stacked)
        mean_1, mean_2, square_1, square_2, product = parts
        means_squared = [graph.square(mean_1), graph.square(mean_2)]
        means_product = graph.op("Mul", mean_1, mean_2)
        variances = graph.op("Add", square_1, square_2)
        c1, c2 = (graph.constant(f"c{i}", self._constant(k)) for i, k in ((1, _K1), (2, _K2)))
        means_sum = graph.op("Add", *means_squared)
        covariance = graph.op("Sub", product, means_product)
        above = graph.op("Mul", _twice_plus(graph, means_product, c1), _twice_plus(graph, covariance, c2))
        spread = graph.op("Sub", variances, means_sum)
        below = graph.op("Mul", graph.op("Add", means_sum, c1), graph.op("Add", spread, c2))
        similarity = graph.reduce("ReduceMean", graph.op("Div", above, below), [1])
        return graph.op("Sub", graph.number("one", 1.0), similarity)

    def _window(self, graph: GraphBuilder, stacked: ir.Value) -> list[ir.Value]:
        """The five pictures, each smoothed by the window."""
        count = 5 * len(self.spans)
        pads = np.array([0, 0, _RADIUS, _RADIUS] * 2, np.int64)
        padded = graph.op("Pad", stacked, graph.constant("pads", pads), mode="reflect")
        kernel = gaussian_kernel(_SIGMA, _RADIUS).astype(np.float32)
        down = np.broadcast_to(kernel.reshape(-1, 1), (count, 1, len(kernel), 1))
        along = np.broadcast_to(kernel.reshape(1, -1), (count, 1, 1, len(kernel)))
        smooth = graph.op("Conv", padded, graph.constant("window_rows", down), group=count)
        smooth = graph.op("Conv", smooth, graph.constant("window_columns", along), group=count)
        bounds = range(0, count + 1, len(self.spans))
        edges = [graph.constant("edge", np.array([bound], np.int64)) for bound in bounds]
        channel = graph.constant("channel", np.array([1], np.int64))
        return [graph.op("Slice", smooth, *pair, channel) for pair in pairwise(edges)]

    def _constant(self, k: float) -> NDArray[np.float32]:
        return np.array([(k * span) ** 2 for span in self.spans], np.float32).reshape(-1, 1, 1)

    def reference(self, first: Array, second: Array) -> Array:
        """The same by SciPy, from the definition of the variances: float64 ``(h, w)`` of two float64 ``(C, h, w)``."""
        channels = [_similarity(a, b, span) for a, b, span in zip(first, second, self.spans, strict=True)]
        return np.asarray(1 - np.mean(channels, axis=0))


def _twice_plus(graph: GraphBuilder, value: ir.Value, constant: ir.Value) -> ir.Value:
    return graph.op("Add", graph.op("Add", value, value), constant)


def _similarity(first: Array, second: Array, span: float) -> Array:
    from scipy.ndimage import gaussian_filter

    def smooth(channel: Array) -> Array:
        smoothed: Array = gaussian_filter(channel, _SIGMA, mode="mirror", radius=_RADIUS)
        return smoothed

    mean_1, mean_2 = smooth(first), smooth(second)
    variance_1 = smooth(first * first) - mean_1**2
    variance_2 = smooth(second * second) - mean_2**2
    covariance = smooth(first * second) - mean_1 * mean_2
    luminance = (2 * mean_1 * mean_2 + (_K1 * span) ** 2) / (mean_1**2 + mean_2**2 + (_K1 * span) ** 2)
    structure = (2 * covariance + (_K2 * span) ** 2) / (variance_1 + variance_2 + (_K2 * span) ** 2)
    return luminance * structure
