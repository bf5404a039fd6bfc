"""The head of a normalizing flow: how unlikely every place is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from edge_ad_export.graph.axes import labels_of
from edge_ad_export.heads.feature_layout import LAYOUT_OPTIONS
from edge_ad_export.heads.features import LayerOutput
from edge_ad_export.heads.maps import MapCombination, MapPostprocessor
from edge_ad_export.model.head import Array, HeadInputs, HeadOutputs, HeadResult, ScoreAndMapHead
from edge_ad_export.model.head_options import Likelihood

if TYPE_CHECKING:
    import onnx_ir as ir
    from numpy.typing import NDArray

    from edge_ad_export.graph.builder import GraphBuilder
    from edge_ad_export.heads.request import HeadRequest

__all__ = ["FlowHead"]


@dataclass(frozen=True)
class FlowHead(ScoreAndMapHead):
    """Levels of log-likelihood maps, or of latents ``z`` that the flow made standard normal.

    A level of one channel is ``log p``; one of several is ``z``, and ``log p = -mean(z^2) / 2`` as in FastFlow (Yu et
    al. 2021), where what the flow's determinant adds is left out. The map is ``-log p``, or ``-p`` for
    ``likelihood`` = ``probability``, which saturates far from normal images.
    """

    OPTIONS: ClassVar = LAYOUT_OPTIONS | {"feature_output", "likelihood", "combine", "blur", "map_score"}

    levels: tuple[LayerOutput, ...]
    likelihood: Likelihood
    combination: MapCombination
    postprocessor: MapPostprocessor

    @property
    def inputs(self) -> tuple[str, ...]:
        return tuple(level.name for level in self.levels)

    @classmethod
    def make(cls, request: HeadRequest) -> FlowHead:
        """Raises :class:`ModelError` where an output is no map and no feature map."""
        names = request.feature_outputs()
        levels = tuple(
            LayerOutput.of_map(name, shape)
            if (shape := request.shape(name)) is not None and len(shape) == 3 and not _has_channels(request, name)
            else request.layer(name)
            for name in names
        )
        rows, columns = max((level.rows, level.columns) for level in levels)
        combination = MapCombination(rows, columns, request.options.combine or "mean")
        return cls(levels, request.options.likelihood or "log", combination, request.postprocessor(rows, columns))

    def build(self, graph: GraphBuilder, given: HeadInputs[ir.Value]) -> HeadOutputs:
        values = zip(self.levels, given.values, strict=True)
        anomaly_maps = [self._unlikelihood(graph, level, value) for level, value in values]
        joined = self.combination.build(graph, anomaly_maps, [(level.rows, level.columns) for level in self.levels])
        return self.postprocessor.build(graph, joined)

    def _unlikelihood(self, graph: GraphBuilder, level: LayerOutput, value: ir.Value) -> ir.Value:
        """``-log p`` or ``-p`` of a level, ``[1, 1, h, w]``."""
        channels = level.build(graph, value)
        if level.channels > 1:
            mean = graph.reduce("ReduceMean", graph.square(channels), [1])
            unlikely = graph.op("Mul", mean, graph.number("half", 0.5))
        else:
            unlikely = graph.op("Neg", channels)
        if self.likelihood == "log":
            return unlikely
        return graph.op("Neg", graph.op("Exp", graph.op("Neg", unlikely)))

    def reference(self, given: HeadInputs[NDArray[Any]]) -> HeadResult:
        values = zip(self.levels, given.values, strict=True)
        anomaly_maps = [_reference_map(level.reference(value), self.likelihood) for level, value in values]
        return self.postprocessor.reference(self.combination.reference(anomaly_maps))


def _has_channels(request: HeadRequest, name: str) -> bool:
    """Whether the user says or the graph tells that a value of three axes is tokens, and no map ``[batch, h, w]``."""
    axes = request.axes(name)
    said = request.options.feature_layout or request.options.feature_grid
    return bool(said) or (axes is not None and any("c" in labels_of(axis) for axis in axes))


def _reference_map(channels: Array, likelihood: Likelihood) -> Array:
    """``-log p`` or ``-p``, float64 ``(h, w)``, of a level ``(C, h, w)``."""
    log_p = channels[0] if len(channels) == 1 else -0.5 * np.mean(channels**2, axis=0)
    return np.asarray(-log_p if likelihood == "log" else -np.exp(log_p))
