"""The head of a memory bank: the distance of every patch to the nearest normal one (PatchCore, Roth et al. 2022)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from edge_ad_export.heads.base import Array, Built, Read, Scored
from edge_ad_export.heads.data import read_bank
from edge_ad_export.heads.embedding import EmbeddingHead
from edge_ad_export.heads.fitting import BankFit

if TYPE_CHECKING:
    import onnx_ir as ir
    from numpy.typing import NDArray

    from edge_ad_export.heads.builder import GraphBuilder
    from edge_ad_export.heads.request import HeadRequest

__all__ = ["MemoryBankHead", "bank_neighbours"]

_BLUR_PX = 4.0
_NEIGHBOURS = 9
# Rows of the bank whose distances to all others are held at once.
_CHUNK = 1024


@dataclass(frozen=True, eq=False)
class MemoryBankHead(EmbeddingHead):
    """The map is the distance to the nearest of ``bank`` ``(M, C)``, smoothed; the score that of the worst patch.

    The score is weighed by how usual its neighbour is: ``1 - exp(d_1) / sum exp(d_i)`` over the distances from the
    worst patch to its neighbour and to that one's own ``neighbours - 1`` nearest in the bank. One neighbour: no
    weight.
    """

    OPTIONS: ClassVar = frozenset(
        {"feature_output", "head_data", "feature_pool", "feature_resize", "blur", "neighbours", "fit", "fit_bank"}
    )

    bank: Array
    neighbours: int

    @classmethod
    def make(cls, request: HeadRequest) -> MemoryBankHead | BankFit:
        """Raises :class:`InputError` or :class:`ModelError` where features and data do not fit."""
        features = request.features("linear")
        tail = request.tail(features.rows, features.columns, blur_px=0.0 if features.is_vector else _BLUR_PX)
        asked = request.options.neighbours or _NEIGHBOURS

        def make(bank: Array) -> MemoryBankHead:
            return cls(features, tail, bank, min(asked, len(bank)))

        path = request.head_data()
        if path is None:
            return request.fitting(BankFit(features, make, request.fit_options()))
        return make(read_bank(path, features))

    def build(self, graph: GraphBuilder, read: Read[ir.Value]) -> Built:
        """Squared distances are ``|b|^2 - 2 b'x + |x|^2``, and ``|x|^2`` is added to the smallest alone.

        Both sides are moved by the bank's mean first: the smaller the vectors, the fewer digits the difference loses.
        """
        features, origin = self.features, self.bank.mean(axis=0)
        bank = self.bank - origin
        stacked = graph.reshape(features.build(graph, read.values), features.channels, features.rows * features.columns)
        patches = graph.op("Sub", stacked, graph.constant("origin", origin.astype(np.float32).reshape(-1, 1)))
        rows = graph.constant("bank", bank.astype(np.float32))
        norms = graph.constant("norms", np.sum(bank**2, axis=1, keepdims=True).astype(np.float32))
        # Twice the few patches is less than twice the bank, and the bank is stored once.
        doubled = graph.op("Mul", patches, graph.number("minus_two", -2.0))
        nearest = graph.reduce("ReduceMin", graph.op("Add", graph.op("MatMul", rows, doubled), norms), [0])
        squared = graph.op("Add", nearest, graph.reduce("ReduceSum", graph.square(patches), [0]))
        distance = graph.op("Sqrt", graph.op("Relu", squared))
        return self.finish(graph, distance, self._score(graph, rows, norms, patches, distance))

    def _score(
        self, graph: GraphBuilder, rows: ir.Value, norms: ir.Value, patches: ir.Value, distance: ir.Value
    ) -> ir.Value:
        """Of the worst patch alone, whose few distances are computed from the differences, with all their digits."""
        worst = graph.op("ArgMax", distance, axis=1, keepdims=0)
        patch = graph.op("Gather", patches, worst, axis=1)
        doubled = graph.op("Mul", patch, graph.number("minus_two", -2.0))
        scores = graph.op("Add", graph.op("MatMul", rows, doubled), norms)
        nearest = graph.op("ArgMin", scores, axis=0, keepdims=0)
        table = graph.constant("neighbours", bank_neighbours(self.bank, self.neighbours))
        support = graph.reshape(graph.op("Gather", table, nearest, axis=0), self.neighbours)
        difference = graph.op("Sub", graph.op("Gather", rows, support, axis=0), graph.reshape(patch, 1, -1))
        distances = graph.op("Sqrt", graph.reduce("ReduceSum", graph.square(difference), [1], keepdims=False))
        first = graph.constant("first", np.array([0], np.int64))
        score = graph.op("Gather", distances, first, axis=0)
        if self.neighbours == 1:
            return score
        share = graph.op("Gather", graph.op("Softmax", distances, axis=0), first, axis=0)
        return graph.op("Mul", score, graph.op("Sub", graph.number("one", 1.0), share))

    def reference(self, read: Read[NDArray[Any]]) -> Scored:
        from scipy.spatial.distance import cdist
        from scipy.special import softmax

        patches = self.features.reference(read.values).reshape(self.features.channels, -1).T
        # In float64 the expansion keeps enough digits to tell which one is the nearest; the distance itself is direct.
        index = np.argmin(np.sum(self.bank**2, axis=1) - 2 * patches @ self.bank.T, axis=1)
        distance = np.linalg.norm(patches - self.bank[index], axis=1)
        worst = int(np.argmax(distance))
        support = np.argsort(cdist(self.bank[index[worst], None], self.bank)[0], kind="stable")[: self.neighbours]
        away = np.linalg.norm(self.bank[support] - patches[worst], axis=1)
        weight = 1.0 if self.neighbours == 1 else 1 - softmax(away)[0]
        return self.finish_reference(distance, float(distance[worst] * weight))


def bank_neighbours(bank: Array, count: int) -> NDArray[np.int64]:
    """``(M, count)``: each row's own index, then those of its nearest others, nearest first."""
    norms = np.sum(bank**2, axis=1)
    table = np.empty((len(bank), count), np.int64)
    for start in range(0, len(bank), _CHUNK):
        rows = np.arange(start, min(start + _CHUNK, len(bank)))
        squared = norms - 2 * bank[rows] @ bank.T
        squared[np.arange(len(rows)), rows] = -np.inf  # itself comes first, whatever its doubles
        table[rows] = np.argsort(squared, axis=1, kind="stable")[:, :count]
    return table
