"""Stores in 8 bits what is quantized when the graph is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from edge_ad_export.passes.constants import read_array

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["StoredWeightsPass"]


class StoredWeightsPass(ir.passes.InPlacePass):
    """Requires nothing. Computes every ``QuantizeLinear`` of a constant. Ensures: the graph computes the same.

    NNCF leaves the weights of an ONNX graph in float with a quantizer behind them: the file would not be smaller.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        graph = model.graph
        modified = False
        for node in list(graph):
            stored = _stored(node) if node.op_type == "QuantizeLinear" else None
            if stored is None:
                continue
            output = node.outputs[0]
            value = ir.val(f"{output.name}_stored", const_value=ir.tensor(stored, name=f"{output.name}_stored"))
            graph.register_initializer(value)
            output.replace_all_uses_with(value)
            graph.remove(node, safe=True)
            modified = True
        return ir.passes.PassResult(model, modified)


def _stored(node: ir.Node) -> NDArray[Any] | None:
    """round(x / scale) + zero point, saturated; as the standard says, halves to even."""
    arrays = [None if value is None else read_array(value) for value in node.inputs]
    if len(arrays) != 3 or any(array is None for array in arrays):
        return None
    weights, scale, zero = arrays
    if weights is None or scale is None or zero is None:
        return None
    axis = node.attributes.get_int("axis", 1)
    shape = [1] * weights.ndim
    if scale.ndim and scale.size > 1:
        shape[axis] = scale.size
    limits = np.iinfo(zero.dtype)
    steps = np.rint(weights / scale.reshape(shape if scale.size > 1 else ())) + zero.reshape(
        shape if zero.size > 1 else ()
    )
    return np.asarray(np.clip(steps, limits.min, limits.max), zero.dtype)
