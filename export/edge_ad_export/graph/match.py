"""Reads a graph: constants, known shapes and patterns of nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import onnx_ir as ir

from edge_ad_export.graph.static_shape import static_shape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = [
    "behind_reshapes",
    "known_shape",
    "made_by",
    "plane_of",
    "read_array",
    "read_scalar",
    "reduced_axes",
    "same_scalar",
    "used_once",
]

# Operators that give the same numbers in the same order another shape.
_RESHAPES = {"Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"}


def read_array(value: ir.Value | None) -> NDArray[Any] | None:
    """The content of an initializer or of a ``Constant`` node, ``None`` for a value known at run time only."""
    tensor = None if value is None else ir.convenience.get_const_tensor(value)
    return None if tensor is None else tensor.numpy()


def read_scalar(value: ir.Value | None) -> float | None:
    """A constant with one element, of any rank, as a float."""
    array = read_array(value)
    return None if array is None or array.size != 1 else float(array.reshape(()))


def same_scalar(value: ir.Value | None, expected: float) -> bool:
    """Whether the value is a constant with that one element."""
    return read_scalar(value) == expected


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


def behind_reshapes(value: ir.Value, until: ir.Value | None = None) -> ir.Value:
    """The value before it was only given another shape, looking no further than ``until``."""
    node = made_by(value, *_RESHAPES)
    while node is not None and node.inputs[0] is not None and value is not until:
        value = node.inputs[0]
        node = made_by(value, *_RESHAPES)
    return value


def plane_of(shape: Sequence[int], batch: int = 1) -> tuple[int, int] | None:
    """Rows and columns where the shape holds one plane per image, wherever its axes of length 1 are; else ``None``.

    The first axis is the batch where it is as long as that; a model of one image may leave it out.
    """
    axes = shape[1:] if shape and shape[0] == batch else shape if batch == 1 else ()
    kept = [length for length in axes if length != 1]
    return (kept[0], kept[1]) if len(kept) == 2 and 0 not in kept else None


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
