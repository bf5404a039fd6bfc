"""Finds the raw score and map behind the normalisation that anomalib's post-processor leaves in a graph.

In ONNX it is ``clip((raw - threshold) / range + 0.5, 0, 1)``. OpenVINO's converter rewrites that to
``raw * scale + shift``, and where a blur comes before it, multiplies the blur's kernel by the scale instead.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import onnx_ir.passes.common as common_passes
from onnxscript import optimizer

from edge_ad_export.graph.backbone import is_smoothing
from edge_ad_export.graph.embedded import embed, embedded_model, find_embedded
from edge_ad_export.graph.libraries import load_openvino, quiet_logs
from edge_ad_export.graph.match import read_scalar, same_scalar

if TYPE_CHECKING:
    import numpy as np
    import onnx_ir as ir
    from numpy.typing import NDArray

__all__ = ["RawOutput", "RawOutputs", "find_raw", "find_raw_outputs"]


@dataclass(frozen=True)
class RawOutput:
    """A score or map before normalisation.

    Attributes:
        name: of the raw value in the graph.
        threshold: the constant that was subtracted; ``None`` without normalisation, or where it is not finite.
        range: the constant that was divided by; ``None`` likewise.
    """

    name: str
    threshold: float | None = None
    range: float | None = None


@dataclass(frozen=True)
class RawOutputs:
    """``model``: the graph, with the raw values among its values; ``raw``: by the name of the normalised output."""

    model: ir.Model
    raw: Mapping[str, RawOutput]


def find_raw_outputs(model: ir.Model, outputs: Sequence[str]) -> RawOutputs:
    """The raw values behind these outputs. The model given is not changed.

    Taken away are a clamp to [0, 1], the affine step before it and the branches around them, nothing else: any other
    arithmetic belongs to the model. An output without them is raw already, as with ``post_processor=False``.
    """
    node = find_embedded(model)
    return _in_onnx(model, outputs) if node is None else _in_openvino(node, outputs)


def _in_onnx(model: ir.Model, outputs: Sequence[str]) -> RawOutputs:
    """The graph has the values already: they are found on a copy with folded constants, which keeps their names."""
    copy = model.clone()
    with quiet_logs("onnx_ir", "onnxscript"):
        common_passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(copy)
        optimizer.fold_constants(copy)
    return RawOutputs(model, {str(out.name): find_raw(out) for out in copy.graph.outputs if out.name in outputs})


def find_raw(output: ir.Value) -> RawOutput:
    """Walks back from an output of anomalib's post-processor to the value that it normalised.

    The chain is ``clip((raw - threshold) / range + 0.5, 0, 1)``, with ``Clip`` or ``Min`` and ``Max``; the dynamo
    exporter puts it into branches of ``Where``. Only this very chain is taken away: any other arithmetic belongs to
    the model. Without it the output is raw already, as with ``post_processor=False``.
    """
    return _search_onnx(output) or RawOutput(str(output.name))


def _search_onnx(value: ir.Value | None) -> RawOutput | None:
    node = None if value is None else value.producer()
    if value is None or node is None:
        return None
    if node.op_type == "Identity":
        return _search_onnx(node.inputs[0])
    if node.op_type == "Where":
        return _search_onnx(node.inputs[1]) or _search_onnx(node.inputs[2])
    return _normalisation(value)


def _normalisation(value: ir.Value) -> RawOutput | None:
    half = _clamped(value)
    quotient = _other_operand(half, "Add", 0.5)
    difference, spread = _operands(quotient, "Div")
    raw, threshold = _operands(difference, "Sub")
    if raw is None or read_scalar(threshold) is None or read_scalar(spread) is None:
        return None
    return RawOutput(str(raw.name), _finite(threshold), _finite(spread))


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


def _in_openvino(node: ir.Node, outputs: Sequence[str]) -> RawOutputs:
    """A copy of the graph that has the raw values as outputs too, named ``<output>_raw``."""
    graph = embedded_model(node).clone()
    raw: dict[str, RawOutput] = {}
    for name in outputs:
        found = _search_openvino(graph.output(name).get_node().input_value(0))
        raw[name] = RawOutput(name) if found is None else _add_output(graph, f"{name}_raw", found)
    return RawOutputs(embed(graph), raw)


@dataclass(frozen=True)
class _Found:
    """``port`` holds ``raw * inside``: what was normalised, but for a scale that went into the kernel before it."""

    port: Any
    scale: float
    shift: float
    inside: float = 1.0


@dataclass(frozen=True)
class _Operand:
    port: Any
    constant: float


def _add_output(graph: Any, name: str, found: _Found) -> RawOutput:
    opset = load_openvino().opset15
    port = found.port
    if found.inside != 1.0:
        port = opset.multiply(port, port.get_element_type().to_dtype().type(1 / found.inside)).output(0)
    result = opset.result(port)
    port.get_tensor().set_names({name})
    graph.add_results([result])
    spread = 1 / found.scale
    return RawOutput(name, threshold=(0.5 - found.shift) * spread, range=spread)


def _search_openvino(port: Any) -> _Found | None:
    node = port.get_node()
    kind = node.get_type_name()
    if kind == "Select":
        return _search_openvino(node.input_value(1)) or _search_openvino(node.input_value(2))
    if kind != "Clamp" or (node.get_attributes()["min"], node.get_attributes()["max"]) != (0.0, 1.0):
        return None
    # Without an addition the threshold is half of the range.
    shifted = _beside_constant(node.input_value(0), "Add") or _Operand(node.input_value(0), 0.0)
    return _unscaled(shifted.port, shifted.constant)


def _unscaled(port: Any, shift: float) -> _Found | None:
    raw = _beside_constant(port, "Multiply")
    if raw is not None:
        return _Found(raw.port, raw.constant, shift) if raw.constant > 0 else None
    node = port.get_node()
    kernel = _constant(node.input_value(1)) if node.get_type_name() == "Convolution" else None
    total = 0.0 if kernel is None else float(kernel.sum())
    # anomalib's blur has weights that sum to 1: what they sum to here is the scale.
    if kernel is not None and total > 0 and is_smoothing(kernel / total):
        return _Found(port, total, shift, inside=total)
    return None


def _beside_constant(port: Any, kind: str) -> _Operand | None:
    """The operand of ``kind`` beside a constant of one element, in either order."""
    node = port.get_node()
    if node.get_type_name() != kind:
        return None
    for index in (0, 1):
        number = _constant(node.input_value(index))
        if number is not None and number.size == 1:
            return _Operand(node.input_value(1 - index), float(number.reshape(())))
    return None


def _constant(port: Any) -> NDArray[np.floating] | None:
    node = port.get_node()
    while node.get_type_name() == "Convert":  # weights stored in 16 bits
        node = node.input_value(0).get_node()
    if node.get_type_name() != "Constant":
        return None
    data: NDArray[np.floating] = node.data
    return data
