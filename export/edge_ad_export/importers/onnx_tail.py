"""Finds the raw value behind the normalisation that anomalib's post-processor leaves in a graph."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import onnx_ir.passes.common as common_passes
from onnxscript import optimizer

from edge_ad_export.graph.constants import read_scalar, same_scalar
from edge_ad_export.graph.libraries import quiet_logs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import onnx_ir as ir

__all__ = ["Exposed", "RawOutput", "Tap", "expose_onnx", "find_raw"]


@dataclass(frozen=True)
class RawOutput:
    """``name``: of the raw value in the graph. ``threshold`` and ``range``: the constants taken away, ``None`` where
    there was no normalisation or where they were no finite numbers."""

    name: str
    threshold: float | None = None
    range: float | None = None


@dataclass(frozen=True)
class Exposed:
    """``model``: the graph, with the raw values among its values; ``raw``: by output."""

    model: ir.Model
    raw: Mapping[str, RawOutput]


@dataclass(frozen=True)
class Tap:
    """``raw``: the value before normalisation. ``threshold`` and ``range`` are the constants taken away, ``None``
    where there was no normalisation or where they were no finite numbers."""

    raw: ir.Value
    threshold: float | None = None
    range: float | None = None


def expose_onnx(model: ir.Model, outputs: Sequence[str]) -> Exposed:
    """Where the raw values behind ``outputs`` are; the graph has them already.

    They are found on a copy with folded constants; values keep their names in it.
    """
    copy = model.clone()
    with quiet_logs("onnx_ir", "onnxscript"):
        common_passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(copy)
        optimizer.fold_constants(copy)
    taps = {str(value.name): find_raw(value) for value in copy.graph.outputs if value.name in outputs}
    return Exposed(model, {name: RawOutput(str(t.raw.name), t.threshold, t.range) for name, t in taps.items()})


def find_raw(output: ir.Value) -> Tap:
    """Walks back from an output of anomalib's post-processor to the value that it normalised.

    The chain is ``clip((raw - threshold) / range + 0.5, 0, 1)``, with ``Clip`` or ``Min`` and ``Max``; the dynamo
    exporter puts it into branches of ``Where``. Only this very chain is taken away: any other arithmetic belongs to
    the model. Without it the output is raw already, as with ``post_processor=False``.
    """
    return _search(output) or Tap(output)


def _search(value: ir.Value | None) -> Tap | None:
    node = None if value is None else value.producer()
    if value is None or node is None:
        return None
    if node.op_type == "Identity":
        return _search(node.inputs[0])
    if node.op_type == "Where":
        return _search(node.inputs[1]) or _search(node.inputs[2])
    return _normalisation(value)


def _normalisation(value: ir.Value) -> Tap | None:
    half = _clamped(value)
    quotient = _other_operand(half, "Add", 0.5)
    difference, spread = _operands(quotient, "Div")
    raw, threshold = _operands(difference, "Sub")
    if raw is None or read_scalar(threshold) is None or read_scalar(spread) is None:
        return None
    return Tap(raw, _finite(threshold), _finite(spread))


def _clamped(value: ir.Value) -> ir.Value | None:
    """What is clamped to [0, 1] here, by ``Clip`` (bounds are attributes before opset 11) or ``Min`` and ``Max``."""
    node = value.producer()
    if node is not None and node.op_type == "Clip":
        inputs = [*node.inputs, None, None][:3]
        low = node.attributes["min"].as_float() if "min" in node.attributes else read_scalar(inputs[1])
        high = node.attributes["max"].as_float() if "max" in node.attributes else read_scalar(inputs[2])
        return inputs[0] if (low, high) == (0.0, 1.0) else None
    inside = _other_operand(value, "Min", 1.0)
    if inside is not None:
        return _other_operand(inside, "Max", 0.0)
    return _other_operand(_other_operand(value, "Max", 0.0), "Min", 1.0)


def _operands(value: ir.Value | None, operator: str) -> tuple[ir.Value | None, ir.Value | None]:
    node = None if value is None else value.producer()
    if node is None or node.op_type != operator or len(node.inputs) != 2:
        return None, None
    return node.inputs[0], node.inputs[1]


def _other_operand(value: ir.Value | None, operator: str, constant: float) -> ir.Value | None:
    """The operand beside that constant, in either order."""
    first, second = _operands(value, operator)
    if same_scalar(second, constant):
        return first
    return second if same_scalar(first, constant) else None


def _finite(value: ir.Value | None) -> float | None:
    number = read_scalar(value)
    return number if number is not None and math.isfinite(number) else None
