"""Looks up a memory bank's neighbours of its own vectors instead of searching for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from edge_ad_export.graph.builder import GraphBuilder
from edge_ad_export.graph.match import read_array, read_scalar
from edge_ad_export.graph.static_shape import static_shape
from edge_ad_export.passes.node_chains import gathered_rows, monotonic_chain
from edge_ad_export.passes.squared_distance import match_squared_distance

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["NeighbourTablePass", "nearest_rows"]

# Rows of the distance matrix that are held in memory at a time.
_CHUNK = 512


class NeighbourTablePass(ir.passes.InPlacePass):
    """Requires: static shapes, folded constants.

    Does: PatchCore's reweighting (Roth et al. 2022, eq. 7) takes the vector of the bank nearest to the worst patch
    and searches the bank for that vector's own neighbours. These are known when the bank is: ``TopK`` over
    distances from a picked row of a constant to the whole constant becomes a row of a table of indices.

    Ensures: the same neighbours, but for vectors whose distances differ by rounding only.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        modified = False
        for node in list(model.graph):
            modified = _rewrite(model.graph, node) or modified
        return ir.passes.PassResult(model, modified)


def nearest_rows(bank: NDArray[np.floating], count: int) -> NDArray[np.int64]:
    """The indices of the nearest rows of each row, itself first: ``(n, count)``."""
    points = bank.astype(np.float64)
    norms = np.square(points).sum(axis=1)
    rows = []
    for start in range(0, len(points), _CHUNK):
        # The row's own norm is the same for all of its distances.
        distances = norms - 2 * points[start : start + _CHUNK] @ points.T
        rows.append(np.argsort(distances, axis=1, kind="stable")[:, :count])
    return np.concatenate(rows)


@dataclass(frozen=True)
class _Lookup:
    """``bank``: ``(n, d)``; ``index``: which of its rows is looked at."""

    bank: NDArray[np.floating]
    index: ir.Value


def _rewrite(graph: ir.Graph, node: ir.Node) -> bool:
    if node.op_type != "TopK" or node.attributes.get_int("largest", 1) == 1 or node.outputs[0].uses():
        return False
    found = _match(node.inputs[0])
    count, shape = read_scalar(node.inputs[1]), static_shape(node.outputs[1])
    if found is None or count is None or shape is None or int(np.prod(shape)) != int(count):
        return False
    build = GraphBuilder(graph, node)
    table = build.constant("neighbours", nearest_rows(found.bank, int(count)))
    row = build.op("Gather", table, build.reshape(found.index, (1,)), shape=(1, int(count)), dtype=ir.DataType.INT64)
    row = build.reshape(row, shape)
    build.commit()
    ir.convenience.replace_all_uses_with(node.outputs[1], row)
    graph.remove(node, safe=True)
    return True


def _match(distances: ir.Value | None) -> _Lookup | None:
    """Distances from one row of a constant to all rows of the same constant."""
    found = None if distances is None else match_squared_distance(monotonic_chain(distances).start)
    picked = None if found is None else gathered_rows(found.left)
    if found is None or picked is None or found.right.array is None:
        return None
    source = read_array(picked.source)
    same = source is not None and np.array_equal(source, found.right.array)
    return _Lookup(found.right.array, picked.index) if same else None
