"""Puts the preprocessing of camera pixels, or of a clip of them, into the graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from edge_ad_export.graph.builder import add_constant
from edge_ad_export.model.clip_spec import ORDERS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge_ad_export.model.clip_spec import ClipSpec
    from edge_ad_export.model.input_spec import InputSpec

__all__ = ["FRAME", "ClipInputPass", "ClipPreprocessingPass", "PreprocessingPass"]


FRAME = "frame"


class PreprocessingPass(ir.passes.InPlacePass):
    """Requires: one input as ``spec`` describes it, for one image.

    Does: makes layout, colour order, scale, mean and standard deviation nodes of the graph. What moves data comes
    before the cast to float, while a pixel is one byte.

    Ensures: the input is ``frame``, uint8 ``[1, h, w, c]``, BGR or gray.
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


class ClipInputPass(ir.passes.InPlacePass):
    """Requires: one input, a clip in the model's own order.

    Does: takes the samples that the model sees out of the whole clip and brings them into its order. It comes before
    the head, which may compare with a frame that the model does not see.

    Ensures: the input is the bundle's clip in the model's values, float32 ``[1, length, channels, h, w]``, or vectors
    ``[1, length, size]``.
    """

    def __init__(self, spec: InputSpec, clip: ClipSpec) -> None:
        super().__init__()
        self.spec, self.clip = spec, clip

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        graph, clip, size = model.graph, self.clip, self.spec.size
        old = graph.inputs[0]
        old.name = f"{old.name}_model"
        shape: tuple[int, ...] = (1, clip.length, clip.channels, size.height, size.width)
        if clip.order == "vectors":
            shape = (1, clip.length, size.width)
        samples = ir.val("clip_samples", ir.DataType.FLOAT, shape)
        tape = ir.tape.Tape()
        value = self._arranged(graph, tape, samples, (old.shape or ir.Shape(())).numpy())
        if old.dtype not in (None, ir.DataType.FLOAT):
            value = tape.op("Cast", [value], {"to": old.dtype})
        value = value if tape.nodes else tape.op("Identity", [value])
        old.replace_all_uses_with(value)
        graph.inputs[0] = samples
        graph.insert_before(graph[0], tape.nodes)
        return ir.passes.PassResult(model, True)

    def _arranged(self, graph: ir.Graph, tape: ir.tape.Tape, value: ir.Value, shape: tuple[int, ...]) -> ir.Value:
        clip = self.clip
        if clip.taken < clip.length:
            bounds = [add_constant(graph, f"taken_{i}", np.array([n])) for i, n in enumerate((0, clip.taken, 1))]
            value = tape.op("Slice", [value, *bounds])
        if clip.order == "stacked":
            return tape.op("Reshape", [value, add_constant(graph, "stacked_shape", np.array(shape))])
        order = ORDERS[clip.order]
        return value if order == tuple(sorted(order)) else tape.op("Transpose", [value], {"perm": order})


class ClipPreprocessingPass(ir.passes.InPlacePass):
    """Requires: one input, float32 ``[1, length, channels, h, w]`` as :class:`ClipInputPass` leaves it.

    Does: makes layout, colour order, scale, mean and standard deviation of frames nodes of the graph.

    Ensures: the input is what the contract says: ``frame``, uint8 ``[1, t, h, w, c]``, BGR or gray; ``flow``, float32
    ``[1, t, h, w, 2]``; or ``features``, float32 ``[1, t, size]``.
    """

    def __init__(self, spec: InputSpec, clip: ClipSpec) -> None:
        super().__init__()
        self.spec, self.clip = spec, clip

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        graph, clip, size = model.graph, self.clip, self.spec.size
        old = graph.inputs[0]
        if clip.order == "vectors":
            old.name = clip.input
            return ir.passes.PassResult(model, True)
        dtype = ir.DataType.UINT8 if clip.input == "frame" else ir.DataType.FLOAT
        entry = ir.val(clip.input, dtype, clip.entry_shape(size.height, size.width))
        tape = ir.tape.Tape()
        value = tape.op("Transpose", [entry], {"perm": (0, 1, 4, 2, 3)})
        if clip.input == "frame":
            value = self._arithmetic(graph, tape, value)
        old.replace_all_uses_with(value)
        graph.inputs[0] = entry
        graph.insert_before(graph[0], tape.nodes)
        return ir.passes.PassResult(model, True)

    def _arithmetic(self, graph: ir.Graph, tape: ir.tape.Tape, value: ir.Value) -> ir.Value:
        """Colour order, then ``(pixel / scale - mean) / std`` in float32."""
        spec = self.spec
        if spec.color == "rgb":
            value = tape.op("Gather", [value, add_constant(graph, "bgr_to_rgb", np.array([2, 1, 0]))], {"axis": 2})
        value = tape.op("Cast", [value], {"to": ir.DataType.FLOAT})
        factor = 1 / (np.array(spec.std, np.float64) * spec.scale)
        offset = -np.array(spec.mean, np.float64) / np.array(spec.std, np.float64)
        value = tape.op("Mul", [value, self._constant(graph, "pixel_factor", factor)])
        return tape.op("Add", [value, self._constant(graph, "pixel_offset", offset)]) if offset.any() else value

    def _constant(self, graph: ir.Graph, name: str, numbers: NDArray[np.float64]) -> ir.Value:
        return add_constant(graph, name, numbers.astype(np.float32).reshape(-1, 1, 1))
