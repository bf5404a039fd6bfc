"""Writes out what Softmax means before opset 13, which OpenVINO reads as the newer one."""

from __future__ import annotations

from math import prod

import numpy as np
import onnx_ir as ir

from edge_ad_export.graph.builder import add_constant
from edge_ad_export.graph.static_shape import static_shape

__all__ = ["ExplicitSoftmaxPass"]

_BY_AXIS_SINCE = 13
_KINDS = {"Softmax", "LogSoftmax", "Hardmax"}


class ExplicitSoftmaxPass(ir.passes.InPlacePass):
    """Requires: static shapes.

    Does: before opset 13 these operators take all axes from theirs on together. Where there are several of them the
    value is reshaped to two axes before the operator, and back behind it.

    Ensures: the same numbers, also where the operator is taken for the one of opset 13.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        modified = False
        for node in list(model.graph):
            if model.opset_imports.get("", _BY_AXIS_SINCE) < _BY_AXIS_SINCE and node.op_type in _KINDS:
                modified = _write_out(model.graph, node) or modified
        return ir.passes.PassResult(model, modified)


def _write_out(graph: ir.Graph, node: ir.Node) -> bool:
    given, old = node.inputs[0], node.outputs[0]
    shape = None if given is None else static_shape(given)
    if shape is None or node.domain not in ("", "ai.onnx"):
        return False
    axis = node.attributes.get_int("axis", 1) % max(len(shape), 1)
    node.attributes["axis"] = ir.AttrInt64("axis", axis)
    if len([length for length in shape[axis:] if length != 1]) <= 1 and prod(shape[axis:]) == shape[axis]:
        return True
    flat = (prod(shape[:axis]), prod(shape[axis:]))
    tape = ir.tape.Tape()
    before = tape.op("Reshape", [given, add_constant(graph, "softmax_flat", np.array(flat, np.int64))])
    made = tape.op(node.op_type, [before], {"axis": 1})
    shaped = ir.val(old.name, old.dtype, old.shape)
    tape.op("Reshape", [made, add_constant(graph, "softmax_shape", np.array(shape, np.int64))], output=shaped)
    for value in (before, made):
        value.type, value.shape = old.type, ir.Shape(flat)
    graph.insert_before(node, list(tape.nodes))
    ir.convenience.replace_all_uses_with(old, shaped, replace_graph_outputs=True)
    graph.remove(node, safe=True)
    return True
