"""The values of the imported graph that a head reads, and feature maps of several layers as one stack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_ad.errors import ModelError
from edge_ad_export.model.head import Array
from edge_ad_export.model.head_options import FeatureLayout, FeaturePool, Interpolation

if TYPE_CHECKING:
    import onnx_ir as ir
    from numpy.typing import NDArray

    from edge_ad_export.graph.builder import GraphBuilder

__all__ = ["FeatureStack", "LayerOutput"]


@dataclass(frozen=True)
class LayerOutput:
    """A value of the imported graph: feature maps of one image, or one vector of features.

    Attributes:
        name: of the value.
        channels: how many features a place has.
        rows: places from top to bottom; 1 for a vector.
        columns: places from left to right; 1 for a vector.
        layout: the order of the axes. With ``nchw`` a vector ``[1, C]`` and one map ``[1, h, w]`` are special cases.
            ``nlc`` and ``ncl`` are tokens, whose patches are in raster order.
        skip: how many of the first tokens are no patches.
        after: how many of the last tokens are no patches.
        dims: the shape ``[1, ...]`` that the value is given before it is read; ``None`` where it has it already.
    """

    name: str
    channels: int
    rows: int
    columns: int
    layout: FeatureLayout = "nchw"
    skip: int = 0
    after: int = 0
    dims: tuple[int, ...] | None = None

    @classmethod
    def of_map(cls, name: str, shape: tuple[int, ...] | None) -> LayerOutput:
        """Reads the shape of an anomaly map: ``[batch, 1, h, w]`` or ``[batch, h, w]``.

        Raises:
            ModelError: the shape is unknown or of another kind.
        """
        if shape is None or len(shape) not in (3, 4) or set(shape[1:-2]) - {1} or 0 in shape:
            raise ModelError(
                f"{name} has {'an unknown shape' if shape is None else f'the shape {list(shape)}'}: expected a map "
                "[batch, 1, height, width] or [batch, height, width]"
            )
        return cls(name, 1, shape[-2], shape[-1])

    @property
    def is_vector(self) -> bool:
        return self.rows == self.columns == 1

    def build(self, graph: GraphBuilder, value: ir.Value) -> ir.Value:
        """The value, float32, as ``[1, C, h, w]``."""
        if self.dims is not None:
            value = graph.reshape(value, self.dims)
        if self.layout in ("nlc", "ncl"):
            if self.skip or self.after:
                end, axis = self.skip + self.rows * self.columns, self.layout.index("l")
                bounds = [graph.constant("slice", np.array([b], np.int64)) for b in (self.skip, end, axis)]
                value = graph.op("Slice", value, *bounds)
            value = graph.op("Transpose", value, perm=[0, 2, 1]) if self.layout == "nlc" else value
        elif self.layout != "nchw":
            value = graph.op("Transpose", value, perm=[self.layout.index(letter) for letter in "nchw"])
        return graph.reshape(value, (1, self.channels, self.rows, self.columns))

    def reference(self, array: NDArray[Any]) -> Array:
        """What the value holds for the first image: float64 ``(C, h, w)``."""
        found = np.asarray(array, np.float64)
        first = (found if self.dims is None else found.reshape(self.dims))[0]
        if self.layout in ("nlc", "ncl"):
            tokens = first if self.layout == "nlc" else first.T
            first = tokens[self.skip : self.skip + self.rows * self.columns].T
        elif self.layout != "nchw":
            first = first.transpose([self.layout.index(letter) - 1 for letter in "chw"])
        return np.asarray(first).reshape(self.channels, self.rows, self.columns)


@dataclass(frozen=True)
class FeatureStack:
    """Feature maps of several layers, brought to the size of the first one and stacked.

    ``pool``: ``3x3`` averages every patch with its neighbours, zeros beyond the border, as PatchCore does;
    ``global`` leaves one vector a layer.
    """

    layers: tuple[LayerOutput, ...]
    pool: FeaturePool = "none"
    interpolation: Interpolation = "linear"

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(layer.name for layer in self.layers)

    @property
    def channels(self) -> int:
        return sum(layer.channels for layer in self.layers)

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
        """The stacked features, float32 ``[1, C, h, w]``."""
        stacked = [self._layer(graph, layer, value) for layer, value in zip(self.layers, values, strict=True)]
        return stacked[0] if len(stacked) == 1 else graph.op("Concat", *stacked, axis=1)

    def _layer(self, graph: GraphBuilder, layer: LayerOutput, value: ir.Value) -> ir.Value:
        value = layer.build(graph, value)
        if layer.is_vector:
            return value
        if self.pool == "global":
            return graph.op("GlobalAveragePool", value)
        if self.pool == "3x3":
            value = graph.op(
                "AveragePool", value, kernel_shape=[3, 3], strides=[1, 1], pads=[1, 1, 1, 1], count_include_pad=1
            )
        if (layer.rows, layer.columns) != (self.rows, self.columns):
            value = graph.resize(value, (1, layer.channels, self.rows, self.columns), self.interpolation)
        return value

    def reference(self, values: Sequence[NDArray[Any]]) -> Array:
        """The stacked features, float64 ``(C, h, w)``, by SciPy and OpenCV."""
        return np.concatenate(
            [self._layer_reference(layer, value) for layer, value in zip(self.layers, values, strict=True)]
        )

    def _layer_reference(self, layer: LayerOutput, value: NDArray[Any]) -> Array:
        import cv2
        from scipy.ndimage import uniform_filter

        maps = layer.reference(value)
        if self.pool == "global":
            return np.asarray(maps.mean(axis=(1, 2), keepdims=True))
        if self.pool == "3x3" and not layer.is_vector:
            maps = np.asarray(uniform_filter(maps, (1, 3, 3), mode="constant"))
        kind = cv2.INTER_LINEAR if self.interpolation == "linear" else cv2.INTER_NEAREST
        resized = [cv2.resize(one, (self.columns, self.rows), interpolation=kind) for one in maps]
        return np.stack(resized).astype(np.float64, copy=False)
