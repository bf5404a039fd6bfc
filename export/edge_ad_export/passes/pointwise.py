"""Makes one convolution of two 1x1 convolutions in a row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as common_passes

from edge_ad_export.graph.builder import GraphBuilder
from edge_ad_export.graph.match import known_shape, made_by, read_array, used_once
from edge_ad_export.graph.static_shape import static_shape

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["PointwisePass"]

_Linear = tuple["NDArray[np.float64]", "NDArray[np.float64]"]


class PointwisePass(ir.passes.InPlacePass):
    """Requires: static shapes.

    Does: two 1x1 ``Conv`` in a row, with nothing between them and nobody else who reads the value between them, become
    one, whose matrix is the product of theirs. SuperSimpleNet has such a pair, because its projection is followed by
    the first layer of its head. Left alone where the one would be more work than the two, as in a bottleneck.

    Ensures: the same sums in another order.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        modified = False
        for node in list(model.graph):
            modified |= _merge(model.graph, node)
        if modified:
            common_passes.RemoveUnusedNodesPass()(model)
        return ir.passes.PassResult(model, modified)


def _merge(graph: ir.Graph, node: ir.Node) -> bool:
    between = node.inputs[0] if node.op_type == "Conv" else None
    before = made_by(between, "Conv")
    if between is None or before is None or not used_once(between) or static_shape(node.outputs[0]) is None:
        return False
    first, second = _linear(before), _linear(node)
    if first is None or second is None:
        return False
    matrix = second[0] @ first[0]
    if matrix.size >= first[0].size + second[0].size:
        return False
    build = GraphBuilder(graph, node, prefix="pointwise_")
    kernel = build.constant("kernel", matrix.astype(np.float32)[..., None, None])
    bias = build.constant("bias", (second[0] @ first[1] + second[1]).astype(np.float32))
    merged = build.op("Conv", before.inputs[0], kernel, bias, shape=known_shape(node.outputs[0]))
    build.commit()
    ir.convenience.replace_all_uses_with(node.outputs[0], merged, replace_graph_outputs=True)
    graph.remove(node, safe=True)
    return True


def _linear(node: ir.Node) -> _Linear | None:
    """Matrix float64 ``(K, C)`` and bias ``(K,)`` of a 1x1 convolution, ``None`` for any other one."""
    kernel = read_array(node.inputs[1])
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    added = read_array(bias)
    if (
        kernel is None
        or kernel.dtype != np.float32
        or kernel.shape[2:] != (1, 1)
        or (bias is not None and added is None)
    ):
        return None
    attributes = node.attributes
    strides, pads = set(attributes.get_ints("strides", (1,))), set(attributes.get_ints("pads", (0,)))
    if attributes.get_int("group", 1) != 1 or strides != {1} or pads != {0}:
        return None
    matrix = kernel[..., 0, 0].astype(np.float64)
    return matrix, np.zeros(len(matrix)) if added is None else added.astype(np.float64)
