"""Multiplies upsampled features with a memory bank before they are upsampled."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from edge_ad_export.graph.builder import GraphBuilder
from edge_ad_export.graph.match import behind_reshapes, known_shape, made_by, read_array
from edge_ad_export.graph.static_shape import static_shape

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["CoarseProductPass"]

# What an interpolated product costs, in multiplications of a matrix product (measured: 12 to 25 in OpenVINO).
_RESIZE_COST = 25


@dataclass(frozen=True)
class _Part:
    """Some channels ``[1, c, h, w]`` of the features: ``upsampled`` by this node, or as they are."""

    value: ir.Value
    upsampled: ir.Node | None
    mean: NDArray[np.floating]
    weights: NDArray[np.floating]

    @property
    def coarse(self) -> ir.Value | None:
        return None if self.upsampled is None else self.upsampled.inputs[0]


@dataclass(frozen=True)
class _Search:
    """``(x - mean) weights + norms``, where the rows of ``x`` are the places of a map of features ``(h, w)``."""

    total: ir.Node
    parts: tuple[_Part, ...]
    norms: NDArray[np.floating]
    places: tuple[int, int]

    @property
    def vectors(self) -> int:
        return self.norms.size


class CoarseProductPass(ir.passes.InPlacePass):
    """Requires: the search of :class:`~edge_ad_export.passes.NearestPass`, static shapes.

    Does: where some of the features were upsampled from a coarser map, their share of the product of patches and bank
    is taken on the coarser map and upsampled then. Interpolation mixes places and a product mixes channels, so that
    either may come first; on the coarser map there are four times (for a factor of two) fewer products to take.
    Left alone where interpolating one number a vector of the bank would cost more than the products that are saved.

    Ensures: the same sums in another order.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        modified = False
        for node in list(model.graph):
            search = _match(node) if node.op_type == "Add" else None
            if search is not None and _saves(search):
                _rewrite(model.graph, search)
                modified = True
        return ir.passes.PassResult(model, modified)


def _match(total: ir.Node) -> _Search | None:
    norms, product = read_array(total.inputs[1]), made_by(total.inputs[0], "MatMul")
    centred = None if product is None else made_by(product.inputs[0], "Sub")
    if norms is None or product is None or centred is None or centred.inputs[0] is None:
        return None
    mean, weights = read_array(centred.inputs[1]), read_array(product.inputs[1])
    features = _features(centred.inputs[0])
    shape = None if features is None else static_shape(features)
    if mean is None or weights is None or weights.ndim != 2 or features is None or shape is None or len(shape) != 4:
        return None
    fits = mean.size == len(weights) == shape[1] and norms.size == weights.shape[1] and shape[0] == 1
    parts = _parts(features, mean.ravel(), weights) if fits else None
    return None if parts is None else _Search(total, parts, norms.ravel(), (shape[2], shape[3]))


def _features(rows: ir.Value) -> ir.Value | None:
    """The map ``[1, c, h, w]`` whose places the rows are, in their order."""
    transpose = made_by(behind_reshapes(rows), "Transpose")
    if transpose is None or tuple(transpose.attributes.get_ints("perm", ())) != (0, 2, 3, 1):
        return None
    return transpose.inputs[0]


def _parts(features: ir.Value, mean: NDArray[np.floating], weights: NDArray[np.floating]) -> tuple[_Part, ...] | None:
    concat = made_by(features, "Concat")
    if concat is None or concat.attributes.get_int("axis", 0) not in (1, -3):
        return None
    found: list[_Part] = []
    start = 0
    for value in concat.inputs:
        shape = None if value is None else static_shape(value)
        if value is None or shape is None:
            return None
        chosen = slice(start, start := start + shape[1])
        found.append(_Part(value, _upsampling(value), mean[chosen], weights[chosen]))
    return tuple(found)


