"""Removes multiplications by one and additions of zero."""

from __future__ import annotations

import onnx_ir as ir

from edge_ad_export.graph.match import made_by, read_array, read_scalar
from edge_ad_export.graph.static_shape import static_shape

__all__ = ["NeutralPass"]

_NEUTRAL = {"Add": 0.0, "Mul": 1.0}


class NeutralPass(ir.passes.InPlacePass):
    """Requires: static shapes.

    Does: a product with ones, or a sum with zeros, is its other operand, where that has the result's shape. The
    constant may be filled by an ``Expand`` that :class:`~edge_ad_export.passes.SimplifyPass` does not store.

    Ensures: the very same numbers.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        modified = False
        for node in list(model.graph):
            kept = _kept(node)
            if kept is not None:
                ir.convenience.replace_all_uses_with(node.outputs[0], kept)
                modified = True
        return ir.passes.PassResult(model, modified)


def _kept(node: ir.Node) -> ir.Value | None:
    """The operand that the node's result is equal to."""
    neutral, shape = _NEUTRAL.get(node.op_type), static_shape(node.outputs[0])
    if neutral is None or shape is None or node.outputs[0].is_graph_output():
        return None
    for value, other in (node.inputs, reversed(node.inputs)):
        if value is not None and static_shape(value) == shape and _filled_with(other) == neutral:
            return value
    return None


def _filled_with(value: ir.Value | None) -> float | None:
    """The number that all elements of a constant are."""
    expand = made_by(value, "Expand")
    if expand is not None:
        return read_scalar(expand.inputs[0])
    array = read_array(value)
    same = array is not None and array.size > 0 and bool((array == array.flat[0]).all())
    return float(array.flat[0]) if array is not None and same else None
