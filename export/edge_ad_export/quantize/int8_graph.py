"""An int8 graph for ONNX Runtime or OpenVINO, whose layers can be set back to float; and a graph's operations."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as common_passes

from edge_ad_export.graph.backbone import FLOAT_ONLY, SHORTLIST, Op, is_heavy
from edge_ad_export.graph.builder import add_constant
from edge_ad_export.graph.libraries import save_openvino
from edge_ad_export.graph.match import read_array

if TYPE_CHECKING:
    from collections.abc import Collection, MutableMapping, Sequence

    from numpy.typing import NDArray

__all__ = [
    "OnnxInt8",
    "OpenVinoInt8",
    "QuantizedGraph",
    "StoredWeightsPass",
    "constant_of",
    "most_suspected_first",
    "onnx_ops",
    "openvino_ops",
]


class QuantizedGraph(Protocol):
    """An int8 graph that can be saved with some of its layers in float.

    ``layers``: the names of the operations that work on quantized values. Those that usually lose most accuracy come
    first, see :func:`most_suspected_first`. ``sums``: those of them that only add up two results of others. In float
    they take hardly more time, and what passes through a chain of residual blocks is not rounded once a block.
    ``shortlists``: those of them that make the shortlist of a search, whose errors are mended afterwards. They take a
    good part of the time.
    """

    layers: tuple[str, ...]
    sums: tuple[str, ...]
    shortlists: tuple[str, ...]

    def save(self, path: Path, floats: Collection[str] = ()) -> None:
        """Writes the model with the layers ``floats`` in float. OpenVINO has the weights in a second file."""
        ...


def most_suspected_first(layers: Sequence[Op]) -> tuple[str, ...]:
    """The names of the layers, which are given in the order of execution, those that usually lose most first.

    Depthwise convolutions come first, because all their channels share one range, however different they are. The
    others keep their order, because an early error passes through all layers that follow.
    """
    depthwise = [op.name for op in layers if op.kernel is not None and op.kernel.shape[1] == 1]
    return (*depthwise, *(op.name for op in layers if op.name not in set(depthwise)))


def _sums(layers: Sequence[Op]) -> tuple[str, ...]:
    return tuple(op.name for op in layers if op.sums)


def _shortlists(layers: Sequence[Op]) -> tuple[str, ...]:
    return tuple(op.name for op in layers if op.name.startswith(SHORTLIST))


class OnnxInt8:
    """A :class:`QuantizedGraph` in ONNX's QDQ form.

    Args:
        original: the float graph that ``quantized`` was made from. Nodes that are in both have the same names.
    """

    def __init__(self, original: ir.Model, quantized: ir.Model) -> None:
        self._original = {str(node.name): node for node in original.graph}
        StoredWeightsPass()(quantized)
        self._quantized = quantized
        dequantized = {str(node.name) for node in quantized.graph if _is_quantized_node(node)}
        layers = [op for op in onnx_ops(original.graph) if op.name in dequantized]
        self.layers, self.sums, self.shortlists = most_suspected_first(layers), _sums(layers), _shortlists(layers)

    def save(self, path: Path, floats: Collection[str] = ()) -> None:
        """Writes the model with the layers ``floats`` in float."""
        model = self._quantized.clone()
        known = ir.convenience.create_value_mapping(model.graph)
        for node in list(model.graph):
            if node.name in floats:
                self._restore(node, known)
        common_passes.RemoveUnusedNodesPass()(model)
        common_passes.TopologicalSortPass()(model)
        ir.save(model, path)

    def _restore(self, node: ir.Node, known: MutableMapping[str, ir.Value]) -> None:
        """Connects a float layer to its inputs in the original graph: the tensors before they were quantized."""
        for index, value in enumerate(self._original[str(node.name)].inputs):
            if value is not None:
                node.replace_input_with(index, _original_value(value, node, known))


def _is_quantized_node(node: ir.Node) -> bool:
    producers = (value.producer() for value in node.inputs if value is not None)
    return any(producer is not None and producer.op_type == "DequantizeLinear" for producer in producers)


def _original_value(value: ir.Value, user: ir.Node, known: MutableMapping[str, ir.Value]) -> ir.Value:
    """The value of this name in the quantized graph. Weights that it holds in 8 bits only are added again in float."""
    name, array = str(value.name), read_array(value)
    if array is not None and user.graph is not None:
        # A quantizer may have corrected a bias under its old name.
        name = f"{name}_float"
        if name not in known:
            known[name] = add_constant(user.graph, name, array)
    return known[name]


_ONNX_CONVOLUTIONS = {"Conv", "ConvTranspose"}
_PRODUCTS = {"Gemm", "MatMul"}


def onnx_ops(graph: ir.Graph) -> tuple[Op, ...]:
    """The nodes in the order of execution. Every node must have a name of its own."""
    return tuple(_onnx_op(node) for node in graph)


def _onnx_op(node: ir.Node) -> Op:
    sources = (value.producer() for value in node.inputs if value is not None)
    feeds = tuple(str(source.name) for source in sources if source is not None)
    factor = _weights(node) if node.op_type in _PRODUCTS else None
    sums = node.op_type == "Add" and all(read_array(value) is None for value in node.inputs)
    return Op(str(node.name), feeds, _kernel(node), factor is not None, factor is not None and is_heavy(factor), sums)


def _kernel(node: ir.Node) -> NDArray[np.floating] | None:
    weights = _weights(node) if node.op_type in _ONNX_CONVOLUTIONS else None
    # ConvTranspose keeps its input channels first.
    return weights.swapaxes(0, 1) if weights is not None and node.op_type == "ConvTranspose" else weights


def _weights(node: ir.Node) -> NDArray[np.floating] | None:
    return read_array(node.inputs[1]) if len(node.inputs) > 1 else None


class StoredWeightsPass(ir.passes.InPlacePass):
    """Requires nothing. Replaces each ``QuantizeLinear`` of a constant by its result. Ensures: the same results.

    NNCF leaves the weights of an ONNX graph in float and adds a quantizer after them, so the file would not shrink.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        graph = model.graph
        modified = False
        for node in list(graph):
            stored = _stored(node) if node.op_type == "QuantizeLinear" else None
            if stored is None:
                continue
            output = node.outputs[0]
            value = ir.val(f"{output.name}_stored", const_value=ir.tensor(stored, name=f"{output.name}_stored"))
            graph.register_initializer(value)
            output.replace_all_uses_with(value)
            graph.remove(node, safe=True)
            modified = True
        return ir.passes.PassResult(model, modified)


