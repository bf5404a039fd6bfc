"""Feeds one image to a graph that insists on a batch of several."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edge_ad_export.passes.constants import add_constant
from edge_ad_export.passes.static_shape import StaticShapePass, static_shape

__all__ = ["RepeatPass"]


class RepeatPass(ir.passes.InPlacePass):
    """Requires: a static batch in the first dimension of the one input and of every output.

    Ensures: the input takes one image, which the batch repeats; the outputs are those of the first. It costs the
    time of the whole batch: :class:`~edge_ad_export.passes.RebatchPass` comes first.
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
