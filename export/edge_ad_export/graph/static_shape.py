"""Gives the input a fixed shape and infers all others from it anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx_ir as ir
import onnx_ir.passes.common as common_passes

from edge_ad_export.graph.embedded import infer_embedded
from edge_ad_export.graph.libraries import quiet_logs

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["StaticShapePass", "describe", "infer_shapes", "static_shape"]


class StaticShapePass(ir.passes.InPlacePass):
    """Requires: one input.

    Does: sets its shape and infers all others anew.

    Ensures: the input's shape is ``shape``; the other shapes follow from it as far as ONNX can tell. Those that depend
    on ``Shape`` nodes become known when :class:`~edge_ad_export.passes.SimplifyPass` folds these.
    """

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.shape = tuple(shape)

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        frame = model.graph.inputs[0]
        modified = static_shape(frame) != self.shape
        frame.shape = ir.Shape(self.shape)
        infer_shapes(model)
        return ir.passes.PassResult(model, modified)


def infer_shapes(model: ir.Model) -> None:
    """Works out the shapes of all computed values anew: those that a file carries hold for its own batch size.

    Raises:
        ModelError: an embedded OpenVINO model cannot take an input of the shape that reaches it.
    """
    for node in model.graph.all_nodes():
        for value in node.outputs:
            value.shape = None
    _infer(model)
    if infer_embedded(model):
        _infer(model)


def _infer(model: ir.Model) -> None:
    with quiet_logs("onnx_ir"):
        common_passes.ShapeInferencePass(strict_mode=False)(model)


def static_shape(value: ir.Value) -> tuple[int, ...] | None:
    """The value's shape, ``None`` where a dimension is not known."""
    if value.shape is None or not value.shape.is_static():
        return None
    return value.shape.numpy()


def describe(values: Sequence[ir.Value]) -> str:
    """``name float[1,3,256,256]``, one after the other."""
    return "; ".join(f"{v.name} {str(v.dtype).lower()}{'' if v.shape is None else v.shape}" for v in values)
