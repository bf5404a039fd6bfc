"""Takes the distance of two feature maps of unit length from their cosine, without making either of unit length."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edge_ad_export.graph.builder import GraphBuilder
from edge_ad_export.graph.match import known_shape, made_by, read_scalar, reduced_axes, same_scalar
from edge_ad_export.graph.static_shape import static_shape

__all__ = ["NormalizedDistancePass"]


@dataclass(frozen=True)
class _Unit:
    """``features / divisor``, the divisor being their ``length`` with a floor; both have one channel."""

    features: ir.Value
    length: ir.Value
    divisor: ir.Value


class NormalizedDistancePass(ir.passes.InPlacePass):
    """Requires: static shapes.

    Does: ``|a / n - b / m|^2`` over the channels, with ``n`` and ``m`` the lengths of ``a`` and ``b`` kept above a
    floor, as student-teacher models take it, becomes ``(|a| / n)^2 + (|b| / m)^2 - 2 a b / (n m)``: the divisions
    are of one number per pixel instead of one per feature, and no normalised map is stored.

    Ensures: the same distances up to rounding.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        modified = False
        for node in list(model.graph):
            pair = _match(node)
            if pair is not None:
                _rewrite(model.graph, node, *pair)
                modified = True
        return ir.passes.PassResult(model, modified)


def _match(node: ir.Node) -> tuple[_Unit, _Unit] | None:
    difference = made_by(_squared_length(node), "Sub")
    if difference is None or len(static_shape(node.outputs[0]) or ()) != 4:
        return None
    first, second = (_unit(value) for value in difference.inputs)
    return None if first is None or second is None else (first, second)


def _squared_length(node: ir.Node) -> ir.Value | None:
    """What this node gives the squared length of, over the channels."""
    if node.op_type == "ReduceSumSquare":
        return _over_channels(node)
    if node.op_type == "Pow" and same_scalar(node.inputs[1], 2):
        return _over_channels(made_by(node.inputs[0], "ReduceL2"))
    square = made_by(_over_channels(node), "Pow") if node.op_type == "ReduceSum" else None
    return square.inputs[0] if square is not None and same_scalar(square.inputs[1], 2) else None


def _over_channels(node: ir.Node | None) -> ir.Value | None:
    keeps = node is not None and node.attributes.get_int("keepdims", 1) == 1
    return node.inputs[0] if node is not None and keeps and reduced_axes(node) == (1,) else None


def _unit(value: ir.Value | None) -> _Unit | None:
    quotient = made_by(value, "Div")
    if quotient is None or quotient.inputs[0] is None:
        return None
    features, divisor = quotient.inputs[0], quotient.inputs[1]
    expand = made_by(divisor, "Expand")
    divisor = divisor if expand is None else expand.inputs[0]
    floor = made_by(divisor, "Clip", "Max")
    length = None if floor is None else floor.inputs[0]
    if floor is None or length is None or divisor is None or not _only_a_floor(floor):
        return None
    return _Unit(features, length, divisor) if _over_channels(made_by(length, "ReduceL2")) is features else None


def _only_a_floor(node: ir.Node) -> bool:
    floor = read_scalar(node.inputs[1]) if len(node.inputs) > 1 else None
    return floor is not None and floor > 0 and not any(node.inputs[2:])


def _rewrite(graph: ir.Graph, node: ir.Node, first: _Unit, second: _Unit) -> None:
    shape = known_shape(node.outputs[0])
    build = GraphBuilder(graph, node)
    product = build.op("Mul", first.features, second.features, shape=known_shape(first.features))
    dot = build.reduce("ReduceSum", product, [1])
    cosine = build.op("Div", dot, build.op("Mul", first.divisor, second.divisor, shape=shape), shape=shape)
    total = build.op("Mul", cosine, build.constant("minus_two", np.float32(-2)), shape=shape)
    for unit in (first, second):
        ratio = build.op("Div", unit.length, unit.divisor, shape=shape)
        total = build.op("Add", total, build.op("Mul", ratio, ratio, shape=shape), shape=shape)
    build.commit()
    ir.convenience.replace_all_uses_with(node.outputs[0], total, replace_graph_outputs=True)
    graph.remove(node, safe=True)
