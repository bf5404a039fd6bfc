"""Splits a two-dimensional blur into one along the rows and one along the columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from edge_ad_export.graph.builder import GraphBuilder
from edge_ad_export.graph.match import known_shape, read_array
from edge_ad_export.graph.static_shape import static_shape

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["SeparableBlurPass"]

# Against the first singular value: a product of two float32 vectors, rounded once, stays an order below it.
_RANK_ONE_TOLERANCE = 1e-6
# Two convolutions of a smaller kernel cost as much as one.
_KERNEL_MIN = 5


class SeparableBlurPass(ir.passes.InPlacePass):
    """Requires: static shapes.

    Does: a ``Conv`` of one plane to one plane whose kernel is the outer product of two vectors becomes two, with
    ``k + k`` instead of ``k * k`` multiplications a pixel. A kernel counts as a product when its second singular
    value is below 1e-6 of its first.

    Ensures: the same sums in another order.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        modified = False
        for node in list(model.graph):
            factors = _factors(node)
            if factors is not None:
                _split(model.graph, node, *factors)
                modified = True
        return ir.passes.PassResult(model, modified)


def _factors(node: ir.Node) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
    """Column and row vector of the kernel of a blur, ``None`` for any other node."""
    if node.op_type != "Conv" or len(node.inputs) != 2 or node.attributes.get_string("auto_pad", "NOTSET") != "NOTSET":
        return None
    kernel = read_array(node.inputs[1])
    if kernel is None or kernel.ndim != 4 or kernel.shape[:2] != (1, 1) or min(kernel.shape[2:]) < _KERNEL_MIN:
        return None
    left, values, right = np.linalg.svd(kernel[0, 0].astype(np.float64))
    known = all(value is not None and static_shape(value) is not None for value in (node.inputs[0], node.outputs[0]))
    if not known or values[1] > _RANK_ONE_TOLERANCE * values[0]:
        return None
    root = np.sqrt(values[0])
    return (left[:, 0] * root).astype(np.float32), (right[0] * root).astype(np.float32)


def _split(graph: ir.Graph, node: ir.Node, column: NDArray[np.float32], row: NDArray[np.float32]) -> None:
    """Rows first: each of the two convolutions takes the padding, stride and dilation of its own axis."""
    value = node.inputs[0]
    pads = node.attributes.get_ints("pads", (0, 0, 0, 0))
    strides = node.attributes.get_ints("strides", (1, 1))
    dilations = node.attributes.get_ints("dilations", (1, 1))
    before, final = known_shape(value), known_shape(node.outputs[0])
    build = GraphBuilder(graph, node)
    across = build.op(
        "Conv",
        value,
        build.constant("blur_row", row.reshape(1, 1, 1, -1)),
        shape=(*before[:3], final[3]),
        pads=(0, pads[1], 0, pads[3]),
        strides=(1, strides[1]),
        dilations=(1, dilations[1]),
    )
    down = build.op(
        "Conv",
        across,
        build.constant("blur_column", column.reshape(1, 1, -1, 1)),
        shape=final,
        pads=(pads[0], 0, pads[2], 0),
        strides=(strides[0], 1),
        dilations=(dilations[0], 1),
    )
    build.commit()
    ir.convenience.replace_all_uses_with(node.outputs[0], down, replace_graph_outputs=True)
    graph.remove(node, safe=True)
