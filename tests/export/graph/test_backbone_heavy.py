"""Large products with constants, such as the search of a memory bank, are quantized too."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from support.export_onnx import graph

from edge_ad_export.graph.backbone import FLOAT_ONLY, SHORTLIST, Op, find_backbone
from edge_ad_export.graph.embedded import to_openvino
from edge_ad_export.quantize.int8_graph import onnx_ops, openvino_ops

FEATURE = np.array([[[[0.5, -0.5]]]], np.float32)


def search(vectors: int) -> ir.Model:
    """A convolution whose features are compared with so many vectors."""
    random = np.random.default_rng(0)
    return graph(
        "float[1, 3, 4, 4] x",
        "float[16] low",
        "f = Conv(x, weights) t = Transpose<perm=[0, 2, 3, 1]>(f) rows = Reshape(t, shape) d = MatMul(rows, bank) "
        "low = ReduceMin<keepdims=0>(d, last)",
        weights=random.normal(0, 1, (64, 3, 1, 1)).astype(np.float32),
        shape=np.array([16, 64]),
        bank=random.normal(0, 1, (64, vectors)).astype(np.float32),
        last=np.array([1]),
    )


def products(model: ir.Model) -> set[str]:
    return {str(node.name) for node in model.graph if node.op_type == "MatMul"}


@pytest.mark.parametrize(
    ("vectors", "expected"), [pytest.param(5000, True, id="a-bank"), pytest.param(500, False, id="a-few-vectors")]
)
def test_the_size_of_the_constants_decides(vectors: int, expected: bool) -> None:
    model = search(vectors)
    for index, node in enumerate(model.graph):
        node.name = f"{node.op_type}_{index}"

    assert (products(model) <= find_backbone(onnx_ops(model.graph))) is expected
    graph_ops = openvino_ops(to_openvino(model))
    assert any(op.heavy for op in graph_ops) is expected


def test_of_the_head_only_the_heavy_product_is_quantized() -> None:
    ops = (
        Op("conv", (), FEATURE),
        Op("rows", ("conv",)),
        Op("search", ("rows",), linear=True, heavy=True),
        Op("norms", ("search",)),
        Op("minimum", ("norms",)),
        Op("upsample", ("minimum",), linear=True),
        Op(f"{SHORTLIST}of-few-vectors", ("rows",), linear=True),
        Op(f"{FLOAT_ONLY}distances", ("rows",), linear=True, heavy=True),
    )

    assert find_backbone(ops) == {"conv", "search", f"{SHORTLIST}of-few-vectors"}
    assert find_backbone(ops, shortlists=False) == {"conv", "search"}


def test_a_product_that_no_feature_leads_to_is_left_alone() -> None:
    ops = (Op("gray", ()), Op("search", ("gray",), linear=True, heavy=True), Op("conv", (), FEATURE))

    assert find_backbone(ops) == {"conv"}
