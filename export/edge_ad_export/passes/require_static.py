"""Refuses what would make a graph's work depend on the image."""

from __future__ import annotations

import onnx_ir as ir

from edge_ad.errors import ModelError
from edge_ad_export.embedded import embedded_model, find_embedded

__all__ = ["RequireStaticPass"]

_ONNX = {"If", "Loop", "Scan"}
_OPENVINO = {"If", "Loop", "TensorIterator"}


class RequireStaticPass(ir.passes.InPlacePass):
    """Requires: constants are folded, so that branches decided at export are gone. Changes nothing.

    Raises:
        ModelError: branches or loops are left. Their latency cannot be promised and quantization does not see
            into them.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        found = [f"{node.op_type} {node.name}" for node in model.graph if node.op_type in _ONNX]
        embedded = find_embedded(model)
        if embedded is not None:
            ops = embedded_model(embedded).get_ops()
            found += [f"{op.get_type_name()} {op.get_friendly_name()}" for op in ops if op.get_type_name() in _OPENVINO]
        if found:
            raise ModelError(
                f"the graph has dynamic control flow ({', '.join(found)}): export the model for a fixed input size "
                "and unroll its loops, or name outputs before them with --score-output and --map-output"
            )
        return ir.passes.PassResult(model, False)
