"""Adds a head's nodes to a graph, in operators that ONNX Runtime and OpenVINO both have from opset 11 on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import onnx_ir as ir

from edge_ad_export.graph.constants import add_constant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["OLDEST_OPSET", "GraphBuilder"]

OLDEST_OPSET = 11

# The opset from which on the axes are an input and no attribute.
_AXES_INPUT = {"ReduceSum": 13, "ReduceMean": 18, "ReduceMax": 18, "ReduceMin": 18, "ReduceSumSquare": 18}


class GraphBuilder:
    """Appends nodes to a graph; constants become its initializers."""

    def __init__(self, graph: ir.Graph) -> None:
        self._graph = graph
        self._tape = ir.tape.Tape(graph)
        self._opset = graph.opset_imports[""]

    def op(self, kind: str, *inputs: ir.Value | None, **attributes: Any) -> ir.Value:
        """A node with one output."""
        return self._tape.op(kind, list(inputs), attributes)

    def first_of(self, kind: str, outputs: int, *inputs: ir.Value, **attributes: Any) -> ir.Value:
        """The first output of a node with several."""
        return self._tape.op_multi_out(kind, list(inputs), attributes, num_outputs=outputs)[0]

    def constant(self, name: str, array: NDArray[Any] | np.generic) -> ir.Value:
        return add_constant(self._graph, f"head_{name}", array)

    def number(self, name: str, value: float) -> ir.Value:
        return self.constant(name, np.float32(value))

    def reshape(self, value: ir.Value, *shape: int) -> ir.Value:
        return self.op("Reshape", value, self.constant("shape", np.array(shape, np.int64)))

    def reduce(self, kind: str, value: ir.Value, axes: Sequence[int], *, keepdims: bool = True) -> ir.Value:
        """``ReduceSum`` and its kin, whichever way the graph's opset takes the axes."""
        if self._opset >= _AXES_INPUT[kind]:
            return self.op(kind, value, self.constant("axes", np.array(axes, np.int64)), keepdims=int(keepdims))
        return self.op(kind, value, axes=list(axes), keepdims=int(keepdims))

    def square(self, value: ir.Value) -> ir.Value:
        return self.op("Mul", value, value)

    def resize(self, value: ir.Value, shape: Sequence[int], mode: Literal["nearest", "linear"]) -> ir.Value:
        """To a shape of its own rank: ``linear`` with half-pixel centres, ``nearest`` as torch's interpolate."""
        attributes: dict[str, Any] = {"mode": mode, "coordinate_transformation_mode": "half_pixel"}
        if mode == "nearest":
            attributes |= {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        sizes = self.constant("size", np.array(shape, np.int64))
        unused = self.constant("unused", np.empty(0, np.float32))
        return self.op("Resize", value, unused, unused, sizes, **attributes)

    def along_planes(
        self, value: ir.Value, rows: NDArray[np.float32] | None, columns: NDArray[np.float32] | None
    ) -> ir.Value:
        """``rows @ plane @ columns.T`` for every plane of ``[..., h, w]``: any separable linear map of a picture."""
        if rows is not None:
            value = self.op("MatMul", self.constant("rows", rows), value)
        if columns is not None:
            value = self.op("MatMul", value, self.constant("columns", columns.T))
        return value
