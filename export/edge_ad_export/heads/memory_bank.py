"""The head of a memory bank: the distance of every patch to the nearest normal one (PatchCore, Roth et al. 2022)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import onnx_ir as ir

from edge_ad_export.heads.embedding import FIT_SEED, EmbeddingFit, EmbeddingHead, FitOptions, read_rows
from edge_ad_export.heads.feature_layout import LAYOUT_OPTIONS
from edge_ad_export.model.head import Array, HeadInputs, HeadOutputs, HeadResult

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge_ad_export.graph.builder import GraphBuilder
    from edge_ad_export.heads.request import HeadRequest
    from edge_ad_export.model.head import Head

__all__ = ["BankFit", "MemoryBankHead", "bank_neighbours"]

_BLUR_PX = 4.0
_NEIGHBOURS = 9
# Rows of the bank whose distances to all others are held at once.
_CHUNK = 1024


@dataclass(frozen=True, eq=False)
class MemoryBankHead(EmbeddingHead):
    """The map is the distance to the nearest vector of the bank, smoothed; the score is that of the worst patch.

    The score is weighed by how usual its neighbour is: ``1 - exp(d_1) / sum exp(d_i)`` over the distances from the
    worst patch to its neighbour and to that one's own ``neighbours - 1`` nearest in the bank. One neighbour: no
    weight. ``bank``: float64 ``(M, C)``.
    """

    OPTIONS: ClassVar = LAYOUT_OPTIONS | (
        {"feature_output", "head_data", "feature_pool", "feature_resize", "blur", "neighbours", "fit", "fit_bank"}
    )

    bank: Array
    neighbours: int

    @classmethod
    def make(cls, request: HeadRequest) -> MemoryBankHead | BankFit:
        """Raises :class:`InputError` or :class:`ModelError` where features and data do not fit."""
        features = request.features("linear")
        blur_px = 0.0 if features.is_vector else _BLUR_PX
        postprocessor = request.postprocessor(features.rows, features.columns, blur_px=blur_px)
        asked = request.options.neighbours or _NEIGHBOURS

        def make(bank: Array) -> MemoryBankHead:
            return cls(features, postprocessor, bank, min(asked, len(bank)))

        path = request.head_data()
        if path is None:
            return request.fitting(BankFit(features, make, request.fit_options()))
        return make(read_rows(path, "bank", features, several=True))

    def build(self, graph: GraphBuilder, given: HeadInputs[ir.Value]) -> HeadOutputs:
        """Squared distances are ``|x|^2 + (|b|^2 - 2 x b')``, and ``|x|^2`` is added to the smallest alone.

        Both sides are moved by the bank's mean first: the smaller the vectors, the fewer digits the difference loses.
        It is the form that :class:`~edge_ad_export.passes.NearestPass` makes of others' graphs, and that further
        passes and the quantizers know.
        """
        features, origin = self.features, self.bank.mean(axis=0).astype(np.float32)
        bank = self.bank - origin
        stacked = graph.op("Transpose", features.build(graph, given.values), perm=[0, 2, 3, 1])
        patches = graph.reshape(stacked, (features.rows * features.columns, features.channels))
        centred = graph.op("Sub", patches, graph.constant("bank_mean", origin))
        product = graph.op("MatMul", centred, graph.constant("bank", (-2 * bank.T).astype(np.float32)))
        norms = np.sum(bank**2, axis=1)[None].astype(np.float32)
        relative = graph.op("Add", product, graph.constant("bank_norms", norms))
        own = graph.reduce("ReduceSumSquare", centred, [1])
        distance = _root(graph, graph.op("Add", graph.reduce("ReduceMin", relative, [1]), own))
        return self.finish(graph, distance, self._score(graph, relative, own, distance))

    def _score(self, graph: GraphBuilder, relative: ir.Value, own: ir.Value, distance: ir.Value) -> ir.Value:
        """Of the worst patch alone, whose distances to the neighbours are among those to the whole bank."""
        worst = graph.op("ArgMax", distance, axis=0, keepdims=0)
        row = graph.op("Gather", relative, worst, axis=0)
        nearest = graph.op("ArgMin", row, axis=1, keepdims=0)
        table = graph.constant("neighbours", bank_neighbours(self.bank, self.neighbours))
        row_of_table = graph.op("Gather", table, nearest, axis=0)
        support = graph.reshape(row_of_table, (self.neighbours,), ir.DataType.INT64)
        squared = graph.op("Add", graph.op("Gather", row, support, axis=1), graph.op("Gather", own, worst, axis=0))
        distances = graph.reshape(_root(graph, squared), (self.neighbours,))
        first = graph.constant("first", np.array([0], np.int64))
        score = graph.op("Gather", distances, first, axis=0)
        if self.neighbours == 1:
            return score
        share = graph.op("Gather", graph.op("Softmax", distances, axis=0), first, axis=0)
        return graph.op("Mul", score, graph.op("Sub", graph.number("one", 1.0), share))

    def reference(self, given: HeadInputs[NDArray[Any]]) -> HeadResult:
        from scipy.spatial.distance import cdist
        from scipy.special import softmax

        patches = self.features.reference(given.values).reshape(self.features.channels, -1).T
        # In float64 the expansion keeps enough digits to tell which one is the nearest; the distance itself is direct.
        index = np.argmin(np.sum(self.bank**2, axis=1) - 2 * patches @ self.bank.T, axis=1)
        distance = np.linalg.norm(patches - self.bank[index], axis=1)
        worst = int(np.argmax(distance))
        support = np.argsort(cdist(self.bank[index[worst], None], self.bank)[0], kind="stable")[: self.neighbours]
        away = np.linalg.norm(self.bank[support] - patches[worst], axis=1)
        weight = 1.0 if self.neighbours == 1 else 1 - softmax(away)[0]
        return self.finish_reference(distance, float(distance[worst] * weight))


@dataclass(frozen=True)
class BankFit(EmbeddingFit):
    """Learns a memory bank: a random choice of the patches of all images."""

    make: Callable[[Array], Head]
    options: FitOptions

    def fit(self, images: Iterable[Sequence[NDArray[Any]]]) -> Head:
        patches = np.moveaxis(self.samples(images), 1, 2).reshape(-1, self.features.channels)
        kept = np.sort(np.random.default_rng(FIT_SEED).permutation(len(patches))[: self.options.bank])
        return self.make(patches[kept].astype(np.float64))


def _root(graph: GraphBuilder, squared: ir.Value) -> ir.Value:
    """Rounding may leave a distance of zero below it."""
    return graph.op("Sqrt", graph.op("Relu", squared))


def bank_neighbours(bank: Array, count: int) -> NDArray[np.int64]:
    """The nearest vectors of every vector of a bank: int64 ``(M, count)`` of float64 ``(M, C)``.

    A row holds the vector's own index, then those of its nearest others, nearest first.
    """
    norms = np.sum(bank**2, axis=1)
    table = np.empty((len(bank), count), np.int64)
    for start in range(0, len(bank), _CHUNK):
        rows = np.arange(start, min(start + _CHUNK, len(bank)))
        squared = norms - 2 * bank[rows] @ bank.T
        squared[np.arange(len(rows)), rows] = -np.inf  # itself comes first, whatever its doubles
        table[rows] = np.argsort(squared, axis=1, kind="stable")[:, :count]
    return table
