"""Chains of functions that keep the order of numbers: the smallest before is the smallest after."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_ad_export.passes.constants import read_scalar
from edge_ad_export.passes.match import made_by

if TYPE_CHECKING:
    import onnx_ir as ir

    from edge_ad_export.passes.match import Builder

__all__ = ["RisingChain", "rising_chain"]


@dataclass(frozen=True)
class RisingChain:
    """``nodes`` lead from ``start`` to the value that was asked for, element by element."""

    start: ir.Value
    nodes: tuple[ir.Node, ...]

    def apply(self, build: Builder, value: ir.Value, shape: tuple[int, ...]) -> ir.Value:
        """The same functions of another value."""
        before = self.start
        for node in self.nodes:
            inputs = [value if operand is before else operand for operand in node.inputs]
            value, before = build.copy(node, inputs, shape), node.outputs[0]
        return value


def rising_chain(value: ir.Value) -> RisingChain:
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
    return RisingChain(value, tuple(reversed(nodes)))
