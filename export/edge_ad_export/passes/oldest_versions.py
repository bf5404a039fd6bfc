"""Declares a graph in the oldest version of ONNX that its nodes allow, so that older runtimes open it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import onnx
import onnx_ir as ir

from edge_ad_export.graph.libraries import load_onnxruntime

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["OldestVersionsPass", "needed_onnxruntime"]

_RUNTIME_OPSET: Final = 21
_RUNTIME_IR: Final = 10
_OLDEST_IR: Final = 4  # before it, weights had to be inputs too
"""What the oldest supported ONNX Runtime, 1.20, was made for: newer files than these are declared anew."""

# The same signature, and another result: of Attention where no key is left, of pooling where a window is cut off.
_CHANGED = {"Attention"}
_CHANGED_WHERE_CUT_OFF = {"AveragePool", "LpPool", "MaxPool"}
_IR_OF_TYPES = {"FLOAT4E2M1": 11, "FLOAT8E8M0": 12, "INT2": 13, "UINT2": 13}
# The ONNX Runtime that is known to open newer files, by opset and by IR version; of still newer ones the one here.
_RUNTIMES = ((22, 10, "1.22"), (23, 11, "1.23"))


def needed_onnxruntime(path: Path) -> str | None:
    """The ONNX Runtime that a file was made for, such as ``1.23``; ``None`` where the oldest supported one opens it."""
    model = ir.load(path)
    opset = max((model.opset_imports.get(domain, 0) for domain in ("", "ai.onnx")), default=0)
    if opset <= _RUNTIME_OPSET and model.ir_version <= _RUNTIME_IR:
        return None
    here = ".".join(load_onnxruntime().__version__.split(".")[:2])
    known = (version for newest, newest_ir, version in _RUNTIMES if opset <= newest and model.ir_version <= newest_ir)
    return next(known, here)


class OldestVersionsPass(ir.passes.InPlacePass):
    """Requires: types of all values; functions are inlined.

    Does: where the graph is newer than the oldest supported runtime, sets the oldest opset, not below that runtime's,
    in which every node means the same, and the oldest IR version. Attributes that this opset does not know are taken
    away where they have their default. Nodes that exist in newer opsets only keep the graph there.

    Ensures: the same outputs.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        before = model.opset_imports.get("", _RUNTIME_OPSET), model.ir_version
        if not model.functions:
            _lower_opset(model, before[0])
        needed = onnx.helper.find_min_ir_version_for(
            [onnx.helper.make_opsetid("", model.opset_imports.get("", _RUNTIME_OPSET))], ignore_unknown=True
        )
        model.ir_version = max(_OLDEST_IR, min(before[1], max(_RUNTIME_IR, needed, _ir_for_types(model))))
        return ir.passes.PassResult(model, before != (model.opset_imports.get("", _RUNTIME_OPSET), model.ir_version))


def _lower_opset(model: ir.Model, found: int) -> None:
    nodes = [node for node in model.graph.all_nodes() if node.domain == ""]
    for opset in range(_RUNTIME_OPSET, found):
        if all(_means_the_same(node, found, opset) for node in nodes):
            for node in nodes:
                _forget_defaults(node, found, opset)
            model.opset_imports[""] = opset
            for graph in model.graph.subgraphs():
                if "" in graph.opset_imports:
                    graph.opset_imports[""] = opset
            return


def _ir_for_types(model: ir.Model) -> int:
    values = [value for node in model.graph.all_nodes() for value in (*node.inputs, *node.outputs) if value is not None]
    return max((_IR_OF_TYPES.get(value.dtype.name, 0) for value in values if value.dtype is not None), default=0)


def _means_the_same(node: ir.Node, newer: int, older: int) -> bool:
    """Whether the node's operator in the older opset takes its inputs and attributes, and gives the same."""
    if not all(onnx.defs.has(node.op_type, version) for version in (newer, older)):
        return False
    new, old = (onnx.defs.get_schema(node.op_type, version) for version in (newer, older))
    if new.since_version == old.since_version:
        return True
    if node.op_type in _CHANGED:
        return False
    if node.op_type in _CHANGED_WHERE_CUT_OFF and node.attributes.get_int("ceil_mode", 0) != 0:
        return False
    known = all(name in old.attributes or _is_default(new, name, node.attributes[name]) for name in node.attributes)
    fits = len(node.inputs) <= old.max_input and len(node.outputs) <= old.max_output
    return known and fits and _takes(old, old.inputs, node.inputs) and _takes(old, old.outputs, node.outputs)


def _forget_defaults(node: ir.Node, newer: int, older: int) -> None:
    old = onnx.defs.get_schema(node.op_type, older)
    if old.since_version != onnx.defs.get_schema(node.op_type, newer).since_version:
        for name in [name for name in node.attributes if name not in old.attributes]:
            node.attributes.pop(name)


def _is_default(schema: Any, name: str, attribute: ir.Attr) -> bool:
    if name not in schema.attributes:
        return False
    default = schema.attributes[name].default_value
    return bool(default.type) and ir.from_proto(default).value == attribute.value


def _takes(schema: Any, parameters: Sequence[Any], values: Sequence[ir.Value | None]) -> bool:
    """Whether the operator's parameters are of types that the values have; the last one may stand for several."""
    types = {one.type_param_str: set(one.allowed_type_strs) for one in schema.type_constraints}
    for place, value in enumerate(values):
        if value is None:
            continue
        wanted = parameters[min(place, len(parameters) - 1)].type_str
        found = value.type or (ir.TensorType(value.const_value.dtype) if value.const_value is not None else None)
        if found is None or _type_name(found) not in types.get(wanted, {wanted}):
            return False
    return True


def _type_name(found: ir.TypeProtocol) -> str:
    """As operators' schemas write it: ``tensor(float)``, ``seq(tensor(float))``."""
    if isinstance(found, ir.SequenceType):
        return f"seq({_type_name(found.elem_type)})"
    if isinstance(found, ir.OptionalType):
        return f"optional({_type_name(found.elem_type)})"
    return f"tensor({found.dtype.name.lower()})"
