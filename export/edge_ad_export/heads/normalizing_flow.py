"""The head of a normalizing flow: how unlikely every place is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from edge_ad_export.heads.combine import Combination
from edge_ad_export.heads.features import Tap, make_map_tap, make_tap
from edge_ad_export.heads.map_score import MapTail
from edge_ad_export.model.head import Array, Built, Read, Scored
from edge_ad_export.model.head_options import Likelihood

if TYPE_CHECKING:
    import onnx_ir as ir
    from numpy.typing import NDArray

    from edge_ad_export.graph.builder import GraphBuilder
    from edge_ad_export.heads.request import HeadRequest

__all__ = ["FlowHead"]


@dataclass(frozen=True)
class FlowHead:
    """Levels of log-likelihood maps, or of latents ``z`` that the flow made standard normal.

    A level of one plane is ``log p``; one of several is ``z``, and ``log p = -mean(z^2) / 2`` as in FastFlow (Yu et
    al. 2021), where what the flow's determinant adds is left out. The map is ``-log p``, or ``-p`` for
    ``likelihood`` = ``probability``, which saturates far from the normals.
    """

    OPTIONS: ClassVar = frozenset({"feature_output", "likelihood", "combine", "blur", "map_score"})

    levels: tuple[Tap, ...]
    likelihood: Likelihood
    combination: Combination
    tail: MapTail

    @property
    def taps(self) -> tuple[str, ...]:
        return tuple(tap.name for tap in self.levels)

    @property
    def roles(self) -> tuple[Literal["score", "map"], ...]:
        return ("score", "map")

    @classmethod
    def make(cls, request: HeadRequest) -> FlowHead:
        """Raises :class:`ModelError` where an output is no map and no feature map."""
        names = request.feature_outputs()
        levels = tuple(
            make_map_tap(name, shape)
            if (shape := request.shape(name)) is not None and len(shape) == 3
            else make_tap(name, shape, request.spec.layout)
            for name in names
        )
        rows, columns = max((tap.rows, tap.columns) for tap in levels)
        combination = Combination(rows, columns, request.options.combine or "mean")
        return cls(levels, request.options.likelihood or "log", combination, request.tail(rows, columns))

    def build(self, graph: GraphBuilder, read: Read[ir.Value]) -> Built:
        heats = [self._unlikely(graph, tap, value) for tap, value in zip(self.levels, read.values, strict=True)]
        joined = self.combination.build(graph, heats, [(tap.rows, tap.columns) for tap in self.levels])
        return self.tail.build(graph, joined)

    def _unlikely(self, graph: GraphBuilder, tap: Tap, value: ir.Value) -> ir.Value:
        planes = tap.build(graph, value)
        if tap.channels > 1:
            mean = graph.reduce("ReduceMean", graph.square(planes), [1])
            heat = graph.op("Mul", mean, graph.number("half", 0.5))
        else:
            heat = graph.op("Neg", planes)
        if self.likelihood == "log":
            return heat
        return graph.op("Neg", graph.op("Exp", graph.op("Neg", heat)))

    def reference(self, read: Read[NDArray[Any]]) -> Scored:
        heats = [self._reference(tap.reference(value)) for tap, value in zip(self.levels, read.values, strict=True)]
        return self.tail.reference(self.combination.reference(heats))

    def _reference(self, planes: Array) -> Array:
        log_p = planes[0] if len(planes) == 1 else -0.5 * np.mean(planes**2, axis=0)
        return np.asarray(-log_p if self.likelihood == "log" else -np.exp(log_p))
