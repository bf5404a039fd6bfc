"""Follows the axes of the picture through the operators of a graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from edge_ad_export.graph.axes import (
    Axes,
    Axis,
    joined,
    labels_of,
    merged,
    plain,
    reshaped,
    resized,
    sliced,
    unknown,
)
from edge_ad_export.graph.match import read_array, reduced_axes
from edge_ad_export.graph.static_shape import static_shape

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnx_ir as ir

__all__ = ["trace_axes"]

Shape = tuple[int, ...]

# Operators whose second axis is the channels by definition, and whose others are places.
_CONVOLUTIONS = {"Conv", "ConvTranspose", "DeformConv", "FusedConv", "ConvInteger", "QLinearConv", "DepthToSpace"}
_CONVOLUTIONS |= {"SpaceToDepth", "BiasSplitGelu"}
_LAYERS = {"MaxPool", "AveragePool", "LpPool", "GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"}
_LAYERS |= {"BatchNormalization", "InstanceNormalization", "GroupNormalization", "LRN"}
_RESIZES = {"Resize", "Upsample", "Pad", "CenterCropPad"}
_KNOWN_DOMAINS = {"", "ai.onnx", "com.microsoft"}


def trace_axes(model: ir.Model, letters: str) -> dict[str, Axes]:
    """The axes of every value of static shape, by name.

    ``letters``: what the axes of the model's input are, such as ``nchw``. What an operator does that is not known here
    leaves its outputs with axes of which nothing is known.
    """
    found: dict[str, Axes] = {}
    picture = model.graph.inputs[0]
    shape = static_shape(picture)
    if shape is not None and len(shape) == len(letters):
        found[str(picture.name)] = tuple(plain(label, size) for label, size in zip(letters, shape, strict=True))
    for node in model.graph:
        for index, output in enumerate(node.outputs):
            shape = static_shape(output)
            if shape is not None and 0 not in shape:
                axes = _of_output(node, index, shape, found)
                found[str(output.name)] = axes if _fits(axes, shape) else unknown(shape)
    return found


def _fits(axes: Axes, shape: Shape) -> bool:
    return tuple(int(np.prod([factor.size for factor in axis])) for axis in axes) == shape


def _of_output(node: ir.Node, index: int, shape: Shape, found: dict[str, Axes]) -> Axes:
    if node.domain not in _KNOWN_DOMAINS or node.inputs[:1] in ((), (None,)):
        return unknown(shape)
    given = [_input_axes(value, found) for value in node.inputs]
    if node.op_type in _CONVOLUTIONS | _LAYERS:
        return _layer(node, shape, given)
    if node.op_type in _RESIZES and given[0] is not None and len(given[0]) == len(shape):
        return tuple(resized(axis, size) for axis, size in zip(given[0], shape, strict=True))
    rule = _RULES.get(node.op_type, _elementwise)
    try:
        return rule(node, index, shape, given)
    except (IndexError, KeyError, TypeError, ValueError):  # an operator in a form that the rules do not know
        return unknown(shape)


def _input_axes(value: ir.Value | None, found: dict[str, Axes]) -> Axes | None:
    if value is None:
        return None
    shape = static_shape(value)
    return found.get(str(value.name)) or (None if shape is None else unknown(shape))


def _first(given: Sequence[Axes | None]) -> Axes:
    if given[0] is None:
        raise ValueError("the shape of the input is not known")
    return given[0]


def _layer(node: ir.Node, shape: Shape, given: Sequence[Axes | None]) -> Axes:
    before = given[0]
    if before is None or len(before) != len(shape):
        before = unknown(shape)
    channels = plain("c", shape[1]) if len(shape) > 1 else ()
    if node.op_type in _LAYERS and len(shape) > 1:
        channels = merged(before[1], channels) if labels_of(before[1]) - {"?"} else channels
    places = "hw" if len(shape) == 4 else "?" * len(shape)
    spatial = [
        plain(label, size) if labels_of(axis) <= {"?"} else resized(axis, size)
        for axis, size, label in zip(before[2:], shape[2:], places, strict=False)
    ]
    return (before[0], channels, *spatial)[: len(shape)]


def _elementwise(_node: ir.Node, _index: int, shape: Shape, given: Sequence[Axes | None]) -> Axes:
    """Whatever has an input that broadcasts to the shape of its output."""
    found = unknown(shape)
    for axes in given:
        if axes is None or len(axes) > len(shape):
            continue
        sizes = [int(np.prod([factor.size for factor in axis])) for axis in axes]
        aligned = range(len(shape) - len(axes), len(shape))
        if any(size not in (1, shape[at]) for size, at in zip(sizes, aligned, strict=True)):
            continue
        for axis, at, size in zip(axes, aligned, sizes, strict=True):
            if size == shape[at]:
                found = (*found[:at], merged(found[at], axis), *found[at + 1 :])
    return found


def _transpose(node: ir.Node, _index: int, shape: Shape, given: Sequence[Axes | None]) -> Axes:
    axes = _first(given)
    order = node.attributes["perm"].as_ints() if "perm" in node.attributes else range(len(shape))[::-1]
    return tuple(axes[axis] for axis in order)


def _reshape(_node: ir.Node, _index: int, shape: Shape, given: Sequence[Axes | None]) -> Axes:
    return reshaped(_first(given), shape)


def _concat(node: ir.Node, _index: int, shape: Shape, given: Sequence[Axes | None]) -> Axes:
    along = node.attributes["axis"].as_int() % len(shape)
    known = [axes for axes in given if axes is not None]
    sizes = [(static_shape(value) or ())[along] for value in node.inputs if value is not None]
    if len(known) != len(sizes):
        return unknown(shape)
    found = list(unknown(shape))
    for axes in known:
        found = [
            merged(one, axis) if at != along else one for at, (one, axis) in enumerate(zip(found, axes, strict=True))
        ]
    found[along] = joined([axes[along] for axes in known], sizes)
    return tuple(found)


def _slice(node: ir.Node, _index: int, shape: Shape, given: Sequence[Axes | None]) -> Axes:
    axes, before = list(_first(given)), static_shape(node.inputs[0]) if node.inputs[0] is not None else None
    if before is None:
        return unknown(shape)
    named = [node.attributes[key].as_ints() if key in node.attributes else None for key in ("starts", "ends", "axes")]
    arrays = [read_array(value) for value in node.inputs[1:]]
    bounds = [*(arrays if arrays else named), None, None, None, None][:4]
    if bounds[0] is None or bounds[1] is None:
        return tuple(
            resized(axis, size) if size != old else plain("?", size)
            for axis, size, old in zip(axes, shape, before, strict=True)
        )
    which = range(len(bounds[0])) if bounds[2] is None else bounds[2]
    steps = np.ones(len(bounds[0]), int) if bounds[3] is None else bounds[3]
    for at, first, last, step in zip(which, bounds[0], bounds[1], steps, strict=True):
        start, stop, stride = slice(int(first), int(last), int(step)).indices(before[int(at)])
        axis = axes[int(at)]
        if stride == 1:
            axes[int(at)] = sliced(axis, start, stop)
        else:
            axes[int(at)] = resized(axis, shape[int(at)]) if stride > 1 else plain("?", shape[int(at)])
    return tuple(axes)


def _split(node: ir.Node, index: int, shape: Shape, given: Sequence[Axes | None]) -> Axes:
    along = node.attributes.get_int("axis", 0) % len(shape)
    sizes = [(static_shape(value) or ())[along] for value in node.outputs]
    axes = list(_first(given))
    axes[along] = sliced(axes[along], sum(sizes[:index]), sum(sizes[: index + 1]))
    return tuple(axes)


def _gather(node: ir.Node, _index: int, shape: Shape, given: Sequence[Axes | None]) -> Axes:
    axes, places = _first(given), read_array(node.inputs[1])
    along = node.attributes.get_int("axis", 0) % len(axes)
    if places is None or places.ndim > 1:
        return unknown(shape)
    if places.ndim == 0:
        return (*axes[:along], *axes[along + 1 :])
    steps = np.diff(places)
    axis = axes[along]
    if len(places) == 1 or (steps == 1).all():
        size = int(np.prod([factor.size for factor in axis]))
        start = int(places[0]) % size
        axis = sliced(axis, start, start + len(places))
    elif labels_of(axis) != {"c"}:
        axis = resized(axis, shape[along]) if (steps > 0).all() else plain("?", shape[along])
    return (*axes[:along], resized(axis, shape[along]), *axes[along + 1 :])


def _reduce(node: ir.Node, _index: int, shape: Shape, given: Sequence[Axes | None]) -> Axes:
    axes, gone = _first(given), reduced_axes(node)
    if gone is None:
        return unknown(shape)
    if len(shape) == len(axes):
        return tuple(() if at in gone else axis for at, axis in enumerate(axes))
    return tuple(axis for at, axis in enumerate(axes) if at not in gone)


def _mixed(axis: Axis, size: int) -> Axis:
    """What a product with constant weights makes of the axis that it sums over."""
    labels = labels_of(axis)
    if "c" in labels or labels <= {"?"}:
        return plain("c", size)
    return plain(labels.pop() if len(labels) == 1 else "?", size)


def _matmul(node: ir.Node, _index: int, shape: Shape, given: Sequence[Axes | None]) -> Axes:
    first, second = given[0], given[1]
    if first is None or second is None or len(first) < 2 or len(second) < 2:
        return unknown(shape)
    rows, columns = first[-2], second[-1]
    constant = [all(labels_of(axis) <= {"?"} for axis in axes) for axes in (first, second)]
    if constant[1] and not constant[0]:
        columns = _mixed(first[-1], shape[-1])
    if constant[0] and not constant[1]:
        rows = _mixed(second[-2], shape[-2])
    outer = _elementwise(node, 0, shape[:-2], [first[:-2], second[:-2]])
    return (*outer, rows, columns)


def _gemm(node: ir.Node, _index: int, shape: Shape, given: Sequence[Axes | None]) -> Axes:
    axes = _first(given)
    return axes[1 if node.attributes.get_int("transA", 0) else 0], plain("c", shape[1])


def _einsum(node: ir.Node, _index: int, shape: Shape, given: Sequence[Axes | None]) -> Axes:
    terms, _, result = node.attributes["equation"].as_string().replace(" ", "").partition("->")
    if "." in terms or not result:
        return unknown(shape)
    known: dict[str, Axis] = {}
    for term, axes in zip(terms.split(","), given, strict=True):
        for letter, axis in zip(term, axes or (), strict=True):
            known[letter] = merged(known[letter], axis) if letter in known else axis
    return tuple(known[letter] for letter in result)


_RULES: dict[str, Callable[[ir.Node, int, Shape, Sequence[Axes | None]], Axes]] = {
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), _reshape),
    **dict.fromkeys(
        (
            "ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceLogSum",
            "ReduceLogSumExp", "ReduceSumSquare", "ArgMax", "ArgMin",
        ),
        _reduce,
    ),
    **dict.fromkeys(("MatMul", "FusedMatMul", "MatMulInteger"), _matmul),
    "Concat": _concat,
    "Einsum": _einsum,
    "Gather": _gather,
    "Gemm": _gemm,
    "Slice": _slice,
    "Split": _split,
    "Transpose": _transpose,
}  # fmt: skip
