"""Puts a head behind the graph of the model that it reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx_ir as ir

from edge_ad.errors import ModelError
from edge_ad_export.graph.builder import OLDEST_OPSET, GraphBuilder
from edge_ad_export.graph.static_shape import update_shapes
from edge_ad_export.model.head import HeadInputs

if TYPE_CHECKING:
    from edge_ad_export.model.head import Head

__all__ = ["HeadPass"]


class HeadPass(ir.passes.InPlacePass):
    """Requires: the outputs are the values named by the head's ``inputs``, for one image, and the one input is the
    model's own.

    Does: adds the head's nodes, all in float32. It comes before the preprocessing is put in, so that a head which
    compares with the input image sees it as the model does.

    Ensures: the outputs are what the head's ``roles`` say, with inferred shapes.

    Raises:
        ModelError: the graph is written in an operator set that is too old.
    """

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.head = head

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        graph = model.graph
        opset = graph.opset_imports.get("", 0)
        if opset < OLDEST_OPSET:
            raise ModelError(
                f"a head takes an ONNX file of opset {OLDEST_OPSET} or newer, found {opset}: export the model again"
            )
        builder = GraphBuilder(graph, prefix="head_")
        values = [_float(builder, value) for value in graph.outputs]
        built = self.head.build(builder, HeadInputs(values, _float(builder, graph.inputs[0])))
        graph.outputs[:] = [built.score] if built.map is None else [built.score, built.map]
        update_shapes(model)
        return ir.passes.PassResult(model, True)


def _float(builder: GraphBuilder, value: ir.Value) -> ir.Value:
    if value.dtype == ir.DataType.FLOAT:
        return value
    return builder.op("Cast", value, to=ir.DataType.FLOAT)
