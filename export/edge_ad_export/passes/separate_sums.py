"""Takes sums with computed values out of Gemm, which NNCF takes for biases that it cannot read."""

from __future__ import annotations

import onnx_ir as ir

from edge_ad_export.graph.match import read_array

__all__ = ["SeparateSumsPass"]


class SeparateSumsPass(ir.passes.InPlacePass):
    """Requires: nothing.

    Does: a Gemm whose third input is no constant becomes a Gemm of two inputs, which keeps its name, and an Add.

    Ensures: the same numbers but for rounding, and that what a Gemm adds is a constant.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        modified = False
        for node in list(model.graph):
            if _adds_what_is_computed(node):
                _separate(model.graph, node)
                modified = True
        return ir.passes.PassResult(model, modified)


def _adds_what_is_computed(node: ir.Node) -> bool:
    if node.op_type != "Gemm" or len(node.inputs) < 3 or node.attributes.get_float("beta", 1.0) != 1.0:
        return False
    added = node.inputs[2]
    return added is not None and read_array(added) is None


def _separate(graph: ir.Graph, node: ir.Node) -> None:
    old, added = node.outputs[0], node.inputs[2]
    tape = ir.tape.Tape()
    total = ir.val(old.name, old.dtype, old.shape)
    tape.op("Add", [old, added], output=total)
    for addition in tape.nodes:
        addition.name = f"{node.name}_sum"
    graph.insert_after(node, list(tape.nodes))
    ir.convenience.replace_all_uses_with(old, total, replace_graph_outputs=True)
    next(iter(tape.nodes)).replace_input_with(0, old)
    old.name = f"{old.name}_product"
    node.resize_inputs(2)
