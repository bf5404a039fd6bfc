"""Gives the input a fixed shape and infers all others from it anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx_ir as ir
import onnx_ir.passes.common as common_passes

from edge_ad_export.graph.embedded import infer_embedded
from edge_ad_export.graph.engine_shapes import ask_engine, mend_sequences
from edge_ad_export.graph.libraries import quiet_logs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["StaticShapePass", "describe", "infer_shapes", "static_shape", "unknown_behind", "update_shapes"]


class StaticShapePass(ir.passes.InPlacePass):
    """Requires: one input.

    Does: sets its shape and infers all others anew.

    Ensures: the input's shape is ``shape``; the other shapes follow from it as far as ONNX can tell. Those that depend
    on ``Shape`` nodes become known when :class:`~edge_ad_export.passes.SimplifyPass` folds these.
    """

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.shape = tuple(shape)

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        frame = model.graph.inputs[0]
        modified = static_shape(frame) != self.shape
        stated = _stated_shapes(model, self.shape)
        frame.shape = ir.Shape(self.shape)
        infer_shapes(model, stated)
        return ir.passes.PassResult(model, modified)


def infer_shapes(model: ir.Model, stated: Mapping[ir.Value, ir.Shape] | None = None) -> None:
    """Works out the shapes of all computed values anew: those that a file carries hold for its own batch size.

    ``stated``: shapes that count where ONNX infers none. What is still missing then, ONNX Runtime is asked for.

    Raises:
        ModelError: an embedded OpenVINO model cannot take an input of the shape that reaches it.
    """
    for node in model.graph.all_nodes():
        for value in node.outputs:
            value.shape = None
    update_shapes(model)
    if infer_embedded(model):
        update_shapes(model)
    missing = {value: shape for value, shape in (stated or {}).items() if static_shape(value) is None}
    for value, shape in missing.items():
        value.shape = shape
    if missing:
        update_shapes(model)
    if ask_engine(model):
        update_shapes(model)


def update_shapes(model: ir.Model) -> None:
    """Infers the shapes and types that are missing; what is known stays."""
    with quiet_logs("onnx_ir"):
        common_passes.ShapeInferencePass(strict_mode=False)(model)
    mend_sequences(model)


def _stated_shapes(model: ir.Model, shape: Sequence[int]) -> dict[ir.Value, ir.Shape]:
    """The shapes that the file states of its values for an input of ``shape``; none where it states another size."""
    frame = model.graph.inputs[0]
    if frame.shape is None or len(frame.shape) != len(shape):
        return {}
    known: dict[str | None, int] = {}
    for dim, size in zip(frame.shape, shape, strict=True):
        if isinstance(dim, int):
            if dim != size:
                return {}
        elif dim.value is not None and known.setdefault(dim.value, size) != size:
            return {}
    found = {}
    for node in model.graph:
        for value in node.outputs:
            if value.shape is None or isinstance(value.type, ir.SequenceType | ir.OptionalType):
                continue
            sizes = [dim if isinstance(dim, int) else known.get(dim.value) for dim in value.shape]
            if None not in sizes:
                found[value] = ir.Shape([size for size in sizes if size is not None])
    return found


def static_shape(value: ir.Value) -> tuple[int, ...] | None:
    """The value's shape, ``None`` where a dimension is not known."""
    if value.shape is None or not value.shape.is_static():
        return None
    return value.shape.numpy()


def unknown_behind(value: ir.Value) -> tuple[str, ...]:
    """The operators that take known shapes and give unknown ones, of those that lead to a value of unknown shape."""
    found: dict[str, None] = {}
    waiting, seen = [value], {value}
    while waiting:
        node = waiting.pop().producer()
        if node is None:
            continue
        unknown = [one for one in node.inputs if one is not None and _is_open(one)]
        if not unknown:
            found[node.op_type] = None
        waiting += [one for one in unknown if one not in seen]
        seen.update(unknown)
    return tuple(sorted(found))


def _is_open(value: ir.Value) -> bool:
    return value.const_value is None and static_shape(value) is None


def describe(values: Sequence[ir.Value]) -> str:
    """``name float[1,3,256,256]``, one after the other."""
    return "; ".join(f"{v.name} {str(v.dtype).lower()}{'' if v.shape is None else v.shape}" for v in values)
