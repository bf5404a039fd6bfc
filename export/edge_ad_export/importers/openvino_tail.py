"""Finds the raw values behind anomalib's normalisation in an OpenVINO graph.

The converter rewrites ``(raw - threshold) / range + 0.5`` to ``raw * scale + shift``, and where a blur comes before it,
multiplies the blur's kernel by the scale instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edge_ad_export.graph.backbone import is_smoothing
from edge_ad_export.graph.embedded import embed, embedded_model, find_embedded
from edge_ad_export.graph.libraries import load_openvino
from edge_ad_export.importers.onnx_tail import Exposed, RawOutput

if TYPE_CHECKING:
    import numpy as np
    import onnx_ir as ir
    from numpy.typing import NDArray

__all__ = ["expose_openvino"]


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


def expose_openvino(model: ir.Model, outputs: Sequence[str]) -> Exposed:
    """A graph that has the raw values behind ``outputs`` too, named ``<output>_raw``.

    Taken away are a clamp to [0, 1], the affine step before it and the branches of ``Select`` around them, nothing
    else. An output without them is raw already. The model given is not changed.
    """
    node = find_embedded(model)
    if node is None:
        raise AssertionError("only called for a graph with an embedded model")
    graph = embedded_model(node).clone()
    raw: dict[str, RawOutput] = {}
    for name in outputs:
        found = _search(graph.output(name).get_node().input_value(0))
        raw[name] = RawOutput(name) if found is None else _expose(graph, f"{name}_raw", found)
    return Exposed(embed(graph), raw)


def _expose(graph: Any, name: str, found: _Found) -> RawOutput:
    opset = load_openvino().opset15
    port = found.port
    if found.inside != 1.0:
        port = opset.multiply(port, port.get_element_type().to_dtype().type(1 / found.inside)).output(0)
    result = opset.result(port)
    port.get_tensor().set_names({name})
    graph.add_results([result])
    spread = 1 / found.scale
    return RawOutput(name, threshold=(0.5 - found.shift) * spread, range=spread)


def _search(port: Any) -> _Found | None:
    node = port.get_node()
    kind = node.get_type_name()
    if kind == "Select":
        return _search(node.input_value(1)) or _search(node.input_value(2))
    if kind != "Clamp" or (node.get_attributes()["min"], node.get_attributes()["max"]) != (0.0, 1.0):
        return None
    # Without an addition the threshold is half of the range.
    shifted = _beside_constant(node.input_value(0), "Add") or _Operand(node.input_value(0), 0.0)
    return _scaled(shifted.port, shifted.constant)


def _scaled(port: Any, shift: float) -> _Found | None:
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
