"""Reading and writing patterns of nodes, for the passes that replace one arithmetic by a cheaper one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from edge_ad_export.graph.constants import add_constant, read_array
from edge_ad_export.graph.static_shape import static_shape

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Builder", "behind_views", "known_shape", "made_by", "reduced_axes", "used_once"]

# Operators that give the same numbers in the same order another shape.
_VIEWS = {"Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"}
# The opset in which a reduction's axes became an input.
_AXES_INPUT_SINCE = {"ReduceSum": 13}
_AXES_INPUT_SINCE_OTHERS = 18


class Builder:
    """Makes nodes just before an existing one; every value knows its shape.

    The nodes join the graph with :meth:`commit`: a pattern that turns out not to fit leaves nothing behind but
    constants, which :class:`~edge_ad_export.passes.SimplifyPass` removes.
    """

    def __init__(self, graph: ir.Graph, before: ir.Node) -> None:
        self.graph = graph
        self.before = before
        self._tape = ir.tape.Tape()
        self._opset = graph.opset_imports.get("", 1)

    def op(
        self,
        operator: str,
        inputs: Sequence[ir.Value | None],
        shape: Sequence[int],
        attributes: Mapping[str, int | float | str | Sequence[int]] | None = None,
        dtype: ir.DataType = ir.DataType.FLOAT,
    ) -> ir.Value:
        """A node with one output of this shape."""
        output = ir.Value(type=ir.TensorType(dtype), shape=ir.Shape(shape))
        return self._tape.op(operator, inputs, attributes, output=output)

    def copy(self, node: ir.Node, inputs: Sequence[ir.Value | None], shape: Sequence[int]) -> ir.Value:
        """The same operator with the same attributes on other inputs."""
        output = ir.Value(type=node.outputs[0].type, shape=ir.Shape(shape))
        return self._tape.op(node.op_type, inputs, dict(node.attributes.items()), output=output)

    def constant(self, name: str, array: np.ndarray[tuple[int, ...], np.dtype[np.generic]] | np.generic) -> ir.Value:
        return add_constant(self.graph, name, array)

    def reshape(self, value: ir.Value, shape: Sequence[int]) -> ir.Value:
        target = self.constant("shape", np.array(shape, np.int64))
        return self.op("Reshape", [value, target], shape, dtype=value.dtype or ir.DataType.FLOAT)

    def reduce(self, operator: str, value: ir.Value, axis: int, *, keepdims: bool = False) -> ir.Value:
        """A reduction over one axis, in the form of the graph's opset. ``axis`` counts from the front."""
        dims = list(known_shape(value))
        dims[axis : axis + 1] = [1] if keepdims else []
        inputs: list[ir.Value | None] = [value]
        attributes: dict[str, int | Sequence[int]] = {"keepdims": int(keepdims)}
        if self._opset >= _AXES_INPUT_SINCE.get(operator, _AXES_INPUT_SINCE_OTHERS):
            inputs.append(self.constant("axes", np.array([axis], np.int64)))
        else:
            attributes["axes"] = (axis,)
        return self.op(operator, inputs, dims, attributes)

    def commit(self) -> None:
        self.graph.insert_before(self.before, self._tape.nodes)


def known_shape(value: ir.Value | None) -> tuple[int, ...]:
    """The shape of a value that was recognised before, when it was seen to be static."""
    shape = None if value is None else static_shape(value)
    if shape is None:
        raise AssertionError("only values of static shape are recognised")
    return shape


def made_by(value: ir.Value | None, *operators: str) -> ir.Node | None:
    """The node that makes the value, if it is one of these."""
    node = None if value is None else value.producer()
    return node if node is not None and node.op_type in operators and node.domain == "" else None


def behind_views(value: ir.Value, until: ir.Value | None = None) -> ir.Value:
    """The value before it was only given another shape, looking no further than ``until``."""
    node = made_by(value, *_VIEWS)
    while node is not None and node.inputs[0] is not None and value is not until:
        value = node.inputs[0]
        node = made_by(value, *_VIEWS)
    return value


def used_once(value: ir.Value) -> bool:
    """Whether one node takes the value and it is no output."""
    return len(value.uses()) == 1 and not value.is_graph_output()


def reduced_axes(node: ir.Node) -> tuple[int, ...] | None:
    """The axes of a reduction, counted from the front; ``None`` where they are not known."""
    shape = static_shape(node.inputs[0]) if node.inputs[0] is not None else None
    if shape is None:
        return None
    if node.op_type in ("ArgMax", "ArgMin", "TopK"):
        default = -1 if node.op_type == "TopK" else 0
        return (node.attributes.get_int("axis", default) % len(shape),)
    axes: Sequence[int] | None = None
    if "axes" in node.attributes:
        axes = node.attributes["axes"].as_ints()
    elif len(node.inputs) > 1 and node.inputs[1] is not None:
        array = read_array(node.inputs[1])
        if array is None:
            return None
        axes = [int(axis) for axis in array]
    return tuple(range(len(shape))) if not axes else tuple(sorted(axis % len(shape) for axis in axes))
