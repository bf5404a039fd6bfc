"""Puts the way from camera pixels to the model's own input into the graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from edge_ad_export.passes.constants import add_constant

if TYPE_CHECKING:
    from edge_ad_export.imported import InputSpec

__all__ = ["FRAME", "FrontPass"]

FRAME = "frame"


class FrontPass(ir.passes.InPlacePass):
    """Requires: one input as ``spec`` describes it, for one image.

    Ensures: the input is ``frame``, uint8 ``[1, h, w, c]``, BGR or gray; layout, colour order, scale, mean and
    standard deviation are nodes. What moves data comes before the cast to float, while a pixel is one byte.
    """

    def __init__(self, spec: InputSpec) -> None:
        super().__init__()
        self.spec = spec

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        graph, spec = model.graph, self.spec
        old = graph.inputs[0]
        size = (1, spec.size.height, spec.size.width, spec.channels)
        old.name = f"{old.name}_model"  # it may be called frame too
        frame = ir.val(FRAME, ir.DataType.UINT8, size)
        tape = ir.tape.Tape()
        value = self._arithmetic(graph, tape, self._arrange(graph, tape, frame), old.dtype or ir.DataType.FLOAT)
        old.replace_all_uses_with(value)
        graph.inputs[0] = frame
        graph.insert_before(graph[0], tape.nodes)
        return ir.passes.PassResult(model, True)

    def _arrange(self, graph: ir.Graph, tape: ir.tape.Tape, value: ir.Value) -> ir.Value:
        """Layout and colour order."""
        nchw = self.spec.layout == "nchw"
        if nchw:
            value = tape.op("Transpose", [value], {"perm": (0, 3, 1, 2)})
        if self.spec.color == "rgb":
            order = add_constant(graph, "bgr_to_rgb", np.array([2, 1, 0]))
            value = tape.op("Gather", [value, order], {"axis": 1 if nchw else 3})
        return value

    def _arithmetic(self, graph: ir.Graph, tape: ir.tape.Tape, value: ir.Value, dtype: ir.DataType) -> ir.Value:
        """``(pixel / scale - mean) / std`` in float32, then the model's own type."""
        steps = (
            ("Div", "pixel_scale", (self.spec.scale,)),
            ("Sub", "mean", self.spec.mean),
            ("Div", "std", self.spec.std),
        )
        wanted = [step for step in steps if set(step[2]) != {0.0 if step[0] == "Sub" else 1.0}]
        if not wanted and dtype == ir.DataType.UINT8:
            return value
        value = tape.op("Cast", [value], {"to": ir.DataType.FLOAT})
        for operator, name, numbers in wanted:
            constant = add_constant(graph, name, self._per_channel(numbers))
            value = tape.op(operator, [value, constant])
        return value if dtype == ir.DataType.FLOAT else tape.op("Cast", [value], {"to": dtype})

    def _per_channel(self, numbers: tuple[float, ...]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        array = np.array(numbers, np.float32)
        if len(numbers) == 1:
            return array.reshape(())
        return array.reshape((-1, 1, 1) if self.spec.layout == "nchw" else (-1,))
