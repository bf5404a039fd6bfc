"""Mends what tools write into ONNX files though the standard forbids it, and whose meaning is clear nevertheless.

Some engines take such files and others do not: afterwards all of them do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx_ir as ir
import onnx_ir.passes.common as common_passes

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["mend"]

# Which input holds the factors of a resize: numbers of 32 bits, whatever the picture's type is.
_FACTORS = {"Resize": 2, "Upsample": 1}
_FACTORS_BEFORE_11 = 1
_NARROW = {ir.DataType.FLOAT16, ir.DataType.BFLOAT16, ir.DataType.DOUBLE}


def mend(model: ir.Model) -> None:
    """Changes the model where it has to.

    - Nodes that stand behind those that need them are sorted; a cycle is left as it is.
    - Nodes of the same name get a number behind it.
    - Negative lengths of axes are open ones, and so is a batch of none.
    - The factors of a resize that a converter made 16 bits wide are cast to 32.
    """
    if not _is_sorted(model):
        common_passes.TopologicalSortPass()(model)
    for graph in model.graphs():
        _name_apart(graph)
        for node in list(graph):
            _widen_factors(graph, node)
    for value in _values(model.graph):
        _open_axes(value)


def _is_sorted(model: ir.Model) -> bool:
    seen: set[ir.Node] = set()
    for graph in model.graphs():
        inside = set(graph)
        for node in graph:
            needed = (value.producer() for value in node.inputs if value is not None)
            if any(one in inside and one not in seen for one in needed):
                return False
            seen.add(node)
    return True


def _name_apart(graph: ir.Graph) -> None:
    taken: set[str] = {node.name for node in graph if node.name}
    seen: set[str] = set()
    for node in graph:
        if not node.name:
            continue
        name, count = node.name, 0
        while node.name in seen:
            count += 1
            if f"{name}_{count}" not in taken:
                node.name = f"{name}_{count}"
        seen.add(node.name)
        taken.add(node.name)


def _widen_factors(graph: ir.Graph, node: ir.Node) -> None:
    place = _FACTORS.get(node.op_type)
    if place is None or node.domain not in ("", "ai.onnx"):
        return
    if node.op_type == "Resize" and graph.opset_imports.get("", 11) < 11:
        place = _FACTORS_BEFORE_11
    factors = node.inputs[place] if place < len(node.inputs) else None
    dtype = None if factors is None else factors.dtype or (factors.const_value.dtype if factors.const_value else None)
    if factors is None or dtype not in _NARROW:
        return
    cast = ir.node("Cast", [factors], {"to": ir.DataType.FLOAT})
    cast.outputs[0].dtype = ir.DataType.FLOAT
    graph.insert_before(node, [cast])
    node.replace_input_with(place, cast.outputs[0])


def _values(graph: ir.Graph) -> Iterator[ir.Value]:
    yield from graph.inputs
    for node in graph:
        yield from node.outputs


def _open_axes(value: ir.Value) -> None:
    """Axes of a length below zero, and a first axis of none, get no length."""
    if value.shape is None or not any(isinstance(dim, int) and dim <= 0 for dim in value.shape):
        return
    is_none = value.shape[0] == 0 if len(value.shape) else False
    dims = [None if isinstance(dim, int) and dim < 0 else dim for dim in value.shape]
    value.shape = ir.Shape([None, *dims[1:]] if is_none else dims)
