"""The head of a one-class model: the distance from the centre of the normal images' features."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from edge_ad_export.heads.embedding import EmbeddingFit, EmbeddingHead, read_rows
from edge_ad_export.heads.feature_layout import LAYOUT_OPTIONS
from edge_ad_export.model.head import Array, HeadInputs, HeadOutputs, HeadResult

if TYPE_CHECKING:
    import onnx_ir as ir
    from numpy.typing import NDArray

    from edge_ad_export.graph.builder import GraphBuilder
    from edge_ad_export.heads.request import HeadRequest
    from edge_ad_export.model.head import Head

__all__ = ["CentreFit", "OneClassHead"]


@dataclass(frozen=True, eq=False)
class OneClassHead(EmbeddingHead):
    """``|x - centre|^2`` at every place (Deep SVDD, Ruff et al. 2018; PANDA, Reiss et al. 2021).

    ``centre``: float64 ``(C,)``.
    """

    OPTIONS: ClassVar = LAYOUT_OPTIONS | (
        {"feature_output", "head_data", "feature_pool", "feature_resize", "blur", "map_score", "fit"}
    )

    centre: Array

    @classmethod
    def make(cls, request: HeadRequest) -> OneClassHead | CentreFit:
        """Raises :class:`InputError` or :class:`ModelError` where features and data do not fit."""
        features = request.features("linear")
        postprocessor = request.postprocessor(features.rows, features.columns)
        path = request.head_data()
        if path is None:
            return request.fitting(CentreFit(features, lambda centre: cls(features, postprocessor, centre)))
        return cls(features, postprocessor, np.asarray(read_rows(path, "centre", features, several=False)[0]))

    def build(self, graph: GraphBuilder, given: HeadInputs[ir.Value]) -> HeadOutputs:
        centre = graph.constant("centre", self.centre.astype(np.float32).reshape(-1, 1, 1))
        deviation = graph.op("Sub", self.features.build(graph, given.values), centre)
        return self.finish(graph, graph.reduce("ReduceSum", graph.square(deviation), [1]))

    def reference(self, given: HeadInputs[NDArray[Any]]) -> HeadResult:
        stacked = self.features.reference(given.values)
        return self.finish_reference(np.linalg.norm(stacked - self.centre[:, None, None], axis=0) ** 2)


@dataclass(frozen=True)
class CentreFit(EmbeddingFit):
    """Learns the mean of the features of all images and places."""

    make: Callable[[Array], Head]

    def fit(self, images: Iterable[Sequence[NDArray[Any]]]) -> Head:
        return self.make(self.samples(images).mean(axis=(0, 2), dtype=np.float64))
