"""What the heads of embedding models share: they read a stack of features and put a map through a tail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from edge_ad_export.heads.features import FeatureStack
from edge_ad_export.heads.map_score import MapTail
from edge_ad_export.model.head import Array, Built, Scored

if TYPE_CHECKING:
    import onnx_ir as ir

    from edge_ad_export.graph.builder import GraphBuilder

__all__ = ["EmbeddingHead"]


@dataclass(frozen=True, eq=False)
class EmbeddingHead:
    """``features`` of one place only give a score and no map; others give a map, which goes through ``tail``."""

    features: FeatureStack
    tail: MapTail

    @property
    def taps(self) -> tuple[str, ...]:
        return self.features.taps

    @property
    def roles(self) -> tuple[Literal["score", "map"], ...]:
        return ("score",) if self.features.is_vector else ("score", "map")

    def finish(self, graph: GraphBuilder, heat: ir.Value, score: ir.Value | None = None) -> Built:
        """``heat``: the distance at every place. ``score``: ``None`` where it is that of the map."""
        if self.features.is_vector:
            return Built(heat if score is None else score, None)
        plane = graph.reshape(heat, 1, 1, self.features.rows, self.features.columns)
        return self.tail.build(graph, plane) if score is None else Built(score, self.tail.smooth(graph, plane))

    def finish_reference(self, heat: Array, score: float | None = None) -> Scored:
        """The same in NumPy; ``heat`` of any shape, in the order of the places."""
        plane = heat.reshape(self.features.rows, self.features.columns)
        if self.features.is_vector:
            return Scored(float(plane[0, 0]) if score is None else score, None)
        return self.tail.reference(plane) if score is None else Scored(score, self.tail.smooth_reference(plane))
