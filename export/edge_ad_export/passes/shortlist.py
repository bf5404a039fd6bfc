"""Finds likely neighbours of every patch in fewer dimensions, and measures only those exactly."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as common_passes

from edge_ad_export.graph.backbone import FLOAT_ONLY, SHORTLIST
from edge_ad_export.graph.builder import GraphBuilder
from edge_ad_export.graph.match import behind_reshapes, known_shape, made_by, read_array, reduced_axes, used_once
from edge_ad_export.graph.static_shape import static_shape
from edge_ad_export.passes.node_chains import monotonic_chain
from edge_ad_export.passes.squared_distance import norms_taken_of, squared_norms

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["EXACT_PATCHES", "ShortlistPass", "directions_needed"]

EXACT_PATCHES: Final = 16
"""So many patches with the largest distances are measured against the whole bank."""

# The part of the bank's energy about its mean that the shortlist is made with. Measured on two banks of 768 dimensions:
# 128 dimensions, in which the worst of 18,000 cells was 8 % too large and the correlation of the worst map 0.9994.
_ENERGY: Final = 0.96
_DIRECTIONS_STEP: Final = 32
# Where less than this is saved, or the search takes little time, the exact form stays (multiplications).
_LEAST_SAVED: Final = 3.0
_LEAST_PRODUCTS: Final = 100_000_000
_LEAST_PATCHES: Final = 8 * EXACT_PATCHES
# Larger than any squared distance, and far from the largest float32.
_NEVER_NEAREST: Final = 1e30


class ShortlistPass(ir.passes.InPlacePass):
    """Requires: the search of :class:`~edge_ad_export.passes.NearestPass` or of our own memory-bank head, in which
    single distances are read only for the patch that is farthest from the bank; static shapes.

    Does: the nearest vector of every patch is looked for in the bank's main directions. The distance to the vector that
    is found is computed from all dimensions. The :data:`EXACT_PATCHES` patches with the largest such distances are
    measured against the whole bank in float32, and the score is taken from the worst of them. Left alone where little
    would be saved.

    Ensures: every cell of the map is a distance to a vector of the bank, so it is never below the exact one but for
    rounding. The score is the exact one if the worst patch is among those that are measured; it certainly is when
    its distance is not below the largest that was left unmeasured. Neither holds for every image: the gate decides.
    The product that only makes the shortlist may be in int8, and the exact one stays in float.

    ``least_products``: a search of fewer multiplications is left alone.
    """

    def __init__(self, least_products: int = _LEAST_PRODUCTS) -> None:
        super().__init__()
        self.least_products = least_products

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        # The index of every patch's neighbour, which NearestPass leaves to a reader that may be gone.
        modified = common_passes.RemoveUnusedNodesPass()(model).modified
        for node in list(model.graph):
            search = _match(node) if node.op_type == "ReduceMin" else None
            directions = None if search is None else _worthwhile_directions(search, self.least_products)
            if search is not None and directions is not None:
                _rewrite(model.graph, search, directions)
                modified = True
        return ir.passes.PassResult(model, modified)


@dataclass(frozen=True)
class _Search:
    """``squared`` ``(n, 1)``: the smallest squared distances of the rows of ``patches`` ``(n, d)`` to the ``bank``
    ``(m, d)``; ``worst``: the index of the row whose distance is largest; ``rows``: nodes that take its distances out
    of those of all rows, less the row's own norm."""

    patches: ir.Value
    bank: NDArray[np.float32]
    squared: ir.Value
    worst: tuple[ir.Value, ...]
    rows: tuple[ir.Node, ...]

    @property
    def count(self) -> int:
        return known_shape(self.patches)[0]


def _match(node: ir.Node) -> _Search | None:
    relative = node.inputs[0]
    total = made_by(relative, "Add") if reduced_axes(node) == (1,) else None
    product = None if total is None else made_by(total.inputs[0], "MatMul")
    weights = None if product is None else read_array(product.inputs[1])
    patches, norms = (None, None) if product is None or total is None else (product.inputs[0], total.inputs[1])
    squared = _with_own_norms(node.outputs[0], patches)
    if relative is None or weights is None or weights.ndim != 2 or patches is None or squared is None:
        return None
    bank = (weights.T / np.float32(-2)).astype(np.float32)
    if weights.dtype != np.float32 or not _holds_norms(norms, bank):
        return None
    rows = [use.node for use in relative.uses() if use.node is not node]
    worst = [_worst_patch(row, relative, squared) for row in rows]
    if not rows or any(index is None for index in worst) or relative.is_graph_output():
        return None
    found = dict.fromkeys(index for index in worst if index is not None)
    return _Search(patches, bank, squared, tuple(found), tuple(rows))


