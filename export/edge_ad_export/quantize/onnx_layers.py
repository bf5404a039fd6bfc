"""Puts layers of a quantized ONNX graph back to float."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

import onnx_ir as ir
import onnx_ir.passes.common as common_passes

from edge_ad_export.passes.constants import add_constant, read_array
from edge_ad_export.quantize.onnx_ops import onnx_ops
from edge_ad_export.quantize.priority import in_priority
from edge_ad_export.quantize.stored_weights import StoredWeightsPass

if TYPE_CHECKING:
    from collections.abc import MutableMapping

__all__ = ["OnnxInt8"]


class OnnxInt8:
    """A :class:`~edge_ad_export.quantize.quantized.Quantized` graph in the QDQ form.

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
