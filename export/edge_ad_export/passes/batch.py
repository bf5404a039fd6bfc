"""Takes a graph that was exported for a fixed batch of several images to one image.

The graph is rewritten where that can be; otherwise it is fed the same image several times.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from edge_ad_export.graph.builder import add_constant
from edge_ad_export.graph.match import read_array
from edge_ad_export.graph.static_shape import StaticShapePass, infer_shapes, static_shape

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["RebatchPass", "RepeatPass"]


# The input that holds the shape which the node gives its output.
_SHAPE_INPUT = {"Reshape": 1, "Expand": 1, "Resize": 3}
# Nodes that put a constant beside their batch: the constant has one row per image.
_BROADCASTING = {
    "Add",
    "Concat",
    "Div",
    "Equal",
    "Greater",
    "Less",
    "Max",
    "Min",
    "Mul",
    "Pow",
    "Sub",
    "Where",
}


class RebatchPass(ir.passes.InPlacePass):
    """Requires: a static batch in the first dimension of the one input, and inferred shapes.

    Does: divides the leading dimension of shapes that ``Reshape``, ``Expand`` and ``Resize`` ask for, and keeps
    the first row of constants that have one row per image. Slices of rows that no longer exist become empty, and
    :class:`~edge_ad_export.passes.SimplifyPass` drops empty parts of a ``Concat``. Where a loop over the images was
    written out, and each turn scatters its result into a row, the turns of all images but the first are left out.

    Ensures: the input takes one image.

    A constant cannot tell whether its leading dimension means the batch: the caller must compare the result with
    the original on real images.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        graph = model.graph
        shape = static_shape(graph.inputs[0])
        if shape is None or shape[0] == 1:
            return ir.passes.PassResult(model, False)
        for node in list(graph):
            _rewrite(graph, node, shape[0])
        graph.inputs[0].shape = ir.Shape((1, *shape[1:]))
        infer_shapes(model)
        return ir.passes.PassResult(model, True)


def _rewrite(graph: ir.Graph, node: ir.Node, batch: int) -> None:
    result = static_shape(node.outputs[0])
    if not result or result[0] % batch:
        return
    index = _SHAPE_INPUT.get(node.op_type)
    if index is not None and index < len(node.inputs):
        asked = read_array(node.inputs[index])
        if asked is not None and asked.size and asked[0] == result[0]:
            _replace(graph, node, index, np.array([asked[0] // batch, *asked[1:]], asked.dtype))
    elif node.op_type in _BROADCASTING and result[0] == batch:
        for position in range(len(node.inputs)):
            _keep_first_row(graph, node, position, result)
    elif node.op_type == "ScatterElements" and result[0] == batch and node.attributes.get_int("axis", 0) == 0:
        _scatter_first_row(graph, node, result)


def _keep_first_row(graph: ir.Graph, node: ir.Node, position: int, result: tuple[int, ...]) -> None:
    rows = read_array(node.inputs[position])
    if rows is not None and rows.ndim == len(result) and rows.shape[0] == result[0]:
        _replace(graph, node, position, rows[:1])


def _scatter_first_row(graph: ir.Graph, node: ir.Node, result: tuple[int, ...]) -> None:
    """What is written into the rows of other images is left out."""
    data, rows = node.inputs[0], read_array(node.inputs[1])
    if data is None or rows is None:
        return
    if np.all(rows >= 1):
        ir.convenience.replace_all_uses_with(node.outputs[0], data, replace_graph_outputs=True)
    elif np.all(rows == 0):
        _keep_first_row(graph, node, 0, result)


def _replace(graph: ir.Graph, node: ir.Node, index: int, array: NDArray[Any]) -> None:
    name = f"{node.outputs[0].name}_batch1_{index}"
    node.replace_input_with(index, add_constant(graph, name, array))


class RepeatPass(ir.passes.InPlacePass):
    """Requires: a static batch in the first dimension of the one input and of every output.

    Does: repeats one image to fill the batch. It costs the time of the whole batch:
    :class:`~edge_ad_export.passes.RebatchPass` is tried first.

    Ensures: the input takes one image; the outputs are those of the first of the batch.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        graph = model.graph
        old = graph.inputs[0]
        shape = static_shape(old)
        if shape is None or shape[0] == 1:
            return ir.passes.PassResult(model, False)
        one = ir.val(f"{old.name}_one", old.dtype, (1, *shape[1:]))
        copies = ir.node("Concat", [one] * shape[0], {"axis": 0})
        copies.outputs[0].type = old.type
        old.replace_all_uses_with(copies.outputs[0])
        graph.inputs[0] = one
        graph.insert_before(graph[0], copies)
        first, last = (
            add_constant(graph, name, np.array([i])) for name, i in (("batch_first", 0), ("batch_second", 1))
        )
        for index, output in enumerate(list(graph.outputs)):
            part = ir.node("Slice", [output, first, last, first])
            part.outputs[0].type = output.type
            graph.append(part)
            graph.outputs[index] = part.outputs[0]
        StaticShapePass((1, *shape[1:]))(model)
        return ir.passes.PassResult(model, True)