def _with_own_norms(smallest: ir.Value, patches: ir.Value | None) -> ir.Value | None:
    """The sum of these and the patches' own squared norms, where nothing else uses them."""
    total = next(iter(smallest.uses())).node if used_once(smallest) else None
    if total is None or patches is None or total.op_type != "Add":
        return None
    others = [value for value in total.inputs if value is not smallest]
    is_sum = len(others) == 1 and others[0] is not None and norms_taken_of(others[0]) is patches
    return total.outputs[0] if is_sum and static_shape(patches) is not None else None


def _holds_norms(value: ir.Value | None, bank: NDArray[np.float32]) -> bool:
    array = read_array(value)
    return array is not None and array.size == len(bank) and np.allclose(array.ravel(), squared_norms(bank), rtol=1e-4)


def _worst_patch(row: ir.Node, relative: ir.Value, squared: ir.Value) -> ir.Value | None:
    """The index of the patch with the largest of the ``squared`` distances, where the node takes its row."""
    if row.op_type != "Gather" or row.inputs[0] is not relative or row.attributes.get_int("axis", 0) != 0:
        return None
    index = None if row.inputs[1] is None else behind_reshapes(row.inputs[1])
    largest = made_by(index, "ArgMax")
    shape = None if index is None else static_shape(index)
    if largest is None or largest.inputs[0] is None or shape is None or math.prod(shape) != 1:
        return None
    value, before = largest.inputs[0], None
    while value is not before:
        before, value = value, monotonic_chain(behind_reshapes(value, squared)).start
        if value is squared or before is squared:
            return index
    return None


