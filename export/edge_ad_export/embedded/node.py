"""The node that stands for a whole OpenVINO model."""

from __future__ import annotations

from typing import Any, Final

import onnx_ir as ir

from edge_ad.errors import ModelError

__all__ = ["DOMAIN", "embed", "embedded_model", "find_embedded", "infer_embedded"]

DOMAIN: Final = "edge_ad"
_OPERATOR: Final = "OpenVinoModel"
_OPSET: Final = 18  # of the nodes that will be put around it
_MODEL: Final = "openvino"

_TYPES = {
    "boolean": ir.DataType.BOOL,
    "bf16": ir.DataType.BFLOAT16,
    "f16": ir.DataType.FLOAT16,
    "f32": ir.DataType.FLOAT,
    "f64": ir.DataType.DOUBLE,
    "i8": ir.DataType.INT8,
    "i16": ir.DataType.INT16,
    "i32": ir.DataType.INT32,
    "i64": ir.DataType.INT64,
    "u8": ir.DataType.UINT8,
    "u16": ir.DataType.UINT16,
    "u32": ir.DataType.UINT32,
    "u64": ir.DataType.UINT64,
}


def embed(model: Any) -> ir.Model:
    """An ONNX graph whose one node stands for an ``openvino.Model``, with the same inputs and outputs.

    The model itself is kept, not copied, and must not be changed any more.
    """
    inputs = [_value(port) for port in model.inputs]
    outputs = [_value(port) for port in model.outputs]
    node = ir.Node(DOMAIN, _OPERATOR, inputs, outputs=outputs, name=model.get_friendly_name())
    node.meta[_MODEL] = model
    graph = ir.Graph(inputs, outputs, nodes=[node], opset_imports={"": _OPSET, DOMAIN: 1}, name="embedded")
    return ir.Model(graph, ir_version=10)


def find_embedded(model: ir.Model) -> ir.Node | None:
    """The node that stands for an OpenVINO model, if the graph has one."""
    return next((node for node in model.graph if node.domain == DOMAIN and node.op_type == _OPERATOR), None)


def embedded_model(node: ir.Node) -> Any:
    """The ``openvino.Model`` that the node stands for. Not to be changed."""
    return node.meta[_MODEL]


def infer_embedded(model: ir.Model) -> bool:
    """Works out the shapes that an embedded model gives for the shape of its input; whether there was one to do.

    Raises:
        ModelError: the model cannot take an input of this shape.
    """
    node = find_embedded(model)
    frame = None if node is None else node.inputs[0]
    if node is None or frame is None or frame.shape is None or not frame.shape.is_static():
        return False
    sized = embedded_model(node).clone()
    try:
        sized.reshape({sized.inputs[0]: list(frame.shape.numpy())})
    except RuntimeError as error:
        raise ModelError(f"the model cannot take {frame.name} of shape {frame.shape}: {_last_line(error)}") from None
    node.meta[_MODEL] = sized
    for value, port in zip(node.outputs, sized.outputs, strict=True):
        value.shape = _shape(port, str(value.name))
    return True


def _value(port: Any) -> ir.Value:
    name = port.any_name if port.names else port.get_node().get_friendly_name()
    dtype = _TYPES.get(port.element_type.get_type_name())
    return ir.val(name, dtype, _shape(port, name))


def _shape(port: Any, name: str) -> ir.Shape | None:
    found = port.get_partial_shape()
    if found.rank.is_dynamic:
        return None
    return ir.Shape([f"{name}_{axis}" if dim.is_dynamic else dim.get_length() for axis, dim in enumerate(found)])


def _last_line(error: Exception) -> str:
    """OpenVINO puts where it failed first and why last."""
    lines = str(error).strip().splitlines()
    return lines[-1].strip() if lines else type(error).__name__
