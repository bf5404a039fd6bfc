"""The head of a Gaussian embedding model: the Mahalanobis distance of every place (PaDiM, Defard et al. 2021)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from edge_ad_export.heads.embedding import EmbeddingHead
from edge_ad_export.heads.embedding_data import Gaussians, read_gaussians
from edge_ad_export.heads.fitting import GaussianFit
from edge_ad_export.model.head import Built, Read, Scored

if TYPE_CHECKING:
    import onnx_ir as ir
    from numpy.typing import NDArray

    from edge_ad_export.graph.builder import GraphBuilder
    from edge_ad_export.heads.request import HeadRequest

__all__ = ["GaussianHead"]

# The blur of PaDiM and its followers, in pixels of the model's input.
_BLUR_PX = 4.0


@dataclass(frozen=True, eq=False)
class GaussianHead(EmbeddingHead):
    """``sqrt((x - mean)' precision (x - mean))`` at every place.

    The graph takes the whitened form ``|L' (x - mean)|`` with ``L L' = precision``: half the work of the quadratic
    form, and never the root of a negative number.
    """

    OPTIONS: ClassVar = frozenset(
        {"feature_output", "head_data", "feature_pool", "feature_resize", "blur", "map_score", "fit", "fit_channels"}
        | {"fit_shared"}
    )

    data: Gaussians

    @classmethod
    def make(cls, request: HeadRequest) -> GaussianHead | GaussianFit:
        """Raises :class:`InputError` or :class:`ModelError` where features and data do not fit."""
        features = request.features("nearest")
        tail = request.tail(features.rows, features.columns, blur_px=0.0 if features.is_vector else _BLUR_PX)
        path = request.head_data()
        if path is None:
            return request.fitting(GaussianFit(features, lambda data: cls(features, tail, data), request.fit_options()))
        return cls(features, tail, read_gaussians(path, features))

    def build(self, graph: GraphBuilder, read: Read[ir.Value]) -> Built:
        features, data = self.features, self.data
        places, count = features.rows * features.columns, data.mean.shape[1]
        stacked = features.build(graph, read.values)
        if data.channels is not None:
            stacked = graph.op("Gather", stacked, graph.constant("channels", data.channels), axis=1)
        mean = np.broadcast_to(data.mean, (places, count)) if len(data.precision) > 1 else data.mean
        flat = graph.reshape(stacked, 1, count, places)
        deviation = graph.op("Sub", flat, graph.constant("mean", mean.T.astype(np.float32)))
        # Row vectors times matrices: both engines run it twice as fast as matrices times column vectors.
        rows = graph.op("Transpose", deviation, perm=[2, 0, 1])
        factor = np.linalg.cholesky(data.precision).astype(np.float32)
        if len(factor) == 1:
            rows, factor = graph.reshape(rows, places, count), factor[0]
        white = graph.op("MatMul", rows, graph.constant("whitening", factor))
        squared = graph.reduce("ReduceSumSquare", white, [factor.ndim - 1])
        return self.finish(graph, graph.op("Sqrt", squared))

    def reference(self, read: Read[NDArray[Any]]) -> Scored:
        data, stacked = self.data, self.features.reference(read.values)
        if data.channels is not None:
            stacked = stacked[data.channels]
        deviation = stacked.reshape(len(stacked), -1).T - data.mean
        if len(data.precision) == 1:
            squared = np.einsum("nc,cd,nd->n", deviation, data.precision[0], deviation, optimize=True)
        else:
            squared = np.einsum("nc,ncd,nd->n", deviation, data.precision, deviation, optimize=True)
        return self.finish_reference(np.sqrt(squared))
