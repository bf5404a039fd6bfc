"""Folds constants, removes what does nothing and shares what is computed twice."""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as common_passes
from onnxscript import optimizer

from edge_ad_export.graph.builder import add_constant
from edge_ad_export.graph.engine_shapes import mend_sequences
from edge_ad_export.graph.libraries import quiet_logs
from edge_ad_export.graph.optimizer_rules import index_optimizer_rules
from edge_ad_export.graph.static_shape import static_shape

__all__ = ["SimplifyPass"]

# Larger results are computed by the engine when it loads the model: the file need not carry them.
_STORED_ELEMENTS = 16_384
_UNLIMITED = 2**62
_ROUNDS = 6
# The opsets in which Split got its sizes as an input, and their number as an attribute.
_SPLIT_INPUT, _SPLIT_COUNTS = 13, 18


class SimplifyPass(ir.passes.InPlacePass):
    """Requires: nothing; it folds more where shapes are static.

    Does: folds a constant expression when what remains of it is small, whatever it is made from: the row norms of a
    memory bank are stored, a second, transposed copy of the bank is not.

    Ensures: the same outputs from fewer nodes; constants are initializers; every node has its own name.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        before = [node.op_type for node in model.graph]
        index_optimizer_rules()
        with quiet_logs("onnx_ir", "onnxscript"):
            optimizer.optimize_ir(
                model,
                num_iterations=_ROUNDS,
                input_size_limit=_UNLIMITED,
                output_size_limit=_UNLIMITED,
                should_fold=_should_fold,
            )
            _register_initializers(model.graph)
            common_passes.ClearMetadataAndDocStringPass()(model)
            common_passes.TopologicalSortPass()(model)
        mend_sequences(model)
        _split_as_before_opset_18(model.graph)
        return ir.passes.PassResult(model, [node.op_type for node in model.graph] != before)


def _split_as_before_opset_18(graph: ir.Graph) -> None:
    """The optimizer gives ``Split`` an attribute that came with opset 18; before that, sizes say the same."""
    opset = graph.opset_imports.get("", 1)
    for node in graph:
        if opset >= _SPLIT_COUNTS or node.op_type != "Split" or "num_outputs" not in node.attributes:
            continue
        count = node.attributes.pop("num_outputs").as_int()
        shape = None if node.inputs[0] is None else static_shape(node.inputs[0])
        if shape is None:
            continue
        size = shape[node.attributes.get_int("axis", 0)]
        each = -(-size // count)
        sizes = np.array([*[each] * (count - 1), size - each * (count - 1)], np.int64)
        if opset >= _SPLIT_INPUT:
            node.resize_inputs(2)
            node.replace_input_with(1, add_constant(graph, "split_sizes", sizes))
        else:
            node.attributes["split"] = ir.AttrInt64s("split", sizes.tolist())


def _register_initializers(graph: ir.Graph) -> None:
    """The optimizer's rules lose a new constant whose name an earlier run has used up."""
    taken = (value for node in graph for value in node.inputs if value is not None and value.const_value is not None)
    for value in taken:
        if value.producer() is None and graph.initializers.get(str(value.name)) is not value:
            graph.register_initializer(value)


def _should_fold(node: ir.Node) -> bool | None:
    if any("Quantize" in name for name in (node.op_type, *(user.op_type for user in node.successors()))):
        return None  # the library's own rule: quantization stays visible
    return all(_ends_small(value) for value in node.outputs) or _replaces_its_input(node)


def _ends_small(value: ir.Value) -> bool:
    """Whether the value is small, or is used up by constant expressions that end small."""
    shape = static_shape(value)
    if shape is not None and math.prod(shape) <= _STORED_ELEMENTS:
        return True
    users = [use.node for use in value.uses()]
    return bool(users) and not value.is_graph_output() and all(_is_constant_but_for(value, user) for user in users)


def _is_constant_but_for(value: ir.Value, node: ir.Node) -> bool:
    others = (i for i in node.inputs if i is not None and i is not value)
    constant = all(ir.convenience.get_const_tensor(other) is not None for other in others)
    return constant and all(_ends_small(output) for output in node.outputs)


def _replaces_its_input(node: ir.Node) -> bool:
    """Whether the result takes the place of a constant of its size that nothing else uses."""
    freed = sum(i.const_value.size for i in node.inputs if i is not None and i.const_value and len(i.uses()) == 1)
    shapes = [static_shape(value) for value in node.outputs]
    return all(shape is not None and math.prod(shape) <= freed for shape in shapes)
