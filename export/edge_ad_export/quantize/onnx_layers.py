"""An ONNX graph as operations, and its quantized layers put back to float."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as common_passes

from edge_ad_export.graph.backbone import Op, is_heavy
from edge_ad_export.graph.builder import add_constant
from edge_ad_export.graph.match import read_array
from edge_ad_export.quantize.int8_graph import in_priority

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from numpy.typing import NDArray

__all__ = ["OnnxInt8", "StoredWeightsPass", "onnx_ops"]


class OnnxInt8:
    """A :class:`~edge_ad_export.quantize.int8_graph.Quantized` graph in the QDQ form.

    Args:
        original: the float graph that ``quantized`` was made of; both have the same names but for what was added.
    """

    def __init__(self, original: ir.Model, quantized: ir.Model) -> None:
        self._original = {str(node.name): node for node in original.graph}
        StoredWeightsPass()(quantized)
        self._quantized = quantized
        dequantized = {str(node.name) for node in quantized.graph if _is_quantized(node)}
        self.layers = in_priority([op for op in onnx_ops(original.graph) if op.name in dequantized])

    def save(self, path: Path, floats: Collection[str] = ()) -> None:
        """Writes the model, the layers ``floats`` in float."""
        model = self._quantized.clone()
        known = ir.convenience.create_value_mapping(model.graph)
        for node in list(model.graph):
            if node.name in floats:
                self._restore(node, known)
        common_passes.RemoveUnusedNodesPass()(model)
        common_passes.TopologicalSortPass()(model)
        ir.save(model, path)

    def _restore(self, node: ir.Node, known: MutableMapping[str, ir.Value]) -> None:
        """A float layer reads what it reads in the original: the tensors before they were quantized."""
        for index, value in enumerate(self._original[str(node.name)].inputs):
            if value is not None:
                node.replace_input_with(index, _original_value(value, node, known))


def _is_quantized(node: ir.Node) -> bool:
    producers = (value.producer() for value in node.inputs if value is not None)
    return any(producer is not None and producer.op_type == "DequantizeLinear" for producer in producers)


def _original_value(value: ir.Value, user: ir.Node, known: MutableMapping[str, ir.Value]) -> ir.Value:
    """The value of this name in the quantized graph; weights that are there in 8 bits only are added again."""
    name, array = str(value.name), read_array(value)
    if array is not None and user.graph is not None:
        # A quantizer may have corrected a bias under its old name.
        name = f"{name}_float"
        if name not in known:
            known[name] = add_constant(user.graph, name, array)
    return known[name]


_CONVOLUTIONS = {"Conv", "ConvTranspose"}
_PRODUCTS = {"Gemm", "MatMul"}


def onnx_ops(graph: ir.Graph) -> tuple[Op, ...]:
    """The nodes in the order of execution; requires that every node has its own name."""
    return tuple(_op(node) for node in graph)


def _op(node: ir.Node) -> Op:
    sources = (value.producer() for value in node.inputs if value is not None)
    feeds = tuple(str(source.name) for source in sources if source is not None)
    factor = _weights(node) if node.op_type in _PRODUCTS else None
    return Op(str(node.name), feeds, _kernel(node), factor is not None, factor is not None and is_heavy(factor))


def _kernel(node: ir.Node) -> NDArray[np.floating] | None:
    weights = _weights(node) if node.op_type in _CONVOLUTIONS else None
    # ConvTranspose keeps its input channels first.
    return weights.swapaxes(0, 1) if weights is not None and node.op_type == "ConvTranspose" else weights


def _weights(node: ir.Node) -> NDArray[np.floating] | None:
    return read_array(node.inputs[1]) if len(node.inputs) > 1 else None


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
