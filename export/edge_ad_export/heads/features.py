"""Feature maps of several layers as one: pooled, brought to one size and put one behind the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from edge_ad_export.heads.base import Array

if TYPE_CHECKING:
    import onnx_ir as ir
    from numpy.typing import NDArray

    from edge_ad_export.heads.builder import GraphBuilder
    from edge_ad_export.heads.taps import Tap

__all__ = ["FeaturePool", "FeatureStack", "Interpolation"]

FeaturePool = Literal["none", "3x3", "global"]
Interpolation = Literal["linear", "nearest"]


@dataclass(frozen=True)
class FeatureStack:
    """The layers ``taps`` at the size of the first one.

    ``pool``: ``3x3`` averages every patch with its neighbours, zeros beyond the border, as PatchCore does;
    ``global`` leaves one vector a layer.
    """

    layers: tuple[Tap, ...]
    pool: FeaturePool = "none"
    interpolation: Interpolation = "linear"

    @property
    def taps(self) -> tuple[str, ...]:
        return tuple(tap.name for tap in self.layers)

    @property
    def channels(self) -> int:
        return sum(tap.channels for tap in self.layers)

    @property
    def rows(self) -> int:
        return 1 if self.pool == "global" else self.layers[0].rows

    @property
    def columns(self) -> int:
        return 1 if self.pool == "global" else self.layers[0].columns

    @property
    def is_vector(self) -> bool:
        """Whether nothing tells one place from another: such a model has a score and no map."""
        return self.rows == self.columns == 1

    def build(self, graph: GraphBuilder, values: Sequence[ir.Value]) -> ir.Value:
        """The stacked features ``[1, C, h, w]``."""
        stacked = [self._layer(graph, tap, value) for tap, value in zip(self.layers, values, strict=True)]
        return stacked[0] if len(stacked) == 1 else graph.op("Concat", *stacked, axis=1)

    def _layer(self, graph: GraphBuilder, tap: Tap, value: ir.Value) -> ir.Value:
        value = tap.build(graph, value)
        if tap.is_vector:
            return value
        if self.pool == "global":
            return graph.op("GlobalAveragePool", value)
        if self.pool == "3x3":
            value = graph.op(
                "AveragePool", value, kernel_shape=[3, 3], strides=[1, 1], pads=[1, 1, 1, 1], count_include_pad=1
            )
        if (tap.rows, tap.columns) != (self.rows, self.columns):
            value = graph.resize(value, (1, tap.channels, self.rows, self.columns), self.interpolation)
        return value

    def reference(self, values: Sequence[NDArray[Any]]) -> Array:
        """The stacked features ``(C, h, w)``, by SciPy and OpenCV."""
        return np.concatenate(
            [self._layer_reference(tap, value) for tap, value in zip(self.layers, values, strict=True)]
        )

    def _layer_reference(self, tap: Tap, value: NDArray[Any]) -> Array:
        import cv2
        from scipy.ndimage import uniform_filter

        planes = tap.reference(value)
        if self.pool == "global":
            return np.asarray(planes.mean(axis=(1, 2), keepdims=True))
        if self.pool == "3x3" and not tap.is_vector:
            planes = np.asarray(uniform_filter(planes, (1, 3, 3), mode="constant"))
        kind = cv2.INTER_LINEAR if self.interpolation == "linear" else cv2.INTER_NEAREST
        resized = [cv2.resize(plane, (self.columns, self.rows), interpolation=kind) for plane in planes]
        return np.stack(resized).astype(np.float64, copy=False)
