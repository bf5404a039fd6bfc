"""The head of a model that makes an anomaly map itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from edge_ad_export.heads.features import Tap, make_map_tap
from edge_ad_export.heads.map_score import MapTail
from edge_ad_export.model.head import Built, Read, Scored

if TYPE_CHECKING:
    import onnx_ir as ir
    from numpy.typing import NDArray

    from edge_ad_export.graph.builder import GraphBuilder
    from edge_ad_export.heads.request import HeadRequest

__all__ = ["MapHead"]


@dataclass(frozen=True)
class MapHead:
    """The model's map, smoothed where asked; the score is its largest value, or what was asked for."""

    OPTIONS: ClassVar = frozenset({"blur", "map_score"})

    tap: Tap
    tail: MapTail

    @property
    def taps(self) -> tuple[str, ...]:
        return (self.tap.name,)

    @property
    def roles(self) -> tuple[Literal["score", "map"], ...]:
        return ("score", "map")

    @classmethod
    def make(cls, request: HeadRequest) -> MapHead:
        """Raises :class:`ModelError` where no output is a map."""
        name = request.importing.map_output or request.only_output()
        tap = make_map_tap(name, request.shape(name))
        request.assume(f"higher is more anomalous in {name}")
        return cls(tap, request.tail(tap.rows, tap.columns))

    def build(self, graph: GraphBuilder, read: Read[ir.Value]) -> Built:
        return self.tail.build(graph, self.tap.build(graph, read.values[0]))

    def reference(self, read: Read[NDArray[Any]]) -> Scored:
        return self.tail.reference(self.tap.reference(read.values[0])[0])
