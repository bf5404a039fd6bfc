"""Adds nodes and constants to a graph, in operators that ONNX Runtime and OpenVINO both have from opset 11 on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import onnx_ir as ir

from edge_ad_export.graph.static_shape import static_shape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["OLDEST_OPSET", "GraphBuilder", "add_constant"]

OLDEST_OPSET = 11

# The opset from which on the axes of a reduction are an input; before it they are an attribute.
_AXES_INPUT_SINCE = {"ReduceSum": 13}
_AXES_INPUT_SINCE_OTHERS = 18


def add_constant(graph: ir.Graph, name: str, array: NDArray[Any] | np.generic) -> ir.Value:
    """A new initializer of the graph. ``name`` gets a number where it is taken."""
    free, count = name, 0
    while free in graph.initializers:
        count += 1
        free = f"{name}_{count}"
    value = ir.val(free, const_value=ir.tensor(np.ascontiguousarray(array), name=free))
    graph.register_initializer(value)
    return value


class GraphBuilder:
    """Makes nodes; constants become initializers of the graph at once.

    Without ``before`` every node is appended to the graph as it is made. With ``before`` the nodes are kept back until
    :meth:`commit` puts them in front of that node: a pattern that turns out not to fit leaves nothing behind but
    constants, which :class:`~edge_ad_export.passes.SimplifyPass` removes.

    Args:
        graph: what is added to.
        before: the node in front of which the new ones are put.
        prefix: what the name of every constant begins with.
    """

    def __init__(self, graph: ir.Graph, before: ir.Node | None = None, *, prefix: str = "") -> None:
        self._graph = graph
        self._before = before
        self._prefix = prefix
        self._tape = ir.tape.Tape(graph) if before is None else ir.tape.Tape()
        self._opset = graph.opset_imports.get("", 1)

    def commit(self) -> None:
        """Puts the nodes made so far in front of ``before``. Called once, and only where ``before`` was given."""
        if self._before is None:
            raise AssertionError("without `before`, nodes are in the graph already")
        self._graph.insert_before(self._before, self._tape.nodes)

    def op(
        self,
        operator: str,
        *inputs: ir.Value | None,
        shape: Sequence[int] | None = None,
        dtype: ir.DataType = ir.DataType.FLOAT,
        **attributes: Any,
    ) -> ir.Value:
        """The output of a node that has one. ``shape`` and ``dtype``: of the output; no shape leaves both open."""
        if shape is None:
            return self._tape.op(operator, inputs, attributes)
        output = ir.Value(type=ir.TensorType(dtype), shape=ir.Shape(shape))
        return self._tape.op(operator, inputs, attributes, output=output)

    def first_of(self, operator: str, outputs: int, *inputs: ir.Value, **attributes: Any) -> ir.Value:
        """The first output of a node that has several."""
        return self._tape.op_multi_out(operator, inputs, attributes, num_outputs=outputs)[0]

    def all_of(
        self, operator: str, outputs: Sequence[tuple[Sequence[int], ir.DataType]], *inputs: ir.Value, **attributes: Any
    ) -> Sequence[ir.Value]:
        """The outputs of a node that has several, each of this shape and type."""
        made = [ir.Value(type=ir.TensorType(dtype), shape=ir.Shape(shape)) for shape, dtype in outputs]
        return self._tape.op_multi_out(operator, inputs, attributes, outputs=made)

    def copy(self, node: ir.Node, inputs: Sequence[ir.Value | None], shape: Sequence[int]) -> ir.Value:
        """The same operator with the same attributes on other inputs; the output has this ``shape``."""
        output = ir.Value(type=node.outputs[0].type, shape=ir.Shape(shape))
        return self._tape.op(node.op_type, inputs, dict(node.attributes.items()), output=output)

    def constant(self, name: str, array: NDArray[Any] | np.generic) -> ir.Value:
        """A new initializer that holds the array."""
        return add_constant(self._graph, self._prefix + name, array)

    def number(self, name: str, value: float) -> ir.Value:
        """A new initializer that holds one float32."""
        return self.constant(name, np.float32(value))

    def reshape(self, value: ir.Value, shape: Sequence[int], dtype: ir.DataType | None = None) -> ir.Value:
        """The same numbers in another shape. ``dtype``: theirs, where ``value`` does not know it and it is no float."""
        target = self.constant("shape", np.array(shape, np.int64))
        known = dtype or value.dtype or ir.DataType.FLOAT
        return self.op("Reshape", value, target, shape=shape, dtype=known)

    def reduce(self, operator: str, value: ir.Value, axes: Sequence[int], *, keepdims: bool = True) -> ir.Value:
        """A reduction such as ``ReduceSum``, in the form of the graph's opset. ``axes`` count from the front."""
        shape = _reduced(static_shape(value), axes, keepdims=keepdims)
        if self._opset >= _AXES_INPUT_SINCE.get(operator, _AXES_INPUT_SINCE_OTHERS):
            given = self.constant("axes", np.array(axes, np.int64))
            return self.op(operator, value, given, shape=shape, keepdims=int(keepdims))
        return self.op(operator, value, shape=shape, axes=tuple(axes), keepdims=int(keepdims))

    def square(self, value: ir.Value) -> ir.Value:
        """The square of every element."""
        return self.op("Mul", value, value)

    def resize(self, value: ir.Value, shape: Sequence[int], mode: Literal["nearest", "linear"]) -> ir.Value:
        """To a shape of its own rank: ``linear`` with half-pixel centres, ``nearest`` as torch's interpolate."""
        attributes: dict[str, Any] = {"mode": mode, "coordinate_transformation_mode": "half_pixel"}
        if mode == "nearest":
            attributes |= {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        sizes = self.constant("size", np.array(shape, np.int64))
        unused = self.constant("unused", np.empty(0, np.float32))
        return self.op("Resize", value, unused, unused, sizes, **attributes)

    def multiply_axes(
        self, value: ir.Value, rows: NDArray[np.float32] | None, columns: NDArray[np.float32] | None
    ) -> ir.Value:
        """``rows @ map @ columns.T`` for every map of ``[..., h, w]``: any linear step that treats the axes apart.

        ``rows``: float32 ``(h', h)``; ``columns``: float32 ``(w', w)``; ``None`` leaves the axis as it is.
        """
        if rows is not None:
            value = self.op("MatMul", self.constant("rows", rows), value)
        if columns is not None:
            value = self.op("MatMul", value, self.constant("columns", columns.T))
        return value


def _reduced(shape: Sequence[int] | None, axes: Sequence[int], *, keepdims: bool) -> tuple[int, ...] | None:
    """The shape after a reduction, ``None`` where the shape before it is not known."""
    if shape is None:
        return None
    return tuple(1 if axis in axes else size for axis, size in enumerate(shape) if keepdims or axis not in axes)