def _upsampling(value: ir.Value) -> ir.Node | None:
    """The node that interpolates the value from fewer places, each channel apart, by weights that sum to one."""
    node = made_by(value, "Resize")
    before = None if node is None or node.inputs[0] is None else static_shape(node.inputs[0])
    after = static_shape(value)
    if node is None or before is None or after is None or len(before) != 4 or "axes" in node.attributes:
        return None
    outside = node.attributes.get_string("coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize"
    stretched = node.attributes.get_string("keep_aspect_ratio_policy", "stretch") == "stretch"
    coarser = before[:2] == after[:2] and before[2] * before[3] < after[2] * after[3]
    return node if coarser and stretched and not outside else None


def _saves(search: _Search) -> bool:
    """Whether fewer multiplications are left, those that interpolation is worth included; for one bank vector."""
    places = math.prod(search.places)
    coarse = [part for part in search.parts if part.coarse is not None]
    saved = sum(len(part.mean) * (places - math.prod(known_shape(part.coarse)[2:])) for part in coarse)
    return saved > len(coarse) * places * _RESIZE_COST


def _rewrite(graph: ir.Graph, search: _Search) -> None:
    build = GraphBuilder(graph, search.total)
    norms: NDArray[np.floating] | None = search.norms
    coarse: ir.Value | None = None
    for part in search.parts:
        if part.coarse is None:
            continue
        product = _coarse_product(build, part, norms, search)
        coarse = product if coarse is None else build.op("Add", coarse, product, shape=known_shape(product))
        norms = None  # they belong to the sum, once
    fine = [part for part in search.parts if part.coarse is None]
    relative = coarse if not fine else _add_fine(build, fine, coarse, search)
    if relative is None:
        raise AssertionError("only searches with a coarse part are rewritten")
    build.commit()
    ir.convenience.replace_all_uses_with(search.total.outputs[0], relative, replace_graph_outputs=True)
    graph.remove(search.total, safe=True)


def _coarse_product(build: GraphBuilder, part: _Part, norms: NDArray[np.floating] | None, search: _Search) -> ir.Value:
    """As a convolution of one place: OpenVINO hands its result to the interpolation as it lies in memory."""
    source, resize = part.coarse, part.upsampled
    if source is None or resize is None:
        raise AssertionError("only called for a coarse part")
    shape, vectors = known_shape(source), search.vectors
    mean = build.constant("coarse_mean", part.mean.reshape(1, -1, 1, 1).astype(np.float32))
    kernel = np.ascontiguousarray(part.weights.T).reshape(vectors, -1, 1, 1).astype(np.float32)
    inputs = [build.op("Sub", source, mean, shape=shape), build.constant("coarse_bank", kernel)]
    if norms is not None:
        inputs.append(build.constant("bank_norms", norms.astype(np.float32)))
    product = build.op("Conv", *inputs, shape=(1, vectors, *shape[2:]))
    wanted = (1, vectors, *search.places)
    sizes = build.constant("sizes", np.array(wanted, np.int64))
    upsampled = build.copy(resize, [product, None, None, sizes], wanted)
    return _as_rows(build, upsampled)


def _add_fine(build: GraphBuilder, parts: Sequence[_Part], coarse: ir.Value | None, search: _Search) -> ir.Value:
    values = [part.value for part in parts]
    count = sum(len(part.mean) for part in parts)
    stacked = values[0]
    if len(values) > 1:
        stacked = build.op("Concat", *values, shape=(1, count, *search.places), axis=1)
    mean = np.concatenate([part.mean for part in parts]).astype(np.float32)
    weights = np.concatenate([part.weights for part in parts]).astype(np.float32)
    rows = _as_rows(build, stacked)
    centred = build.op("Sub", rows, build.constant("fine_mean", mean), shape=known_shape(rows))
    # One operation adds and multiplies: a sum apart would read and write all pairs once more.
    pairs = (math.prod(search.places), search.vectors)
    return build.op("Gemm", centred, build.constant("fine_bank", weights), coarse, shape=pairs)


def _as_rows(build: GraphBuilder, value: ir.Value) -> ir.Value:
    """``[1, c, h, w]`` as ``(h * w, c)``."""
    _, channels, height, width = known_shape(value)
    last = build.op("Transpose", value, shape=(1, height, width, channels), perm=(0, 2, 3, 1))
    return build.reshape(last, (height * width, channels))
