"""The matrix of what nodes do to a map along one of its axes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import onnx_ir as ir

from edge_ad_export.graph.builder import GraphBuilder
from edge_ad_export.graph.libraries import load_onnxruntime
from edge_ad_export.graph.match import known_shape, read_array
from edge_ad_export.graph.static_shape import static_shape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["Axis", "axis_matrix", "is_separable", "map_size"]

Axis = Literal[2, 3]
"""Rows or columns of ``[1, 1, h, w]``."""


def is_separable(node: ir.Node) -> bool:
    """Whether the node is ``Resize``, ``Pad`` or a one-dimensional ``Conv`` that is linear in each axis apart.

    Its constants are known, and it takes and gives one map: ``[1, 1, h, w]`` with static sizes.
    """
    shapes = [None if value is None else static_shape(value) for value in (*node.inputs[:1], *node.outputs)]
    if len(shapes) != 2 or any(shape is None or len(shape) != 4 or shape[:2] != (1, 1) for shape in shapes):
        return False
    if any(value is not None and read_array(value) is None for value in node.inputs[1:]):
        return False
    return node.op_type in _RULES and _RULES[node.op_type](node)


def axis_matrix(nodes: Sequence[ir.Node], axis: Axis, opset: int) -> NDArray[np.float32]:
    """Runs separable nodes, one after the other, on the identity along one axis: ``(size after, size before)``.

    ONNX Runtime itself says what the nodes mean; the other axis passes through untouched.
    """
    size = known_shape(nodes[0].inputs[0])[axis]
    value = ir.val("identity", ir.DataType.FLOAT, (1, 1, size, size))
    anchor = ir.node("Identity", [value])
    graph = ir.Graph([value], anchor.outputs, nodes=[anchor], opset_imports={"": opset}, name="axis")
    anchor.outputs[0].name, anchor.outputs[0].type = "matrix", value.type
    build = GraphBuilder(graph, anchor)
    for node in nodes:
        value = _ALONG[node.op_type](build, value, node, axis)
    build.commit()
    anchor.replace_input_with(0, value)
    serialized = ir.to_proto(ir.Model(graph, ir_version=8)).SerializeToString()
    session = load_onnxruntime().InferenceSession(serialized, providers=["CPUExecutionProvider"])
    matrix: NDArray[np.float32] = session.run(None, {"identity": np.eye(size, dtype=np.float32)[None, None]})[0][0, 0]
    return matrix


def _resize_rule(node: ir.Node) -> bool:
    """Every interpolation is linear in the pixels but the one that fills in a value from outside."""
    whole = node.attributes.get_string("coordinate_transformation_mode", "half_pixel") != "tf_crop_and_resize"
    stretch = node.attributes.get_string("keep_aspect_ratio_policy", "stretch") == "stretch"
    return whole and stretch and "axes" not in node.attributes


def _pad_rule(node: ir.Node) -> bool:
    pads, *fill = [None if value is None else read_array(value) for value in node.inputs[1:]] or [None]
    if pads is None or pads.size != 8 or pads[[0, 1, 4, 5]].any() or len(fill) > 1:
        return False
    mode = node.attributes.get_string("mode", "constant")
    return mode in ("reflect", "edge") or (mode == "constant" and not any(f is not None and f.any() for f in fill))


def _conv_rule(node: ir.Node) -> bool:
    kernel = read_array(node.inputs[1])
    plain = len(node.inputs) == 2 and node.attributes.get_string("auto_pad", "NOTSET") == "NOTSET"
    return plain and kernel is not None and kernel.ndim == 4 and 1 in kernel.shape[2:]


def _resize_along(build: GraphBuilder, value: ir.Value, node: ir.Node, axis: Axis) -> ir.Value:
    scales = read_array(node.inputs[2]) if len(node.inputs) > 2 else None
    wanted = (1, 1, known_shape(node.outputs[0])[axis], map_size(value)[1])
    none = build.constant("unused", np.empty(0, np.float32))  # before opset 13 these inputs must be there
    inputs: list[ir.Value | None] = [value, none, none, None]
    if scales is not None and scales.size:
        inputs = [value, none, build.constant("scales", np.array([1, 1, scales[axis], 1], np.float32))]
    else:
        inputs[3] = build.constant("sizes", np.array(wanted, np.int64))
    return build.copy(node, inputs, wanted)


def _pad_along(build: GraphBuilder, value: ir.Value, node: ir.Node, axis: Axis) -> ir.Value:
    pads = read_array(node.inputs[1])
    height, width = map_size(value)
    begin, end = (0, 0) if pads is None else (int(pads[axis]), int(pads[axis + 4]))
    inputs = [value, build.constant("pads", np.array([0, 0, begin, 0, 0, 0, end, 0], np.int64))]
    return build.copy(node, inputs, (1, 1, height + begin + end, width))


def _conv_along(build: GraphBuilder, value: ir.Value, node: ir.Node, axis: Axis) -> ir.Value:
    """The kernel's numbers belong to the axis along which it lies; across it there are stride and padding alone."""
    index = axis - 2
    kernel = read_array(node.inputs[1])
    if kernel is None:
        raise AssertionError("only separable nodes have an axis matrix")
    lies = 3 if kernel.shape[2] == 1 else 2
    weights = kernel.reshape(1, 1, -1, 1) if lies == axis else np.ones((1, 1, 1, 1), np.float32)
    pads = node.attributes.get_ints("pads", (0, 0, 0, 0))
    return build.op(
        "Conv",
        value,
        build.constant("kernel", weights),
        shape=(1, 1, known_shape(node.outputs[0])[axis], map_size(value)[1]),
        pads=(pads[index], 0, pads[index + 2], 0),
        strides=(node.attributes.get_ints("strides", (1, 1))[index], 1),
        dilations=(node.attributes.get_ints("dilations", (1, 1))[index], 1),
    )


def map_size(value: ir.Value) -> tuple[int, int]:
    """Height and width of ``[1, 1, h, w]``."""
    height, width = known_shape(value)[2:]
    return height, width


_RULES = {"Conv": _conv_rule, "Pad": _pad_rule, "Resize": _resize_rule}
_ALONG = {"Conv": _conv_along, "Pad": _pad_along, "Resize": _resize_along}
