"""Chooses which values of a graph are its outputs, and drops what none of them needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx_ir as ir
import onnx_ir.passes.common as common_passes

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["SelectOutputsPass"]


class SelectOutputsPass(ir.passes.InPlacePass):
    """Requires: every name is a value of the graph. Ensures: exactly these are the outputs, in this order.

    Nodes and weights that led to other outputs only are gone.
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
