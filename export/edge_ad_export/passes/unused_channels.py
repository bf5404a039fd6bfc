"""Cuts channels that nothing reads from the convolutions that compute them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as common_passes

from edge_ad_export.graph.builder import GraphBuilder
from edge_ad_export.graph.match import known_shape, read_array, read_scalar, used_once
from edge_ad_export.graph.static_shape import static_shape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["UnusedChannelsPass"]

# Operators that treat every element alike, if what else they take is one number.
_ELEMENTWISE = {"Clip", "Elu", "HardSigmoid", "HardSwish", "LeakyRelu", "Relu", "Sigmoid", "Tanh"}
_BINARY = {"Add", "Mul", "Sub"}


class UnusedChannelsPass(ir.passes.InPlacePass):
    """Requires: static shapes.

    Does: where feature maps are read by nothing but ``Gather`` of some channels, as a head that picks features at
    random reads its last level (PaDiM, Defard et al. 2021), the convolution before them computes only these. What lies
    between the two, an activation or the sum of a residual block, is computed of these channels too.

    Ensures: the same numbers up to rounding.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        modified = bool(common_passes.RemoveUnusedNodesPass()(model).modified)
        gathers: dict[ir.Value, list[ir.Node]] = {}
        for node in model.graph:
            source = node.inputs[0] if _channels_read(node) is not None else None
            if source is not None:
                gathers.setdefault(source, []).append(node)
        for source, nodes in gathers.items():
            if len(source.uses()) == len(nodes) and not source.is_graph_output():
                modified = _cut(model.graph, source, nodes) or modified
        return ir.passes.PassResult(model, modified)


def _channels_read(node: ir.Node) -> NDArray[np.int64] | None:
    """Which channels of a feature map ``[1, c, h, w]`` the node picks; ``None`` for every other node."""
    if node.op_type != "Gather" or node.attributes.get_int("axis", 0) not in (1, -3):
        return None
    shape, indices = static_shape(node.inputs[0]) if node.inputs[0] is not None else None, read_array(node.inputs[1])
    if shape is None or len(shape) != 4 or indices is None or indices.ndim != 1:
        return None
    return np.asarray(indices % shape[1], np.int64)


def _cut(graph: ir.Graph, source: ir.Value, gathers: Sequence[ir.Node]) -> bool:
    read = [channels for node in gathers if (channels := _channels_read(node)) is not None]
    needed = np.unique(np.concatenate(read))
    build = GraphBuilder(graph, gathers[0])
    picked = None if needed.size == known_shape(source)[1] else _picked(build, source, needed)
    if picked is None:
        return False
    build.commit()
    for node, channels in zip(gathers, read, strict=True):
        if np.array_equal(channels, needed):
            ir.convenience.replace_all_uses_with(node.outputs[0], picked, replace_graph_outputs=True)
            graph.remove(node, safe=True)
        else:
            node.replace_input_with(0, picked)
            node.replace_input_with(1, build.constant("channels", np.searchsorted(needed, channels)))
    return True


def _picked(build: GraphBuilder, value: ir.Value, channels: NDArray[np.int64]) -> ir.Value | None:
    """Only these channels of a value that nothing else reads; ``None`` where no convolution would have less to do."""
    node, shape = value.producer(), static_shape(value)
    if node is None or node.domain != "" or shape is None or len(shape) != 4:
        return None
    fewer = (shape[0], len(channels), *shape[2:])
    if node.op_type == "Conv":
        return _picked_convolution(build, node, channels, fewer)
    if node.op_type in _ELEMENTWISE and all(
        other is None or read_scalar(other) is not None for other in node.inputs[1:]
    ):
        inner = _picked_input(build, node.inputs[0], channels)
        return None if inner is None else build.copy(node, [inner, *node.inputs[1:]], fewer)
    if node.op_type in _BINARY and all(static_shape(side) == shape for side in node.inputs if side is not None):
        sides = [_picked_input(build, side, channels) for side in node.inputs]
        if any(side is not None for side in sides):
            both = [new or _gather(build, old, channels) for new, old in zip(sides, node.inputs, strict=True)]
            return build.copy(node, both, fewer)
    return None


def _picked_input(build: GraphBuilder, value: ir.Value | None, channels: NDArray[np.int64]) -> ir.Value | None:
    return _picked(build, value, channels) if value is not None and used_once(value) else None


def _picked_convolution(
    build: GraphBuilder, node: ir.Node, channels: NDArray[np.int64], shape: Sequence[int]
) -> ir.Value | None:
    """The convolution with fewer filters; a depthwise one reads fewer channels too."""
    weights, bias = (read_array(value) for value in (*node.inputs[1:], None)[:2])
    groups, entering = node.attributes.get_int("group", 1), node.inputs[0]
    depthwise = weights is not None and weights.shape[:2] == (groups, 1)
    biased = len(node.inputs) > 2 and node.inputs[2] is not None
    if weights is None or entering is None or (biased and bias is None) or not (groups == 1 or depthwise):
        return None
    attributes = dict(node.attributes.items())
    if groups > 1:
        entering = _picked_input(build, entering, channels) or _gather(build, entering, channels)
        attributes["group"] = ir.AttrInt64("group", len(channels))
    constants = [build.constant("filters", weights[channels])]
    if bias is not None:
        constants.append(build.constant("filter_bias", bias[channels]))
    return build.op("Conv", entering, *constants, shape=shape, dtype=_dtype(node), **attributes)


def _gather(build: GraphBuilder, value: ir.Value | None, channels: NDArray[np.int64]) -> ir.Value:
    batch, _, *plane = known_shape(value)
    indices = build.constant("channels", channels)
    dtype = ir.DataType.FLOAT if value is None or value.dtype is None else value.dtype
    return build.op("Gather", value, indices, shape=(batch, len(channels), *plane), dtype=dtype, axis=1)


def _dtype(node: ir.Node) -> ir.DataType:
    return node.outputs[0].dtype or ir.DataType.FLOAT
