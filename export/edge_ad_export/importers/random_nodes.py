"""Operators that draw random numbers: a score that changes from run to run can be neither checked nor calibrated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import onnx_ir as ir

from edge_ad.errors import ModelError
from edge_ad_export.graph.embedded import embedded_model, find_embedded
from edge_ad_export.graph.match import read_array

if TYPE_CHECKING:
    from pathlib import Path

    from edge_ad_export.model.imported import ImportedModel

__all__ = ["refuse_random", "switch_off_dropout"]

_RANDOM = {
    "": {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"},
    "com.microsoft": {"BiasDropout", "BitmaskBiasDropout", "BitmaskDropout", "Sampling"},
}
_RANDOM_IN_OPENVINO = {"Multinomial", "RandomUniform"}
# From this opset on an input says whether Dropout trains, before that an attribute said that it does not.
_TRAINING_INPUT, _ALWAYS_OFF = 12, 7


def switch_off_dropout(imported: ImportedModel) -> ImportedModel:
    """The model with each ``Dropout`` that is left in training mode replaced by what it gives on average: its input.

    A line among the assumptions says so. The model itself where there is none.
    """
    if not any(map(_can_be_switched_off, _all_nodes(imported.model))):
        return imported
    model = imported.model.clone()
    names = []
    for node in list(_all_nodes(model)):
        if _can_be_switched_off(node):
            names.append(_label(node))
            _replace_by_input(node)
    line = (
        f"the model was exported in training mode: {', '.join(names)} is left out, as it would draw random numbers; "
        "export the model in evaluation mode (model.eval()) where that is wrong"
    )
    return replace(imported, model=model, assumptions=(*imported.assumptions, line))


def refuse_random(model: ir.Model, path: Path) -> None:
    """Looks at all operators of the graph, of its branches and loops, and of the functions that it calls.

    Raises:
        ModelError: some of them draw random numbers; all are named.
    """
    found = [_label(node) for node in _reached(model) if _draws(node)]
    embedded = find_embedded(model)
    if embedded is not None:
        results = [embedded_model(embedded).outputs[value.index()] for value in embedded.outputs if _is_used(value)]
        found += _random_ops(results)
    if found:
        raise ModelError(
            f"{path} draws random numbers, so that no image would get the same score twice: {', '.join(found)}; "
            "export the model as it is used for detection: without sampling (of a VAE the mean of its code), in "
            "evaluation mode"
        )


def _draws(node: ir.Node) -> bool:
    if node.domain in ("", "ai.onnx") and node.op_type == "Dropout":
        return _trains(node)
    return node.op_type in _RANDOM.get("" if node.domain == "ai.onnx" else node.domain, ())


def _trains(node: ir.Node) -> bool:
    """Whether a ``Dropout`` is in training mode, or may be."""
    opset = node.graph.opset_imports.get("", _TRAINING_INPUT) if node.graph else _TRAINING_INPUT
    if opset < _ALWAYS_OFF:
        return not node.attributes.get_int("is_test", 0)
    if opset < _TRAINING_INPUT or len(node.inputs) < 3 or node.inputs[2] is None:
        return False
    array = read_array(_source(node.inputs[2]))
    return array is None or bool(array.any())


def _can_be_switched_off(node: ir.Node) -> bool:
    """Not where the graph decides by itself whether it trains, or reads which values were dropped."""
    if node.op_type != "Dropout" or node.domain not in ("", "ai.onnx") or not _trains(node):
        return False
    is_decided = len(node.inputs) < 3 or read_array(_source(node.inputs[2])) is not None
    return is_decided and not any(map(_is_used, node.outputs[1:]))


def _source(value: ir.Value | None) -> ir.Value | None:
    node = None if value is None else value.producer()
    return _source(node.inputs[0]) if node is not None and node.op_type == "Identity" else value


def _replace_by_input(node: ir.Node) -> None:
    graph, old = node.graph, node.outputs[0]
    if graph is None:
        raise AssertionError("a node that was found in a graph")
    new = ir.node("Identity", [node.inputs[0]], outputs=[ir.val(old.name, old.dtype, old.shape)], name=node.name)
    graph.insert_before(node, new)
    ir.convenience.replace_all_uses_with(old, new.outputs[0], replace_graph_outputs=True)
    graph.remove(node, safe=True)


def _all_nodes(model: ir.Model) -> Iterator[ir.Node]:
    yield from model.graph.all_nodes()
    for function in model.functions.values():
        yield from function.all_nodes()


def _reached(model: ir.Model) -> Iterator[ir.Node]:
    """The nodes of the graph and of the functions that they call, each once."""
    waiting, seen = list(model.graph.all_nodes()), set()
    while waiting:
        node = waiting.pop(0)
        yield node
        identifier = node.op_identifier()
        if identifier in model.functions and identifier not in seen:
            seen.add(identifier)
            waiting += model.functions[identifier].all_nodes()


def _random_ops(ports: Sequence[Any]) -> list[str]:
    """The operators of an OpenVINO model that draw, of those that lead to these results."""
    found, seen = [], set()
    waiting = [port.get_node() for port in ports]
    while waiting:
        op = waiting.pop()
        if op.get_friendly_name() in seen:
            continue
        seen.add(op.get_friendly_name())
        if op.get_type_name() in _RANDOM_IN_OPENVINO:
            found.append(f"{op.get_type_name()} {op.get_friendly_name()}")
        waiting += [port.get_source_output().get_node() for port in op.inputs()]
    return sorted(found)


def _is_used(value: ir.Value) -> bool:
    return bool(value.uses()) or value.is_graph_output()


def _label(node: ir.Node) -> str:
    return f"{node.op_type} {node.name or node.outputs[0].name}"
