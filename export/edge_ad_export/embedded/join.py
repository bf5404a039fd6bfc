"""From a graph, with or without an embedded model, to one OpenVINO model."""

from __future__ import annotations

import io
from typing import Any

import onnx_ir as ir
import onnx_ir.passes.common as common_passes

from edge_ad_export.embedded.node import embedded_model, find_embedded
from edge_ad_export.runtime import load_openvino

__all__ = ["to_openvino"]

# Names that no model has by chance.
_INTO = "edge_ad_into_embedded"
_OUT_OF = "edge_ad_out_of_embedded"


def to_openvino(model: ir.Model) -> Any:
    """The graph as an ``openvino.Model``; what is around an embedded model is converted, the model is taken as it is.

    Raises:
        RuntimeError: OpenVINO does not know the graph.
    """
    node = find_embedded(model)
    if node is None:
        return _convert(model)
    shell = model.clone()
    inner = embedded_model(node).clone()
    taken = _open_up(shell)
    return _join(_convert(shell), inner, taken, [str(value.name) for value in model.graph.outputs])


def _convert(model: ir.Model) -> Any:
    return load_openvino().convert_model(io.BytesIO(ir.to_proto(model).SerializeToString()))


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
    frame = next(port for port in shell.inputs if not port.any_name.startswith(_OUT_OF))
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
