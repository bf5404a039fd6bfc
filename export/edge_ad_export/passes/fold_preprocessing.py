"""Lets the first convolutions do the arithmetic of the preprocessing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from edge_ad_export.graph.builder import GraphBuilder
from edge_ad_export.graph.match import known_shape, read_array
from edge_ad_export.graph.static_shape import static_shape

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["FoldPreprocessingPass"]


@dataclass(frozen=True)
class _Steps:
    """``result[:, i] = scale[i] * pixels[:, order[i]] + shift[i]``, ``pixels`` being uint8 ``[1, c, h, w]``."""

    pixels: ir.Value
    result: ir.Value
    order: NDArray[np.int64]
    scale: NDArray[np.float64]
    shift: NDArray[np.float64]


class FoldPreprocessingPass(ir.passes.InPlacePass):
    """Requires: nodes as :class:`~edge_ad_export.passes.PreprocessingPass` makes them, channels first, folded
    constants.

    Does: where convolutions alone take what these nodes make, colour order and scale go into their weights. The
    shift goes into their bias where they have no zero padding; a padded pixel is zero after the shift, so that
    elsewhere one subtraction, in pixel units, is kept.

    Ensures: the same sums up to rounding.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        steps = _find(model.graph)
        users = [] if steps is None else [use.node for use in steps.result.uses()]
        if steps is None or not users or not all(_takes(node, steps.result) for node in users):
            return ir.passes.PassResult(model, False)
        _fold(model.graph, steps, users)
        return ir.passes.PassResult(model, True)


def _find(graph: ir.Graph) -> _Steps | None:
    """Follows the frame through what has one user each, as far as it is colour order and arithmetic a channel."""
    frame = graph.inputs[0]
    node = _only_user(frame)
    if node is None or node.op_type != "Transpose" or frame.dtype != ir.DataType.UINT8:
        return None
    pixels = node.outputs[0]
    shape = static_shape(pixels)
    if shape is None or len(shape) != 4:
        return None
    steps: _Steps | None = _Steps(pixels, pixels, np.arange(shape[1]), np.ones(shape[1]), np.zeros(shape[1]))
    found = None
    while steps is not None:
        found, node = steps, _only_user(steps.result)
        steps = None if node is None else _step(steps, node)
    return found if found is not None and found.result is not pixels else None


def _only_user(value: ir.Value) -> ir.Node | None:
    uses = list(value.uses())
    return uses[0].node if len(uses) == 1 and not value.is_graph_output() else None


def _step(steps: _Steps, node: ir.Node) -> _Steps | None:
    """The steps with this node behind them, ``None`` where the node is of another kind."""
    result = node.outputs[0]
    if node.op_type == "Cast":
        return replace(steps, result=result) if result.dtype == ir.DataType.FLOAT else None
    number = read_array(node.inputs[1]) if len(node.inputs) == 2 else None
    if number is None:
        return None
    if node.op_type == "Gather":
        sorts = node.attributes.get_int("axis", 0) == 1 and number.ndim == 1 and bool(np.all(steps.scale == 1))
        return replace(steps, result=result, order=steps.order[number]) if sorts else None
    return _arithmetic(steps, node, number)


def _arithmetic(steps: _Steps, node: ir.Node, number: NDArray[np.floating]) -> _Steps | None:
    result = node.outputs[0]
    if node.op_type not in ("Add", "Div", "Mul", "Sub") or not _is_per_channel(number, len(steps.order)):
        return None
    operand = np.broadcast_to(number.astype(np.float64).ravel(), steps.order.shape)
    if node.op_type in ("Add", "Sub"):
        return replace(steps, result=result, shift=steps.shift + (operand if node.op_type == "Add" else -operand))
    factor = operand if node.op_type == "Mul" else 1 / operand
    return replace(steps, result=result, scale=steps.scale * factor, shift=steps.shift * factor)


def _is_per_channel(number: NDArray[np.floating], channels: int) -> bool:
    dims = (1, 1, 1, *number.shape)[-3:]
    return number.ndim <= 4 and dims[1:] == (1, 1) and dims[0] in (1, channels) and number.size == dims[0]


def _takes(node: ir.Node, value: ir.Value) -> bool:
    plain = node.op_type == "Conv" and node.inputs[0] is value and node.attributes.get_int("group", 1) == 1
    return plain and all(read_array(weights) is not None for weights in node.inputs[1:])


def _is_padded(node: ir.Node) -> bool:
    automatic = node.attributes.get_string("auto_pad", "NOTSET") not in ("NOTSET", "VALID")
    return automatic or any(node.attributes.get_ints("pads", ()))


def _fold(graph: ir.Graph, steps: _Steps, users: list[ir.Node]) -> None:
    padded = any(_is_padded(node) for node in users) and bool(steps.shift.any())
    build = GraphBuilder(graph, users[0] if len(users) == 1 else _earliest(graph, users))
    shape = known_shape(steps.pixels)
    pixels = build.op("Cast", steps.pixels, shape=shape, to=ir.DataType.FLOAT)
    if padded:
        offsets = np.empty_like(steps.shift)
        offsets[steps.order] = steps.shift / steps.scale
        constant = build.constant("pixel_offset", offsets.astype(np.float32).reshape(1, -1, 1, 1))
        pixels = build.op("Add", pixels, constant, shape=shape)
    build.commit()
    for node in users:
        _reweight(graph, node, steps, with_shift=not padded)
        node.replace_input_with(0, pixels)


def _earliest(graph: ir.Graph, nodes: list[ir.Node]) -> ir.Node:
    return next(node for node in graph if any(node is other for other in nodes))


def _reweight(graph: ir.Graph, node: ir.Node, steps: _Steps, *, with_shift: bool) -> None:
    build = GraphBuilder(graph, node)
    weights = read_array(node.inputs[1])
    if weights is None:
        raise AssertionError("only convolutions of constant weights are changed")
    if with_shift and steps.shift.any():
        old = read_array(node.inputs[2]) if len(node.inputs) > 2 else None
        moved = np.einsum("ochw,c->o", weights.astype(np.float64), steps.shift)
        bias = build.constant("front_bias", (moved if old is None else moved + old).astype(np.float32))
        node.resize_inputs(3)
        node.replace_input_with(2, bias)
    scaled = np.empty_like(weights)
    scaled[:, steps.order] = weights * steps.scale.reshape(1, -1, 1, 1)
    node.replace_input_with(1, build.constant("front_weights", scaled))
