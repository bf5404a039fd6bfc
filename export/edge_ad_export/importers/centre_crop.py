"""A centre crop of the image in front of the model: finding it in the graph, and the map that covers the crop alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from edge_ad_export.graph.builder import add_constant
from edge_ad_export.graph.embedded import embedded_model, find_embedded
from edge_ad_export.graph.match import read_scalar
from edge_ad_export.graph.static_shape import static_shape
from edge_ad_export.importers.outputs import static_outputs
from edge_ad_export.passes import SelectOutputsPass, SimplifyPass, StaticShapePass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from edge_ad_export.model.input_spec import Size

__all__ = ["Crop", "PaddedMap", "crop_input", "find_crop", "find_crop_openvino", "pad_cropped_map", "pad_map"]


# What may stand between the image and a crop, or behind it, and moves no pixel to another place.
_POINTWISE = {"Add", "Cast", "Div", "Identity", "Mul", "Reshape", "Resize", "Sub"}
_ROWS, _COLUMNS = 2, 3
_PAD_OPSET = 11
# Operations of OpenVINO that leave each pixel where it is, behind the crop and before it.
_OV_AFTER = {"Add", "Convert", "Divide", "Multiply", "Subtract"}
_OV_BEFORE = {"Interpolate", "Reshape", *_OV_AFTER}
_RANK = 4


@dataclass(frozen=True)
class Crop:
    """``[top:bottom, left:right]`` of an image of ``height`` x ``width``, all in pixels."""

    height: int
    width: int
    top: int
    bottom: int
    left: int
    right: int

    @property
    def is_whole(self) -> bool:
        return (self.top, self.left, self.bottom, self.right) == (0, 0, self.height, self.width)

    @classmethod
    def centred(cls, whole: Size, part: Size) -> Crop:
        """The middle of the image; of an odd remainder the larger half goes to the bottom and the right."""
        top, left = (whole.height - part.height) // 2, (whole.width - part.width) // 2
        return cls(whole.height, whole.width, top, top + part.height, left, left + part.width)


def find_crop(model: ir.Model, shape: Sequence[int]) -> Crop | None:
    """The crop that an NCHW graph begins with, ``None`` without one."""
    copy = model.clone()
    # No crop comes after the first convolution: what lies behind it need not be folded.
    convolution = next((node for node in copy.graph if node.op_type == "Conv"), None)
    last = copy.graph.outputs[0] if convolution is None else convolution.inputs[0] or copy.graph.outputs[0]
    for step in (SelectOutputsPass([str(last.name)]), StaticShapePass(shape), SimplifyPass()):
        step(copy)
    value = copy.graph.inputs[0]
    crop = None
    while (node := _only_user(value)) is not None:
        if node.op_type == "Slice":
            crop = _cut(crop, value, node)
            if crop is None:
                return None
        elif node.op_type not in _POINTWISE or (crop is not None and node.op_type in ("Resize", "Reshape")):
            break
        value = node.outputs[0]
    return None if crop is None or crop.is_whole else crop


def _only_user(value: ir.Value) -> ir.Node | None:
    uses = list(value.uses())
    return uses[0].node if len(uses) == 1 else None


def _cut(crop: Crop | None, value: ir.Value, node: ir.Node) -> Crop | None:
    """The crop with one more slice; ``None`` for a slice that is no crop."""
    shape = static_shape(value)
    bounds = [read_scalar(value) for value in node.inputs[1:]]
    if shape is None or len(shape) != 4 or len(bounds) < 3 or None in bounds or bounds[3:] not in ([], [1]):
        return None
    first, last, along = (int(bound) for bound in bounds[:3] if bound is not None)
    axis = along % 4
    start, end, _ = slice(first, last).indices(shape[axis])
    crop = crop or Crop(shape[_ROWS], shape[_COLUMNS], 0, shape[_ROWS], 0, shape[_COLUMNS])
    if axis == _ROWS:
        return Crop(crop.height, crop.width, crop.top + start, crop.top + end, crop.left, crop.right)
    if axis == _COLUMNS:
        return Crop(crop.height, crop.width, crop.top, crop.bottom, crop.left + start, crop.left + end)
    return None


def crop_input(model: ir.Model, crop: Crop) -> ir.Model:
    """A copy of an NCHW graph that takes the whole image and crops it first."""
    cropped = model.clone()
    graph = cropped.graph
    old = graph.inputs[0]
    name = str(old.name)
    old.name = f"{name}_cropped"
    dims = list(old.shape or ())
    whole = ir.val(name, old.dtype, ir.Shape([*dims[:2], crop.height, crop.width]))
    starts, ends, axes = (
        add_constant(graph, f"crop_{what}", np.array(numbers))
        for what, numbers in (
            ("start", [crop.top, crop.left]),
            ("end", [crop.bottom, crop.right]),
            ("axes", [_ROWS, _COLUMNS]),
        )
    )
    node = ir.node("Slice", [whole, starts, ends, axes])
    node.outputs[0].type, node.outputs[0].shape = old.type, old.shape
    old.replace_all_uses_with(node.outputs[0])
    graph.inputs[0] = whole
    graph.insert_before(graph[0], node)
    return cropped


def pad_map(model: ir.Model, name: str, crop: Crop, shape: Sequence[int]) -> ir.Model:
    """A copy of the graph whose output ``name``, a map of the crop of ``shape``, becomes ``<name>_padded``.

    The margins are rounded to whole cells of the map.
    """
    padded = model.clone()
    graph = padded.graph
    if graph.opset_imports.get("", 0) < _PAD_OPSET:
        raise AssertionError("every exporter that crops writes opset 11 or later")
    anomaly_map = ir.convenience.create_value_mapping(graph)[name]
    rows = shape[-2] / (crop.bottom - crop.top)
    columns = shape[-1] / (crop.right - crop.left)
    margins = (
        crop.top * rows,
        crop.left * columns,
        (crop.height - crop.bottom) * rows,
        (crop.width - crop.right) * columns,
    )
    top, left, bottom, right = (round(margin) for margin in margins)
    outer = [0] * (len(shape) - 2)
    pads = add_constant(graph, "crop_margins", np.array([*outer, top, left, *outer, bottom, right]))
    smallest = ir.node("ReduceMin", [anomaly_map], {"keepdims": 0})
    smallest.outputs[0].type = anomaly_map.type
    padded_map = ir.val(f"{name}_padded", type=anomaly_map.type)
    node = ir.node("Pad", [anomaly_map, pads, smallest.outputs[0]], {"mode": "constant"}, outputs=[padded_map])
    graph.extend([smallest, node])
    graph.outputs.append(padded_map)
    return padded


@dataclass(frozen=True)
class PaddedMap:
    """``model``: the graph as it was, or a copy with more nodes. ``name``: of the map in it; ``None`` without one."""

    model: ir.Model
    name: str | None


def pad_cropped_map(model: ir.Model, name: str | None, shape: Sequence[int], output: str | None = None) -> PaddedMap:
    """Where an NCHW graph crops its input, the map is padded so that it covers the whole image.

    Args:
        model: the graph; not changed.
        name: of the map; ``None`` for a model without one.
        shape: of the graph's input.
        output: an output that has the map's shape, where the map itself is none.
    """
    if name is None:
        return PaddedMap(model, None)
    crop = (find_crop_openvino if find_embedded(model) else find_crop)(model, shape)
    size = None if crop is None else static_outputs(model, tuple(shape)).get(output or name)
    if crop is None or size is None:
        return PaddedMap(model, name)
    return PaddedMap(pad_map(model, name, crop, size), f"{name}_padded")


def find_crop_openvino(model: ir.Model, shape: Sequence[int]) -> Crop | None:
    """The crop that an NCHW model begins with, ``None`` without one."""
    sized = model.clone()
    StaticShapePass(shape)(sized)
    node = find_embedded(sized)
    port = None if node is None else embedded_model(node).inputs[0]
    crop: Crop | None = None
    while port is not None and (user := _only_reader(port)) is not None:
        if user.get_type_name() in ("Slice", "StridedSlice"):
            crop = _cut_openvino(crop, user)
            if crop is None:
                return None
        elif user.get_type_name() not in (_OV_BEFORE if crop is None else _OV_AFTER):
            break
        port = user.output(0)
    return None if crop is None or crop.is_whole else crop


def _only_reader(port: Any) -> Any | None:
    """The one operation that works on the pixels; some may ask for their shape."""
    users = [target.get_node() for target in port.get_target_inputs()]
    users = [user for user in users if user.get_type_name() != "ShapeOf"]
    return users[0] if len(users) == 1 else None


def _cut_openvino(crop: Crop | None, node: Any) -> Crop | None:
    """The crop with one more slice."""
    _, _, rows, columns = node.input_value(0).get_shape()
    crop = crop or Crop(rows, columns, 0, rows, 0, columns)
    bounds = _slice_bounds(node)
    if bounds is None:
        return None
    top, bottom, _ = bounds[2].indices(crop.bottom - crop.top)
    left, right, _ = bounds[3].indices(crop.right - crop.left)
    return Crop(crop.height, crop.width, crop.top + top, crop.top + bottom, crop.left + left, crop.left + right)


def _slice_bounds(node: Any) -> list[slice] | None:
    """What is kept of each of four axes, ``None`` where it is not constant."""
    found = [_constant(node.input_value(index)) for index in range(1, node.get_input_size())]
    constants = [constant for constant in found if constant is not None]
    if len(constants) != len(found) or any((step != 1).any() for step in constants[2:3]):
        return None
    starts, ends, *_ = constants
    if node.get_type_name() == "Slice":
        axes = constants[3] if len(constants) > 3 else np.arange(len(starts))
        given = {
            int(axis) % _RANK: slice(int(start), int(end)) for axis, start, end in zip(axes, starts, ends, strict=True)
        }
        return [given.get(axis, slice(None)) for axis in range(_RANK)]
    masks = node.get_attributes()
    return [
        slice(
            None if _masked(masks["begin_mask"], axis, starts) else int(starts[axis]),
            None if _masked(masks["end_mask"], axis, ends) else int(ends[axis]),
        )
        for axis in range(_RANK)
    ]


def _masked(mask: Sequence[int], axis: int, given: NDArray[np.integer]) -> bool:
    return axis >= len(given) or (axis < len(mask) and bool(mask[axis]))


def _constant(port: Any) -> NDArray[np.integer] | None:
    node = port.get_node()
    data: NDArray[np.integer] | None = node.data if node.get_type_name() == "Constant" else None
    return data
