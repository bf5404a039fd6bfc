"""Chains of nodes that several passes look for.

Functions that keep the order of numbers (the smallest before is the smallest after), and one row taken of a matrix.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edge_ad_export.graph.match import behind_reshapes, made_by, read_array, read_scalar
from edge_ad_export.graph.static_shape import static_shape

if TYPE_CHECKING:
    import onnx_ir as ir

    from edge_ad_export.graph.builder import GraphBuilder

__all__ = ["GatheredRows", "MonotonicChain", "gathered_rows", "monotonic_chain"]


@dataclass(frozen=True)
class MonotonicChain:
    """``nodes`` lead from ``start`` to the value that was asked for, element by element."""

    start: ir.Value
    nodes: tuple[ir.Node, ...]

    def apply(self, build: GraphBuilder, value: ir.Value, shape: tuple[int, ...]) -> ir.Value:
        """The same functions of another value."""
        before = self.start
        for node in self.nodes:
            inputs = [value if operand is before else operand for operand in node.inputs]
            value, before = build.copy(node, inputs, shape), node.outputs[0]
        return value


def monotonic_chain(value: ir.Value) -> MonotonicChain:
    """As far back as roots, clamps and maxima with constants go."""
    nodes: list[ir.Node] = []
    node = made_by(value, "Clip", "Max", "Min", "Relu", "Sqrt")
    while node is not None:
        operands = [operand for operand in node.inputs if operand is not None and read_scalar(operand) is None]
        if len(operands) != 1:
            break
        nodes.append(node)
        value = operands[0]
        node = made_by(value, "Clip", "Max", "Min", "Relu", "Sqrt")
    return MonotonicChain(value, tuple(reversed(nodes)))


@dataclass(frozen=True)
class GatheredRows:
    """``source[index]`` along the first dimension, whatever shapes the two were given on the way."""

    source: ir.Value
    index: ir.Value


def gathered_rows(value: ir.Value, source: ir.Value | None = None) -> GatheredRows | None:
    """Which rows of which matrix the value holds, ``None`` where it holds something else.

    ``source``: the matrix that is meant; the one behind all reshapes otherwise.

    A ``Gather`` or ``GatherND``, seen through reshapes on all sides: exporters put dimensions of a batch of one
    around them, and constant zeros for it into the indices.
    """
    node = made_by(behind_reshapes(value), "Gather", "GatherND")
    data = None if node is None else node.inputs[0]
    if node is None or data is None or node.inputs[1] is None:
        return None
    index = _behind_batch(node.inputs[1])
    source = behind_reshapes(data, source)
    viewed, shape = static_shape(data), static_shape(source)
    taken, count = static_shape(value), static_shape(index)
    if index is None or viewed is None or shape is None or taken is None or count is None:
        return None
    row = int(np.prod(shape[1:]))
    depth = _depth(node)
    # The dimension that is indexed is the matrix's first, and those before it are a batch of one.
    if depth is None or set(viewed[:depth]) - {1} or viewed[depth] != shape[0]:
        return None
    return GatheredRows(source, index) if int(np.prod(taken)) == row * int(np.prod(count)) else None


def _depth(node: ir.Node) -> int | None:
    """Which dimension is indexed, where all before it are indexed by zeros."""
    if node.op_type == "Gather":
        return 0 if node.attributes.get_int("axis", 0) == 0 else None
    indices = static_shape(node.inputs[1]) if node.inputs[1] is not None else None
    return None if indices is None or node.attributes.get_int("batch_dims", 0) != 0 else indices[-1] - 1


def _behind_batch(value: ir.Value) -> ir.Value:
    """The indices without the zeros for a batch of one."""
    value = behind_reshapes(value)
    concat, add = made_by(value, "Concat"), made_by(value, "Add")
    if concat is not None and all(_is_zero(part) for part in concat.inputs[:-1]) and concat.inputs[-1] is not None:
        return _behind_batch(concat.inputs[-1])
    if add is not None:
        for zero, other in (add.inputs, reversed(add.inputs)):
            if _is_zero(zero) and other is not None:
                return _behind_batch(other)
    return value


def _is_zero(value: ir.Value | None) -> bool:
    array = read_array(value)
    return array is not None and not array.any()