def directions_needed(bank: NDArray[np.floating], energy: float = _ENERGY) -> NDArray[np.float32]:
    """The main directions of a centred bank ``(m, d)`` that hold this part of its energy: ``(d, r)`` float32.

    ``r`` is rounded up, so that the product is one for which the engines have fast kernels.
    """
    points = bank.astype(np.float64)
    values, vectors = np.linalg.eigh(points.T @ points)
    held = np.cumsum(values[::-1].clip(0))
    needed = int(np.searchsorted(held, energy * held[-1])) + 1
    rounded = min(-(-needed // _DIRECTIONS_STEP) * _DIRECTIONS_STEP, len(values))
    return np.ascontiguousarray(vectors[:, ::-1][:, :rounded].astype(np.float32))


def _worthwhile_directions(search: _Search, least_products: int) -> NDArray[np.float32] | None:
    """The directions in which to look for neighbours, ``None`` where the exact search costs too little to replace it.

    On one core of an AMD EPYC a search of 2.6e9 multiplications took 102 ms, and its shortlist in a sixth of the
    dimensions 33 ms.
    """
    (vectors, dimensions), patches = search.bank.shape, search.count
    if patches < _LEAST_PATCHES or patches * vectors * dimensions < least_products:
        return None
    directions = directions_needed(search.bank)
    kept = directions.shape[1]
    shortlist = patches * kept * (dimensions + vectors) + EXACT_PATCHES * vectors * dimensions
    return directions if patches * vectors * dimensions > _LEAST_SAVED * shortlist else None


def _rewrite(graph: ir.Graph, search: _Search, directions: NDArray[np.float32]) -> None:
    first = search.squared.producer()
    if first is None:
        raise AssertionError("only computed distances are rewritten")
    build = GraphBuilder(graph, first)
    bank = build.constant("bank_rows", search.bank)
    upper = _distances_to_likely(build, search, bank, directions)
    flat = build.reshape(upper, (search.count,))
    count = build.constant("exact_patches", np.array([EXACT_PATCHES], np.int64))
    shape = (EXACT_PATCHES,)
    _, top = build.all_of("TopK", [(shape, ir.DataType.FLOAT), (shape, ir.DataType.INT64)], flat, count, axis=0)
    relative, exact = _exact_distances(build, search, bank, top)
    mended = build.op("ScatterElements", flat, top, build.reshape(exact, shape), shape=(search.count,), axis=0)
    squared = build.reshape(mended, (search.count, 1))
    place = build.op("ArgMax", exact, shape=(1,), dtype=ir.DataType.INT64, axis=0, keepdims=0)
    place = build.reshape(place, (1,))
    index = build.op("Gather", top, place, shape=(1,), dtype=ir.DataType.INT64)
    row = build.op("Gather", relative, place, shape=(1, len(search.bank)))
    by_shape = {known_shape(value): value for value in search.worst}
    indices = {shape: build.reshape(index, shape) for shape in by_shape}
    rows = [build.reshape(row, known_shape(node.outputs[0])) for node in search.rows]
    build.commit()
    ir.convenience.replace_all_uses_with(search.squared, squared, replace_graph_outputs=True)
    for value in search.worst:
        ir.convenience.replace_all_uses_with(value, indices[known_shape(value)], replace_graph_outputs=True)
    for node, found in zip(search.rows, rows, strict=True):
        ir.convenience.replace_all_uses_with(node.outputs[0], found, replace_graph_outputs=True)


def _distances_to_likely(
    build: GraphBuilder, search: _Search, bank: ir.Value, directions: NDArray[np.float32]
) -> ir.Value:
    """The squared distance of every patch to the vector that is nearest in few dimensions, ``(n, 1)``."""
    patches, (vectors, dimensions), kept = search.count, search.bank.shape, directions.shape[1]
    # As a sum with a constant, which CoarseProductPass recognises.
    product = build.op("MatMul", search.patches, build.constant("directions", directions), shape=(patches, kept))
    none = build.constant("no_bias", np.zeros((1, kept), np.float32))
    projected = build.op("Add", product, none, shape=(patches, kept))
    width = _group_width(vectors)
    groups = -(-vectors // width)
    missing = groups * width - vectors
    weights = np.pad(-2 * (search.bank @ directions).T, ((0, 0), (0, missing)))
    norms = np.pad(squared_norms(search.bank), (0, missing), constant_values=_NEVER_NEAREST)[None]
    pairs = (patches, groups * width)
    product = build.op("MatMul", projected, build.constant("bank_projected", weights), shape=pairs)
    _name(product, SHORTLIST, search)
    relative = build.op("Add", product, build.constant("bank_norms", norms.astype(np.float32)), shape=pairs)
    likely = _index_of_smallest(build, relative, groups, width)
    # What is not finite may point behind the bank.
    last = build.constant("last_vector", np.array([vectors - 1], np.int64))
    likely = build.op("Min", likely, last, shape=(patches,), dtype=ir.DataType.INT64)
    nearest = build.op("Gather", bank, likely, shape=(patches, dimensions), axis=0)
    difference = build.op("Sub", search.patches, nearest, shape=(patches, dimensions))
    return build.reduce("ReduceSumSquare", difference, [1])


def _group_width(vectors: int) -> int:
    """How many vectors are a group: about as many as there are groups, and a multiple of 16."""
    return max(round(math.sqrt(vectors) / 16), 1) * 16


def _index_of_smallest(build: GraphBuilder, relative: ir.Value, groups: int, width: int) -> ir.Value:
    """The index of the smallest number of every row, ``(n,)``.

    First the best group, then the best of its members: ``ArgMin`` is slow in OpenVINO, where it took 45 ms of a core
    over 1,024 rows of 3,276 numbers, while the smallest of each group is found at the speed of memory.
    """
    patches, index = known_shape(relative)[0], ir.DataType.INT64
    # In one other shape alone: OpenVINO copies what is read in two.
    lines = build.reshape(relative, (patches * groups, width))
    lowest = build.reshape(build.reduce("ReduceMin", lines, [1]), (patches, groups))
    group = build.op("ArgMin", lowest, shape=(patches,), dtype=index, axis=1, keepdims=0)
    starts = build.constant("first_groups", np.arange(patches, dtype=np.int64) * groups)
    chosen = build.op("Add", group, starts, shape=(patches,), dtype=index)
    members = build.op("Gather", lines, chosen, shape=(patches, width), axis=0)
    member = build.op("ArgMin", members, shape=(patches,), dtype=index, axis=1, keepdims=0)
    wide = build.constant("group_width", np.array([width], np.int64))
    return build.op(
        "Add", build.op("Mul", group, wide, shape=(patches,), dtype=index), member, shape=(patches,), dtype=index
    )


def _exact_distances(build: GraphBuilder, search: _Search, bank: ir.Value, top: ir.Value) -> tuple[ir.Value, ir.Value]:
    """Of the patches ``top`` to all vectors without the patch's own norm, ``(k, m)``, and the smallest, ``(k, 1)``."""
    vectors, dimensions = search.bank.shape
    picked = build.op("Gather", search.patches, top, shape=(EXACT_PATCHES, dimensions), axis=0)
    twice = build.op("Mul", picked, build.number("minus_two", -2.0), shape=(EXACT_PATCHES, dimensions))
    norms = build.constant("bank_norms", squared_norms(search.bank)[None].astype(np.float32))
    # The same constant as the rows above, so that the file holds the bank once.
    relative = build.op("Gemm", twice, bank, norms, shape=(EXACT_PATCHES, vectors), transB=1)
    _name(relative, FLOAT_ONLY, search)
    own = build.reduce("ReduceSumSquare", picked, [1])
    smallest = build.reduce("ReduceMin", relative, [1])
    return relative, build.op("Add", smallest, own, shape=(EXACT_PATCHES, 1))


def _name(value: ir.Value, prefix: str, search: _Search) -> None:
    """Names the node that makes the value, in each search of a graph otherwise."""
    made = value.producer()
    if made is not None:
        made.name = f"{prefix}{search.squared.name}"
