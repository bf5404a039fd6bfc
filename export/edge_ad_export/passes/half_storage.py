"""Stores the large constants of a head in 16 bits."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as common_passes

from edge_ad_export.graph.builder import GraphBuilder
from edge_ad_export.graph.match import known_shape, read_array

__all__ = ["HalfStoragePass"]

# Smaller ones are not what a file's size is made of.
_ELEMENTS_MIN = 100_000


class HalfStoragePass(ir.passes.InPlacePass):
    """Requires: :class:`~edge_ad_export.passes.SimplifyPass` does not come after it, which would undo it.

    Does: stacks of matrices that are factors of a product, such as the whitening of a Gaussian at every position, are
    stored in float16 and cast to float32. Engines do so once, when they load the model.

    Ensures: half their size. Each number is rounded to 11 bits; a squared distance, a sum of many, moves by some 1e-4.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        modified = False
        for node in list(model.graph):
            stack = read_array(node.inputs[1]) if node.op_type == "MatMul" else None
            if stack is not None and stack.ndim == 3 and stack.size >= _ELEMENTS_MIN and _fits(stack):
                build = GraphBuilder(model.graph, node)
                half = build.constant("stack_half", stack.astype(np.float16))
                cast = build.op("Cast", half, shape=known_shape(half), to=ir.DataType.FLOAT)
                build.commit()
                node.replace_input_with(1, cast)
                modified = True
        if modified:
            common_passes.RemoveUnusedNodesPass()(model)
        return ir.passes.PassResult(model, modified)


def _fits(array: np.ndarray[tuple[int, ...], np.dtype[np.floating]]) -> bool:
    return array.dtype == np.float32 and bool(np.abs(array).max() < np.finfo(np.float16).max)
