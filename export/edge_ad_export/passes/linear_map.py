"""Turns what happens to a finished anomaly map (upsampling, padding, blur) into two small matrix products."""

from __future__ import annotations

import math
from dataclasses import dataclass

import onnx_ir as ir

from edge_ad_export.graph.builder import GraphBuilder
from edge_ad_export.graph.match import known_shape, used_once
from edge_ad_export.passes.axis_matrix import axis_matrix, is_separable, map_size

__all__ = ["LinearMapPass"]

# A convolution of one plane does this much less work in a given time than a matrix product (measured: 10 to 40).
_CONV_PENALTY = 10
# A pixel that is interpolated or moved, in multiplications of a matrix product (measured: 100 to 200).
_MOVE_COST = 100


@dataclass(frozen=True)
class _Chain:
    """Nodes that follow each other, from ``start`` to ``end``: values of one plane."""

    nodes: tuple[ir.Node, ...]

    @property
    def start(self) -> ir.Value:
        value = self.nodes[0].inputs[0]
        if value is None:
            raise AssertionError("every node of a chain has an input")
        return value

    @property
    def end(self) -> ir.Value:
        return self.nodes[-1].outputs[0]

    def cost(self) -> int:
        """Multiplications, in the engines' measure."""
        return sum(_cost(node) for node in self.nodes)

    def cost_as_products(self) -> int:
        (h, w), (out_h, out_w) = map_size(self.start), map_size(self.end)
        return h * w * out_w + h * out_h * out_w


class LinearMapPass(ir.passes.InPlacePass):
    """Requires: static shapes.

    Does: a chain of ``Resize``, ``Pad`` and ``Conv`` on one plane, each of which treats rows and columns apart, is
    ``rows @ map @ columns``: resampling, reflected border and blur are in the two constant matrices. They are read
    off the nodes themselves, run on the identity matrix along one axis, so that any interpolation and any border
    that is linear is met as the engine means it. A chain that would not be cheaper as products is left alone.

    Ensures: the same sums in another order.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        modified = False
        for chain in _chains(model.graph):
            if chain.cost_as_products() < chain.cost():
                _replace(model.graph, chain)
                modified = True
        return ir.passes.PassResult(model, modified)


def _chains(graph: ir.Graph) -> list[_Chain]:
    """The longest chains."""
    chains: list[list[ir.Node]] = []
    for node in graph:
        if not is_separable(node):
            continue
        last = next((c for c in chains if c[-1].outputs[0] is node.inputs[0]), None)
        if last is not None and used_once(last[-1].outputs[0]):
            last.append(node)
        else:
            chains.append([node])
    return [_Chain(tuple(nodes)) for nodes in chains]


def _cost(node: ir.Node) -> int:
    height, width = map_size(node.outputs[0])
    if node.op_type != "Conv":
        return height * width * _MOVE_COST
    return height * width * (_MOVE_COST + _CONV_PENALTY * math.prod(known_shape(node.inputs[1])))


def _replace(graph: ir.Graph, chain: _Chain) -> None:
    opset = graph.opset_imports.get("", 1)
    rows, columns = axis_matrix(chain.nodes, 2, opset), axis_matrix(chain.nodes, 3, opset)
    (height, _), (out_height, out_width) = map_size(chain.start), map_size(chain.end)
    build = GraphBuilder(graph, chain.nodes[-1])
    across = build.op("MatMul", chain.start, build.constant("map_columns", columns.T), shape=(1, 1, height, out_width))
    down = build.op("MatMul", build.constant("map_rows", rows), across, shape=(1, 1, out_height, out_width))
    build.commit()
    ir.convenience.replace_all_uses_with(chain.end, down, replace_graph_outputs=True)
    graph.remove(list(chain.nodes), safe=True)
