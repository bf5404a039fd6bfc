"""Finds the centre crop that an embedded OpenVINO model begins with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edge_ad_export.embedded import embedded_model, find_embedded
from edge_ad_export.importers.crop import Crop
from edge_ad_export.passes import StaticShapePass

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnx_ir as ir
    from numpy.typing import NDArray

__all__ = ["find_crop_openvino"]

_AFTER = {"Add", "Convert", "Divide", "Multiply", "Subtract"}
_BEFORE = {"Interpolate", "Reshape", *_AFTER}
_AXES = 4


def find_crop_openvino(model: ir.Model, shape: Sequence[int]) -> Crop | None:
    """The crop that an NCHW model begins with, ``None`` without one."""
    sized = model.clone()
    StaticShapePass(shape)(sized)
    node = find_embedded(sized)
    port = None if node is None else embedded_model(node).inputs[0]
    crop: Crop | None = None
    while port is not None and (user := _only_user(port)) is not None:
        if user.get_type_name() in ("Slice", "StridedSlice"):
            crop = _cut(crop, user)
            if crop is None:
                return None
        elif user.get_type_name() not in (_BEFORE if crop is None else _AFTER):
            break
        port = user.output(0)
    return None if crop is None or crop.is_whole else crop


def _only_user(port: Any) -> Any | None:
    """The one operation that works on the pixels; some may ask for their shape."""
    users = [target.get_node() for target in port.get_target_inputs()]
    users = [user for user in users if user.get_type_name() != "ShapeOf"]
    return users[0] if len(users) == 1 else None


def _cut(crop: Crop | None, node: Any) -> Crop | None:
    """The crop with one more slice."""
    _, _, rows, columns = node.input_value(0).get_shape()
    crop = crop or Crop(rows, columns, 0, rows, 0, columns)
    bounds = _bounds(node)
    if bounds is None:
        return None
    top, bottom, _ = bounds[2].indices(crop.bottom - crop.top)
    left, right, _ = bounds[3].indices(crop.right - crop.left)
    return Crop(crop.height, crop.width, crop.top + top, crop.top + bottom, crop.left + left, crop.left + right)


def _bounds(node: Any) -> list[slice] | None:
    """What is kept of each of four axes, ``None`` where it is not constant."""
    found = [_constant(node.input_value(index)) for index in range(1, node.get_input_size())]
    constants = [constant for constant in found if constant is not None]
    if len(constants) != len(found) or any((step != 1).any() for step in constants[2:3]):
        return None
    starts, ends, *_ = constants
    if node.get_type_name() == "Slice":
        axes = constants[3] if len(constants) > 3 else np.arange(len(starts))
        given = {
            int(axis) % _AXES: slice(int(start), int(end)) for axis, start, end in zip(axes, starts, ends, strict=True)
        }
        return [given.get(axis, slice(None)) for axis in range(_AXES)]
    masks = node.get_attributes()
    return [
        slice(
            None if _masked(masks["begin_mask"], axis, starts) else int(starts[axis]),
            None if _masked(masks["end_mask"], axis, ends) else int(ends[axis]),
        )
        for axis in range(_AXES)
    ]


def _masked(mask: Sequence[int], axis: int, given: NDArray[np.integer]) -> bool:
    return axis >= len(given) or (axis < len(mask) and bool(mask[axis]))


def _constant(port: Any) -> NDArray[np.integer] | None:
    node = port.get_node()
    data: NDArray[np.integer] | None = node.data if node.get_type_name() == "Constant" else None
    return data
