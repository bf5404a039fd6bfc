"""Keeps a few vectors of a memory bank that stand for all of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from edge_ad.errors import ModelError
from edge_ad_export.graph.match import made_by, read_array, reduced_axes
from edge_ad_export.graph.static_shape import infer_shapes
from edge_ad_export.passes.neighbour_table import nearest_rows
from edge_ad_export.passes.node_chains import monotonic_chain
from edge_ad_export.passes.squared_distance import are_norms, match_squared_distance

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["CoresetPass", "spread_rows"]


class CoresetPass(ir.passes.InPlacePass):
    """Requires: static shapes, folded constants, distances as the exporter or our own head wrote them (before
    :class:`~edge_ad_export.passes.NearestPass`).

    Does: of a memory bank whose smallest distance is taken, ``count`` vectors stay: those that leave no vector far
    from one that stays, found greedily (Sener and Savarese 2018, algorithm 1, as PatchCore thins its bank).

    Ensures: size and work of the search in proportion to ``count``. Scores rise where a vector is missed.

    Raises:
        ModelError: there is no bank, it is no larger, or fewer vectors would stay than neighbours are weighed with.
    """

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        banks = [bank for bank in map(_bank, model.graph) if bank is not None]
        if not banks:
            raise ModelError("there is no memory bank in this model to thin: leave --coreset out")
        for bank in banks:
            if len(bank) <= self.count:
                raise ModelError(f"--coreset {self.count}: the memory bank holds {len(bank)} vectors, ask for fewer")
            _keep(model.graph, bank, spread_rows(bank, self.count))
        infer_shapes(model)
        return ir.passes.PassResult(model, True)


def spread_rows(points: NDArray[np.floating], count: int) -> NDArray[np.intp]:
    """The indices of ``count`` rows of ``(n, d)``, each the farthest from those before it.

    The first is the one nearest to the mean.
    """
    rows = points.astype(np.float64)
    norms = np.square(rows).sum(axis=1)
    mean = rows.mean(axis=0)
    chosen = [int(np.argmin(norms - 2 * rows @ mean))]
    nearest = np.full(len(rows), np.inf)
    for _ in range(count - 1):
        last = rows[chosen[-1]]
        nearest = np.minimum(nearest, norms - 2 * rows @ last + last @ last)
        nearest[chosen[-1]] = -np.inf
        chosen.append(int(np.argmax(nearest)))
    return np.sort(np.array(chosen))


def _bank(node: ir.Node) -> NDArray[np.floating] | None:
    if node.op_type != "ReduceMin" or node.inputs[0] is None:
        return None
    distance = match_squared_distance(monotonic_chain(node.inputs[0]).start)
    return _relative_bank(node) if distance is None else distance.right.array


def _relative_bank(node: ir.Node) -> NDArray[np.floating] | None:
    """Of ``x (-2 bank') + norms``, whose smallest entries are taken: the rows' own norms come later."""
    total = made_by(node.inputs[0], "Add") if reduced_axes(node) == (1,) else None
    product = None if total is None else made_by(total.inputs[0], "MatMul")
    weights = None if product is None else read_array(product.inputs[1])
    norms = None if total is None else read_array(total.inputs[1])
    if weights is None or norms is None or weights.ndim != 2:
        return None
    bank = weights.T / np.float32(-2)
    return bank if are_norms(norms, bank) else None


def _keep(graph: ir.Graph, bank: NDArray[np.floating], rows: NDArray[np.intp]) -> None:
    """Every constant that is the bank, its transpose, that doubled, or its squared norms; then the neighbours."""
    for value in list(graph.initializers.values()):
        array = read_array(value)
        if array is None:
            continue
        if np.array_equal(array, bank):
            kept = array[rows]
        elif np.array_equal(array, bank.T) or np.array_equal(array, -2 * bank.T):
            kept = array[:, rows]
        elif are_norms(array, bank):
            kept = array.reshape(-1)[rows].reshape([len(rows) if d == len(bank) else d for d in array.shape])
        else:
            continue
        _replace(value, kept)
    for node in graph:
        count = _neighbours(node, len(bank))
        if count is None or node.inputs[0] is None:
            continue
        if count > len(rows):
            raise ModelError(f"--coreset {len(rows)}: the score is weighed with {count} neighbours, keep more")
        _replace(node.inputs[0], nearest_rows(bank[rows], count))


def _neighbours(node: ir.Node, vectors: int) -> int | None:
    """How many neighbours of the nearest vector are looked up here, in a table of one row for each vector."""
    table = read_array(node.inputs[0]) if node.op_type == "Gather" and made_by(node.inputs[1], "ArgMin") else None
    if table is None or table.dtype != np.int64 or table.ndim != 2 or len(table) != vectors:
        return None
    return int(table.shape[1])


def _replace(value: ir.Value, array: NDArray[np.generic]) -> None:
    value.const_value = ir.tensor(np.ascontiguousarray(array), name=value.name)
    value.shape = ir.Shape(array.shape)