def _stored(node: ir.Node) -> NDArray[Any] | None:
    """``round(x / scale) + zero point``, saturated; halves are rounded to even, as the ONNX standard says."""
    arrays = [None if value is None else read_array(value) for value in node.inputs]
    if len(arrays) != 3 or any(array is None for array in arrays):
        return None
    weights, scale, zero = arrays
    if weights is None or scale is None or zero is None:
        return None
    axis = node.attributes.get_int("axis", 1)
    shape = [1] * weights.ndim
    if scale.ndim and scale.size > 1:
        shape[axis] = scale.size
    limits = np.iinfo(zero.dtype)
    steps = np.rint(weights / scale.reshape(shape if scale.size > 1 else ())) + zero.reshape(
        shape if zero.size > 1 else ()
    )
    return np.asarray(np.clip(steps, limits.min, limits.max), zero.dtype)


# Smaller constants hardly matter for the size of a file.
_HALF_ELEMENTS_MIN = 10_000


class OpenVinoInt8:
    """A :class:`QuantizedGraph` made of an ``openvino.Model``.

    Args:
        original: the float graph that ``quantized`` was made from. Nodes that are in both have the same names.
    """

    def __init__(self, original: Any, quantized: Any) -> None:
        self._original = {node.get_friendly_name(): node for node in original.get_ops()}
        self._quantized = quantized
        ops = openvino_ops(original)
        quantized_now = {node.get_friendly_name() for node in quantized.get_ops() if _is_quantized_operation(node)}
        layers = [op for op in ops if op.name in quantized_now]
        self.layers, self.sums, self.shortlists = most_suspected_first(layers), _sums(layers), _shortlists(layers)

    def save(self, path: Path, floats: Collection[str] = ()) -> None:
        """Writes the model and its weights with the layers ``floats`` in float. Float weights are stored in 16 bits,
        but for those of what is never quantized."""
        model = self._quantized.clone()
        nodes = {node.get_friendly_name(): node for node in model.get_ops()}
        for name in floats:
            self._restore(nodes[name], nodes)
        _store_in_half(model)
        save_openvino(model, path)

    def _restore(self, node: Any, nodes: dict[str, Any]) -> None:
        """Connects a float layer to its inputs in the original graph: the tensors before they were quantized."""
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
    """Gives the node the constant that feeds ``port`` in the original graph. Returns whether there was one."""
    from openvino import opset13

    data = constant_of(port)
    if data is None:
        return False
    node.input(port.get_index()).replace_source_output(opset13.constant(data).output(0))
    return True


