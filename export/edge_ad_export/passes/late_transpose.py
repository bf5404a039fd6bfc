"""Does the arithmetic of the preprocessing while the channels of a pixel still lie side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from edge_ad_export.graph.builder import GraphBuilder
from edge_ad_export.graph.match import known_shape, read_array, used_once
from edge_ad_export.graph.static_shape import static_shape

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["LateTransposePass"]

_CHANNELS_FIRST = (0, 3, 1, 2)


class LateTransposePass(ir.passes.InPlacePass):
    """Requires: folded constants; the frame's shape is known.

    Does: where the frame is transposed to channels first, cast to float, given arithmetic per channel, and taken by
    convolutions alone, the transposition comes last. OpenVINO's convolutions calculate channels last, so that it then
    costs nothing; before the cast it costs two copies of the image.

    Ensures: the same numbers.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        first = _transposition(model.graph)
        steps = [] if first is None else _steps(first.outputs[0], known_shape(model.graph.inputs[0])[3])
        if first is None or not steps or not _convolved(steps[-1].outputs[0]):
            return ir.passes.PassResult(model, False)
        _put_off(model.graph, first, steps)
        return ir.passes.PassResult(model, True)


def _transposition(graph: ir.Graph) -> ir.Node | None:
    """The node that brings the channels of the frame to the front, where nothing else takes the frame."""
    frame = graph.inputs[0]
    node = next(iter(frame.uses())).node if used_once(frame) else None
    if node is None or node.op_type != "Transpose" or static_shape(frame) is None:
        return None
    return node if tuple(node.attributes.get_ints("perm", ())) == _CHANNELS_FIRST else None


def _steps(pixels: ir.Value, channels: int) -> list[ir.Node]:
    """The cast behind the transposition and the arithmetic behind that; nothing where another node comes first."""
    steps: list[ir.Node] = []
    value = pixels
    while used_once(value):
        node = next(iter(value.uses())).node
        if not (_is_arithmetic(node, value, channels) if steps else node.op_type == "Cast"):
            break
        steps.append(node)
        value = node.outputs[0]
    return steps


def _is_arithmetic(node: ir.Node, value: ir.Value, channels: int) -> bool:
    if node.op_type not in ("Add", "Div", "Mul", "Sub") or node.inputs[0] is not value:
        return False
    number = read_array(node.inputs[1])
    return number is not None and _four_axes(number) in ((1, 1, 1, 1), (1, channels, 1, 1))


def _four_axes(number: NDArray[np.generic]) -> tuple[int, ...]:
    return (*((1,) * (4 - number.ndim)), *number.shape)


def _convolved(value: ir.Value) -> bool:
    users = [use.node for use in value.uses()]
    return bool(users) and not value.is_graph_output() and all(node.op_type == "Conv" for node in users)


def _put_off(graph: ir.Graph, first: ir.Node, steps: list[ir.Node]) -> None:
    build = GraphBuilder(graph, first)
    value, last = graph.inputs[0], steps[-1].outputs[0]
    shape = known_shape(value)
    for node in steps:
        given = read_array(node.inputs[1]) if len(node.inputs) > 1 else None
        others = [] if given is None else [build.constant("pixel_number", given.reshape(-1))]
        value = build.copy(node, [value, *others], shape)
    build.commit()
    first.replace_input_with(0, value)
    first.outputs[0].type = value.type
    last.replace_all_uses_with(first.outputs[0])
    graph.remove(steps, safe=True)
