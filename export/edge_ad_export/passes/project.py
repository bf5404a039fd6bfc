"""Searches a memory bank in fewer dimensions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from edge_ad.errors import ModelError
from edge_ad_export.graph.builder import GraphBuilder
from edge_ad_export.graph.match import known_shape, made_by, read_array, reduced_axes

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ProjectPass"]


class ProjectPass(ir.passes.InPlacePass):
    """Requires: the search of :class:`~edge_ad_export.passes.NearestPass`, static shapes.

    Does: the product of patches and bank goes through the bank's ``rank`` main directions (truncated singular value
    decomposition). The squared norms on both sides stay those of the full vectors: what is lost of a distance is
    only the product of the two parts outside of these directions, not the parts themselves.

    Ensures: size and work of the search in proportion to ``rank``. Scores change by what is lost.

    Raises:
        ModelError: there is no bank, or it has no more dimensions.
    """

    def __init__(self, rank: int) -> None:
        super().__init__()
        self.rank = rank

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        products = [product for product in map(_search, model.graph) if product is not None]
        if not products:
            raise ModelError("there is no memory bank in this model to project: leave --project out")
        for product in products:
            bank = read_array(product.inputs[1])
            if bank is None or self.rank >= min(bank.shape):
                raise ModelError(f"--project {self.rank}: expected fewer than the bank's vectors and dimensions")
            _project(model.graph, product, bank, self.rank)
        return ir.passes.PassResult(model, True)


def _search(node: ir.Node) -> ir.Node | None:
    """The product whose smallest entries are taken."""
    if node.op_type != "ReduceMin" or reduced_axes(node) != (1,):
        return None
    total = made_by(node.inputs[0], "Add")
    product = None if total is None else made_by(total.inputs[0], "MatMul")
    return product if product is not None and read_array(product.inputs[1]) is not None else None


def _project(graph: ir.Graph, product: ir.Node, bank: NDArray[np.floating], rank: int) -> None:
    """``bank``: ``(d, n)``."""
    directions, values, rows = np.linalg.svd(bank, full_matrices=False)
    pairs = known_shape(product.outputs[0])
    build = GraphBuilder(graph, product)
    basis = build.constant("bank_basis", directions[:, :rank].astype(np.float32))
    small = build.constant("bank_projected", (values[:rank, None] * rows[:rank]).astype(np.float32))
    projected = build.op("MatMul", product.inputs[0], basis, shape=(pairs[0], rank))
    found = build.op("MatMul", projected, small, shape=pairs)
    build.commit()
    ir.convenience.replace_all_uses_with(product.outputs[0], found)
    graph.remove(product, safe=True)