def _store_in_half(model: Any) -> None:
    """Stores float weights in 16 bits. OpenVINO's own function does not do this for models with quantized layers."""
    from openvino import Type, opset13

    for node in model.get_ordered_ops():
        if node.get_type_name() != "Constant" or node.get_element_type() != Type.f32:
            continue
        data = node.data
        users = node.output(0).get_target_inputs()
        if data.size < _HALF_ELEMENTS_MIN or np.abs(data).max() >= np.finfo(np.float16).max:
            continue
        # Their sums cancel: next to norms in 32 bits a bank in 16 would shift distances by up to a hundredth.
        if any(port.get_node().get_friendly_name().startswith(FLOAT_ONLY) for port in users):
            continue
        half = opset13.convert(opset13.constant(data.astype(np.float16)), "f32")
        for port in users:
            port.replace_source_output(half.output(0))


def _is_quantized_operation(node: Any) -> bool:
    sources = (port.get_source_output().get_node().get_type_name() for port in node.inputs())
    return "FakeQuantize" in sources


_GROUPED = {"GroupConvolution", "GroupConvolutionBackpropData"}
_TRANSPOSED = {"ConvolutionBackpropData", "GroupConvolutionBackpropData"}
_CONVOLUTIONS = {"Convolution", *_GROUPED, *_TRANSPOSED}
# What may stand between a constant and the operation that takes it as weights.
_WRAPPERS = {"Convert", "Reshape", "Transpose"}


def openvino_ops(model: Any) -> tuple[Op, ...]:
    """The operations of an ``openvino.Model`` without its constants, in the order of execution."""
    return tuple(_openvino_op(node) for node in model.get_ordered_ops() if node.get_type_name() != "Constant")


def _openvino_op(node: Any) -> Op:
    feeds = tuple(value.get_source_output().get_node().get_friendly_name() for value in node.inputs())
    kind = node.get_type_name()
    weights = constant_of(node.input(1)) if kind in _CONVOLUTIONS | {"MatMul"} else None
    kernel = weights if kind in _CONVOLUTIONS else None
    if kernel is not None and kind in _TRANSPOSED:
        kernel = kernel.swapaxes(-kernel.ndim + (kind in _GROUPED), 1 + (kind in _GROUPED))
    if kernel is not None and kind in _GROUPED:
        kernel = kernel.reshape(-1, *kernel.shape[2:])  # [groups, out, in, ...] -> [groups * out, in, ...]
    factor = weights if kind == "MatMul" else None
    sums = kind == "Add" and all(constant_of(port) is None for port in node.inputs())
    return Op(
        node.get_friendly_name(), feeds, kernel, factor is not None, factor is not None and is_heavy(factor), sums
    )


def constant_of(port: Any) -> NDArray[np.floating] | None:
    """The constant that feeds an input, in the shape of the input; ``None`` if it is no constant."""
    node = port.get_source_output().get_node()
    shape = list(port.get_partial_shape().to_shape())
    while node.get_type_name() in _WRAPPERS:
        node = node.input(0).get_source_output().get_node()
    if node.get_type_name() != "Constant":
        return None
    data: NDArray[np.floating] = node.data
    return data.reshape(shape)
