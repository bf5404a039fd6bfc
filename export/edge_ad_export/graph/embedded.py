"""The node that stands for a whole OpenVINO model."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any, Final

import onnx_ir as ir
import onnx_ir.passes.common as common_passes

from edge_ad.errors import ModelError, one_line
from edge_ad_export.graph.libraries import load_openvino, openvino_reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

__all__ = ["DOMAIN", "embed", "embedded_model", "find_embedded", "infer_embedded", "name_outputs", "to_openvino"]


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
        raise ModelError(
            f"the model cannot take {frame.name} of shape {frame.shape}: {openvino_reason(error)}"
        ) from None
    node.meta[_MODEL] = sized
    for value, port in zip(node.outputs, sized.outputs, strict=True):
        value.shape = _shape(port, str(value.name))
    return True


def name_outputs(model: ir.Model, asked: Iterable[str]) -> None:
    """Calls outputs of an embedded model by the names that are asked for, where these are among their names.

    OpenVINO knows a value by all names that converters gave it, in no order.
    """
    node = find_embedded(model)
    if node is None:
        return
    known = {str(value.name) for value in (*node.inputs, *node.outputs) if value is not None}
    for name in set(asked) - known:
        for value, port in zip(node.outputs, embedded_model(node).outputs, strict=True):
            if name in port.names:
                value.name = name


def with_fixed_inputs(node: ir.Node, arrays: Mapping[str, NDArray[Any]]) -> ir.Model:
    """The embedded model with constants in place of the inputs of these names."""
    model = embedded_model(node).clone()
    names = [str(value.name) for value in node.inputs if value is not None]
    outputs = [str(value.name) for value in node.outputs]
    constant = load_openvino().opset15.constant
    for name, parameter in zip(names, model.get_parameters(), strict=True):
        if name in arrays:
            parameter.output(0).replace(constant(arrays[name]).output(0))
            model.remove_parameter(parameter)
    fixed = embed(model)
    for value, name in zip(fixed.graph.outputs, outputs, strict=True):
        value.name = name
    return fixed


# The names by which importers know outputs: a port that has one of them goes by it.
_TELLING = ("score", "pred_score", "anomaly_score", "map", "anomaly_map", "output")


def _name(port: Any) -> str:
    names = port.names
    if not names:
        return str(port.get_node().get_friendly_name())
    return next((name for name in _TELLING if name in names), min(names, key=lambda name: (len(name), name)))


def _value(port: Any) -> ir.Value:
    name = _name(port)
    dtype = _TYPES.get(port.element_type.get_type_name())
    return ir.val(name, dtype, _shape(port, name))


def _shape(port: Any, name: str) -> ir.Shape | None:
    found = port.get_partial_shape()
    if found.rank.is_dynamic:
        return None
    return ir.Shape([f"{name}_{axis}" if dim.is_dynamic else dim.get_length() for axis, dim in enumerate(found)])


# Names that no model has by chance.
_INTO = "edge_ad_into_embedded"
_OUT_OF = "edge_ad_out_of_embedded"


def to_openvino(model: ir.Model) -> Any:
    """The graph as an ``openvino.Model``; what is around an embedded model is converted, the model is taken as it is.

    Raises:
        ModelError: OpenVINO cannot convert the graph; the message names the operators.
    """
    node = find_embedded(model)
    if node is None:
        return _convert(model)
    shell = model.clone()
    inner = embedded_model(node).clone()
    taken = _open_up(shell)
    converted = _convert(shell)
    try:
        return _join(converted, inner, taken, [str(value.name) for value in model.graph.outputs])
    except RuntimeError as error:
        raise ModelError(f"OpenVINO cannot join the model and its head: {openvino_reason(error)}") from error


def _convert(model: ir.Model) -> Any:
    graph = io.BytesIO(ir.to_proto(model).SerializeToString())
    try:
        return load_openvino().convert_model(graph)
    except Exception as error:  # OpenVINO's own errors of conversion have no base but this one
        raise ModelError(f"OpenVINO cannot convert {_not_converted(str(error))}") from error


def _not_converted(report: str) -> str:
    """The operators that OpenVINO's report of a failed conversion names, and where it says why, the reason.

    The report ends in a summary: operators it has no rule for, then those whose rule failed, which are often only the
    ones behind the former.
    """
    unknown, failed = (
        [
            re.sub(r"-\d+$", "", name.strip())
            for line in re.findall(rf"{title}: (.+)", report)
            for name in line.split(",")
        ]
        for title in ("No conversion rule found for operations", "Conversion is failed for")
    )
    if unknown:
        return f"{', '.join(unknown)}: it has no rule for it"
    details = report.partition("Summary:")[0].strip().splitlines()
    if failed:
        return f"{', '.join(failed)}: {details[-1].strip()}"
    return f"the graph: {one_line(details[-1]) if details else 'no reason given'}"


def _open_up(shell: ir.Model) -> list[int]:
    """Takes the embedded node out: what it took becomes an output, what it gave becomes inputs.

    Returns which of its outputs are used; the k-th of them is the input ``edge_ad_out_of_embedded_k``.
    """
    graph = shell.graph
    node = find_embedded(shell)
    if node is None or node.inputs[0] is None:
        raise AssertionError("only called for a graph with an embedded model")
    into = _renamed(graph, node.inputs[0], _INTO)
    used = [index for index, value in enumerate(node.outputs) if value.uses() or value.is_graph_output()]
    for index in used:
        old = node.outputs[index]
        new = ir.val(f"{_OUT_OF}_{index}", old.dtype, old.shape)
        graph.inputs.append(new)
        # An output must not be an input at the same time.
        for position, output in enumerate(list(graph.outputs)):
            if output is old:
                graph.outputs[position] = _renamed(graph, new, str(old.name))
        old.replace_all_uses_with(new)
        old.name = f"{old.name}_inside"
    graph.outputs.append(into)
    graph.remove(node, safe=True)
    common_passes.TopologicalSortPass()(shell)
    return used


def _renamed(graph: ir.Graph, value: ir.Value, name: str) -> ir.Value:
    node = ir.node("Identity", [value], outputs=[ir.val(name, value.dtype, value.shape)])
    graph.append(node)
    return node.outputs[0]


def _join(shell: Any, inner: Any, taken: list[int], outputs: list[str]) -> Any:
    """Wires the inner model into the place that was opened for it."""
    frame = next(port for port in shell.inputs if not any(name.startswith(_OUT_OF) for name in port.names))
    source = shell.output(_INTO).get_node().input_value(0)
    results = [inner.outputs[index].get_node().input_value(0) for index in taken]
    _make_names_unique(shell, inner)
    # Where nothing lies between, the frame itself carries the name of the opening too.
    source.get_tensor().set_names(source.get_names() - {_INTO})
    _feed(inner.inputs[0], source)
    for index, result in zip(taken, results, strict=True):
        _feed(shell.input(f"{_OUT_OF}_{index}"), result)
    joined = load_openvino().Model(
        [shell.output(name).get_node() for name in outputs], [frame.get_node()], inner.get_friendly_name()
    )
    joined.validate_nodes_and_infer_types()
    return joined


def _feed(parameter: Any, source: Any) -> None:
    for port in parameter.get_target_inputs():
        port.replace_source_output(source)


def _make_names_unique(shell: Any, inner: Any) -> None:
    taken = {op.get_friendly_name() for op in shell.get_ops()}
    for op in inner.get_ops():
        if op.get_friendly_name() in taken:
            op.set_friendly_name(f"{op.get_friendly_name()}_inside")
        for port in op.outputs():
            port.get_tensor().set_names(set())
