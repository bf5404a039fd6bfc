"""An OpenVINO graph as operations, and its quantized layers put back to float."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_ad_export.graph.backbone import Op, is_heavy
from edge_ad_export.graph.libraries import load_openvino
from edge_ad_export.quantize.int8_graph import in_priority

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["OpenVinoInt8", "constant_of", "openvino_ops"]


# Smaller constants are not what a file's size is made of.
_HALF_ELEMENTS_MIN = 10_000


class OpenVinoInt8:
    """A :class:`~edge_ad_export.quantize.int8_graph.Quantized` ``openvino.Model``.

    Args:
        original: the float graph that ``quantized`` was made of; both have the same names but for what was added.
    """

    def __init__(self, original: Any, quantized: Any) -> None:
        self._original = {node.get_friendly_name(): node for node in original.get_ops()}
        self._quantized = quantized
        ops = openvino_ops(original)
        quantized_now = {node.get_friendly_name() for node in quantized.get_ops() if _is_quantized(node)}
        self.layers = in_priority([op for op in ops if op.name in quantized_now])

    def save(self, path: Path, floats: Collection[str] = ()) -> None:
        """Writes the model and its weights, the layers ``floats`` in float; float weights are stored in 16 bits."""
        model = self._quantized.clone()
        nodes = {node.get_friendly_name(): node for node in model.get_ops()}
        for name in floats:
            self._restore(nodes[name], nodes)
        _store_in_half(model)
        load_openvino().save_model(model, path, compress_to_fp16=False)

    def _restore(self, node: Any, nodes: dict[str, Any]) -> None:
        """A float layer reads what it reads in the original: the tensors before they were quantized."""
        original = self._original[node.get_friendly_name()]
        for port in original.inputs():
            source = port.get_source_output()
            if not _restore_constant(port, node):
                value = nodes[source.get_node().get_friendly_name()].output(source.get_index())
                node.input(port.get_index()).replace_source_output(value)
        # A bias is a node of its own, which the quantizer may have corrected.
        for port in original.output(0).get_target_inputs():
            user = nodes.get(port.get_node().get_friendly_name())
            if user is not None and user.get_type_name() == "Add":
                _restore_constant(port.get_node().input(1 - port.get_index()), user)


def _restore_constant(port: Any, node: Any) -> bool:
    """Feeds the node with the constant of the original's ``port``, if it is one."""
    from openvino import opset13

    data = constant_of(port)
    if data is None:
        return False
    node.input(port.get_index()).replace_source_output(opset13.constant(data).output(0))
    return True


def _store_in_half(model: Any) -> None:
    """Stores float weights in 16 bits. OpenVINO's own way to do so leaves models with quantized layers alone."""
    from openvino import Type, opset13

    for node in model.get_ordered_ops():
        if node.get_type_name() != "Constant" or node.get_element_type() != Type.f32:
            continue
        data = node.data
        if data.size < _HALF_ELEMENTS_MIN or np.abs(data).max() >= np.finfo(np.float16).max:
            continue
        half = opset13.convert(opset13.constant(data.astype(np.float16)), "f32")
        for port in node.output(0).get_target_inputs():
            port.replace_source_output(half.output(0))


def _is_quantized(node: Any) -> bool:
    sources = (port.get_source_output().get_node().get_type_name() for port in node.inputs())
    return "FakeQuantize" in sources


_GROUPED = {"GroupConvolution", "GroupConvolutionBackpropData"}
_TRANSPOSED = {"ConvolutionBackpropData", "GroupConvolutionBackpropData"}
_CONVOLUTIONS = {"Convolution", *_GROUPED, *_TRANSPOSED}
# What may stand between a constant and the operation that takes it as weights.
_WRAPPERS = {"Convert", "Reshape", "Transpose"}


def openvino_ops(model: Any) -> tuple[Op, ...]:
    """The operations of an ``openvino.Model`` but its constants, in the order of execution."""
    return tuple(_op(node) for node in model.get_ordered_ops() if node.get_type_name() != "Constant")


def _op(node: Any) -> Op:
    feeds = tuple(value.get_source_output().get_node().get_friendly_name() for value in node.inputs())
    kind = node.get_type_name()
    weights = constant_of(node.input(1)) if kind in _CONVOLUTIONS | {"MatMul"} else None
    kernel = weights if kind in _CONVOLUTIONS else None
    if kernel is not None and kind in _TRANSPOSED:
        kernel = kernel.swapaxes(-kernel.ndim + (kind in _GROUPED), 1 + (kind in _GROUPED))
    if kernel is not None and kind in _GROUPED:
        kernel = kernel.reshape(-1, *kernel.shape[2:])  # [groups, out, in, ...] -> [groups * out, in, ...]
    factor = weights if kind == "MatMul" else None
    return Op(node.get_friendly_name(), feeds, kernel, factor is not None, factor is not None and is_heavy(factor))


def constant_of(port: Any) -> NDArray[np.floating] | None:
    """What an input is fed with, in its shape, where that is a constant."""
    node = port.get_source_output().get_node()
    shape = list(port.get_partial_shape().to_shape())
    while node.get_type_name() in _WRAPPERS:
        node = node.input(0).get_source_output().get_node()
    if node.get_type_name() != "Constant":
        return None
    data: NDArray[np.floating] = node.data
    return data.reshape(shape)
