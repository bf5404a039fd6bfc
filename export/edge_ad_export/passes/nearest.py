"""Makes the search for the nearest vector of a memory bank cheap."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from edge_ad_export.graph.builder import GraphBuilder
from edge_ad_export.graph.match import behind_reshapes, known_shape, reduced_axes
from edge_ad_export.graph.static_shape import static_shape
from edge_ad_export.passes.node_chains import MonotonicChain, gathered_rows, monotonic_chain
from edge_ad_export.passes.squared_distance import SquaredDistance, match_squared_distance, squared_norms

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = ["NearestPass"]


@dataclass(frozen=True)
class _Search:
    """Distances of every row of ``distance.left`` ``(n, d)`` to every row of ``bank`` ``(m, d)``.

    ``relative`` holds what differs from one vector of the bank to the next, ``|b|^2 - 2 x b'``, ``(n, m)``: with
    ``own``, the row's ``|x|^2``, ``(n, 1)``, it is the squared distance. Both are of vectors less the bank's mean.
    """

    distance: SquaredDistance
    bank: NDArray[np.floating]
    relative: ir.Value
    own: ir.Value
    chain: MonotonicChain

    @property
    def count(self) -> int:
        return known_shape(self.distance.left)[0]


class NearestPass(ir.passes.InPlacePass):
    """Requires: static shapes, folded constants.

    Does, where the smallest Euclidean distance to each vector of a constant bank is taken:

    - ``|b|^2 - 2 x b'`` is all that is computed for every pair. The factor and the norms of the bank are in the
      constants; the patch's own norm, the clamp and the square root follow the minimum, for one number a patch.
    - The bank's mean is taken away on both sides: the terms are smaller, and so is what is lost in their difference
      when they are rounded, to float32 as to eight bits.
    - The index of the nearest vector is searched for those patches alone of which it is asked.
    - Distances of a picked patch to picked vectors of the bank are read from the pairs that are there already, so
      that the bank is kept in one form only.

    Ensures: the same distances up to rounding.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        modified = False
        for node in list(model.graph):
            if node.graph is not None and node.op_type == "ReduceMin" and reduced_axes(node) == (1,):
                modified = _rewrite(model.graph, node) or modified
        return ir.passes.PassResult(model, modified)


def _rewrite(graph: ir.Graph, node: ir.Node) -> bool:
    if node.inputs[0] is None:
        return False
    chain = monotonic_chain(node.inputs[0])
    distance = match_squared_distance(chain.start)
    shape = None if distance is None else static_shape(distance.left)
    if distance is None or distance.right.array is None or shape is None or len(shape) != 2:
        return False
    readers = [use.node for use in node.inputs[0].uses()]
    if any(reader.op_type not in ("ReduceMin", "ArgMin") or reduced_axes(reader) != (1,) for reader in readers):
        return False
    search = _start(graph, distance, chain)
    for reader in readers:
        (_take_minimum if reader.op_type == "ReduceMin" else _take_index)(graph, reader, search)
    for root in _picked_distances(graph, search):
        _read_pairs(graph, root, search)
    return True


def _start(graph: ir.Graph, distance: SquaredDistance, chain: MonotonicChain) -> _Search:
    bank, first = distance.right.array, chain.start.producer()
    if bank is None or first is None:
        raise AssertionError("only computed distances to a constant bank are rewritten")
    build = GraphBuilder(graph, first)
    pairs = (known_shape(distance.left)[0], len(bank))
    mean = bank.mean(axis=0, dtype=np.float64).astype(np.float32)
    centred = build.op("Sub", distance.left, build.constant("bank_mean", mean), shape=known_shape(distance.left))
    weights = build.constant("bank", (-2 * (bank - mean).T).astype(np.float32))
    norms = build.constant("bank_norms", squared_norms(bank - mean)[None].astype(np.float32))
    relative = build.op("Add", build.op("MatMul", centred, weights, shape=pairs), norms, shape=pairs)
    own = build.reduce("ReduceSumSquare", centred, [1])
    build.commit()
    return _Search(distance, bank, relative, own, chain)


def _take_minimum(graph: ir.Graph, node: ir.Node, search: _Search) -> None:
    build = GraphBuilder(graph, node)
    shape = (search.count, 1)
    smallest = build.reduce("ReduceMin", search.relative, [1])
    squared = build.op("Add", smallest, search.own, shape=shape)
    distances = search.chain.apply(build, squared, shape)
    final = build.reshape(distances, known_shape(node.outputs[0]))
    build.commit()
    ir.convenience.replace_all_uses_with(node.outputs[0], final, replace_graph_outputs=True)
    graph.remove(node, safe=True)


def _take_index(graph: ir.Graph, node: ir.Node, search: _Search) -> None:
    """The index of the nearest vector, for the patches that are asked for where these can be told."""
    for reader in list(_readers(node.outputs[0])):
        value = reader.outputs[0]
        picked, shape = gathered_rows(value, node.outputs[0]), static_shape(value)
        if picked is None or picked.source is not node.outputs[0] or shape is None or math.prod(shape) != 1:
            continue
        build = GraphBuilder(graph, reader)
        row = _row(build, search, picked.index)
        index = build.op("ArgMin", row, shape=(1,), dtype=ir.DataType.INT64, axis=1, keepdims=0)
        index = build.reshape(index, shape)
        build.commit()
        ir.convenience.replace_all_uses_with(value, index)
    # What still asks for all of them gets them.
    node.replace_input_with(0, search.relative)


def _readers(value: ir.Value) -> Iterator[ir.Node]:
    """The nodes that use a value, behind those that only give it another shape."""
    for use in value.uses():
        result = use.node.outputs[0]
        if behind_reshapes(result) is not result:
            yield from _readers(result)
        else:
            yield use.node


def _row(build: GraphBuilder, search: _Search, index: ir.Value) -> ir.Value:
    return build.op("Gather", search.relative, build.reshape(index, (1,)), shape=(1, len(search.bank)))


def _picked_distances(graph: ir.Graph, search: _Search) -> list[ir.Node]:
    """Nodes that give the squared distances of one of the search's patches to some of its bank's vectors."""
    return [node for node in graph if node.op_type in ("Add", "Sub") and _picks(node.outputs[0], search) is not None]


@dataclass(frozen=True)
class _Picks:
    patch: ir.Value
    vectors: ir.Value


def _picks(value: ir.Value, search: _Search) -> _Picks | None:
    distance = match_squared_distance(value)
    if distance is None or distance.right.value is None:
        return None
    left, right = gathered_rows(distance.left, search.distance.left), gathered_rows(distance.right.value)
    if left is None or right is None or left.source is not search.distance.left:
        return None
    one = static_shape(left.index)
    bank = right.source.const_value
    if bank is None or one is None or math.prod(one) != 1 or not np.array_equal(bank.numpy(), search.bank):
        return None
    return _Picks(left.index, right.index)


def _read_pairs(graph: ir.Graph, node: ir.Node, search: _Search) -> None:
    found, shape = _picks(node.outputs[0], search), static_shape(node.outputs[0])
    if found is None or shape is None:
        return
    build = GraphBuilder(graph, node)
    count = math.prod(shape)
    pairs = build.op(
        "Gather", _row(build, search, found.patch), build.reshape(found.vectors, (count,)), shape=(1, count), axis=1
    )
    own = build.op("Gather", search.own, build.reshape(found.patch, (1,)), shape=(1, 1))
    squared = build.reshape(build.op("Add", pairs, own, shape=(1, count)), shape)
    build.commit()
    ir.convenience.replace_all_uses_with(node.outputs[0], squared, replace_graph_outputs=True)
