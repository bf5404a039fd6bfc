"""Which values of a graph are its outputs, and their names and shapes as the contract of the bundle asks for.

What would make the work of a graph depend on the image is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as common_passes

from edge_ad.errors import ModelError
from edge_ad_export.graph.builder import add_constant
from edge_ad_export.graph.embedded import embedded_model, find_embedded
from edge_ad_export.graph.match import plane_of
from edge_ad_export.graph.static_shape import static_shape, unknown_behind

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["MAP", "SCORE", "ContractPass", "RequireStaticPass", "Role", "SelectOutputsPass"]


Role = Literal["score", "map"]
SCORE: Final = "score"
MAP: Final = "map"


class ContractPass(ir.passes.InPlacePass):
    """Requires: the outputs are what ``roles`` says, for one image, with static shapes.

    Does: casts, reshapes and renames the outputs. A model with a map alone scores its largest value.

    Ensures: ``score`` float32 ``[1]`` and, where the model has a map, ``map`` float32 ``[1, h', w']``.

    Raises:
        ModelError: an output does not have the shape of its role.
    """

    def __init__(self, roles: tuple[Role, ...]) -> None:
        super().__init__()
        self.roles = roles

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        graph = model.graph
        found = dict(zip(self.roles, list(graph.outputs), strict=True))
        for value in [*graph.inputs, *(v for node in graph for v in node.outputs)]:
            if value.name in (SCORE, MAP):
                value.name = f"{value.name}_model"
        outputs = []
        if MAP in found:
            outputs.append(_shaped(graph, found[MAP], MAP, _map_shape(found[MAP])))
        score = found[SCORE] if SCORE in found else _largest(graph, found[MAP])
        outputs.insert(0, _shaped(graph, score, SCORE, _score_shape(score)))
        graph.outputs[:] = outputs
        return ir.passes.PassResult(model, True)


def _largest(graph: ir.Graph, anomaly_map: ir.Value) -> ir.Value:
    # Without axes the node is the same in every opset.
    node = ir.node("ReduceMax", [anomaly_map], {"keepdims": 0})
    graph.append(node)
    node.outputs[0].type, node.outputs[0].shape = anomaly_map.type, ir.Shape(())
    return node.outputs[0]


def _shaped(graph: ir.Graph, value: ir.Value, name: str, shape: tuple[int, ...]) -> ir.Value:
    tape = ir.tape.Tape(graph)
    if value.dtype != ir.DataType.FLOAT:
        value = tape.op("Cast", [value], {"to": ir.DataType.FLOAT})
    target = add_constant(graph, f"{name}_shape", np.array(shape))
    return tape.op("Reshape", [value, target], output=ir.val(name, ir.DataType.FLOAT, shape))


def _score_shape(value: ir.Value) -> tuple[int, ...]:
    shape = static_shape(value)
    if shape is None or int(np.prod(shape)) != 1:
        raise ModelError(
            f"the score output must hold one number per image, found {value.name} with {_text(value)}: "
            "name another with --score-output"
        )
    return (1,)


def _map_shape(value: ir.Value) -> tuple[int, ...]:
    shape = static_shape(value)
    plane = None if shape is None else plane_of(shape)
    if plane is not None:
        return 1, *plane
    if shape is None or len(shape) < 2 or set(shape[:-2]) - {1} or 0 in shape:
        raise ModelError(
            f"the map output must have the shape [1, 1, height, width] for one image, found {value.name} with "
            f"{_text(value)}: name another with --map-output"
        )
    return 1, shape[-2], shape[-1]


def _text(value: ir.Value) -> str:
    found = "an unknown number of dimensions" if value.shape is None else f"shape {value.shape}"
    behind = unknown_behind(value) if static_shape(value) is None else ()
    return f"{found}, not known behind the operator {' and '.join(behind)}" if behind else found


class SelectOutputsPass(ir.passes.InPlacePass):
    """Requires: every name is a value of the graph.

    Does: removes nodes and weights that lead to other outputs only.

    Ensures: exactly these values are the outputs, in this order.
    """

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self.names = tuple(names)

    def requires(self, model: ir.Model) -> None:
        known = ir.convenience.create_value_mapping(model.graph)
        missing = [name for name in self.names if name not in known]
        if missing:
            raise ir.passes.PreconditionError(f"no values named {', '.join(missing)}")

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        graph = model.graph
        known = ir.convenience.create_value_mapping(graph)
        wanted = [known[name] for name in self.names]
        changed = list(graph.outputs) != wanted
        graph.outputs[:] = wanted
        removed = common_passes.RemoveUnusedNodesPass()(model).modified
        return ir.passes.PassResult(model, changed or removed)


_ONNX = {"If", "Loop", "Scan"}
_OPENVINO = {"If", "Loop", "TensorIterator"}


class RequireStaticPass(ir.passes.InPlacePass):
    """Requires: constants are folded, so that branches decided at export are gone.

    Does: looks for branches and loops; changes nothing.

    Ensures: every image takes the same work.

    Raises:
        ModelError: branches or loops are left. Their latency cannot be promised and quantization does not see
            into them.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        found = [f"{node.op_type} {node.name}" for node in model.graph if node.op_type in _ONNX]
        embedded = find_embedded(model)
        if embedded is not None:
            ops = embedded_model(embedded).get_ops()
            found += [f"{op.get_type_name()} {op.get_friendly_name()}" for op in ops if op.get_type_name() in _OPENVINO]
        if found:
            raise ModelError(
                f"the graph has dynamic control flow ({', '.join(found)}): export the model for a fixed input size "
                "and unroll its loops, or name outputs before them with --score-output and --map-output"
            )
        return ir.passes.PassResult(model, False)
