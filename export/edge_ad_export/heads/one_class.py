"""The head of a one-class model: the distance from the centre of the normals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from edge_ad_export.heads.embedding import EmbeddingHead
from edge_ad_export.heads.embedding_data import read_centre
from edge_ad_export.heads.fitting import CentreFit
from edge_ad_export.model.head import Array, Built, Read, Scored

if TYPE_CHECKING:
    import onnx_ir as ir
    from numpy.typing import NDArray

    from edge_ad_export.graph.builder import GraphBuilder
    from edge_ad_export.heads.request import HeadRequest

__all__ = ["OneClassHead"]


@dataclass(frozen=True, eq=False)
class OneClassHead(EmbeddingHead):
    """``|x - centre|^2`` at every place (Deep SVDD, Ruff et al. 2018; PANDA, Reiss et al. 2021).

    ``centre``: float64 ``(C,)``.
    """

    OPTIONS: ClassVar = frozenset(
        {"feature_output", "head_data", "feature_pool", "feature_resize", "blur", "map_score", "fit"}
    )

    centre: Array

    @classmethod
    def make(cls, request: HeadRequest) -> OneClassHead | CentreFit:
        """Raises :class:`InputError` or :class:`ModelError` where features and data do not fit."""
        features = request.features("linear")
        tail = request.tail(features.rows, features.columns)
        path = request.head_data()
        if path is None:
            return request.fitting(CentreFit(features, lambda centre: cls(features, tail, centre)))
        return cls(features, tail, read_centre(path, features))

    def build(self, graph: GraphBuilder, read: Read[ir.Value]) -> Built:
        centre = graph.constant("centre", self.centre.astype(np.float32).reshape(-1, 1, 1))
        deviation = graph.op("Sub", self.features.build(graph, read.values), centre)
        return self.finish(graph, graph.reduce("ReduceSum", graph.square(deviation), [1]))

    def reference(self, read: Read[NDArray[Any]]) -> Scored:
        stacked = self.features.reference(read.values)
        return self.finish_reference(np.linalg.norm(stacked - self.centre[:, None, None], axis=0) ** 2)
