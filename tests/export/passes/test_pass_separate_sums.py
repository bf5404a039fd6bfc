"""Gemm adds constants alone, so that NNCF can read them."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

from edge_ad_export.passes import SeparateSumsPass


def gemm(attributes: str, added: str = "sums") -> ir.Model:
    """A product of rows with columns, to which the rows' sums or a constant is added."""
    return ir.from_onnx_text(
        '<ir_version: 8, opset_import: ["" : 17]> g (float[2, 3] x) => (float[2, 4] y) '
        "<float[4, 3] w = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, float[4] bias = {1, 2, 3, 4}> "
        f"{{ sums = ReduceSum <keepdims = 1> (x) y = Gemm <transB = 1{attributes}> (x, w, {added}) }}"
    )


def run(model: ir.Model) -> NDArray[np.float32]:
    x = np.array([[1, -2, 3], [0.5, 4, -1]], np.float32)
    (found,) = ReferenceEvaluator(ir.to_proto(model)).run(None, {"x": x})
    return np.asarray(found)


@pytest.mark.parametrize("attributes", ["", ", alpha = -2.0"])
def test_what_is_computed_is_added_by_a_node_of_its_own(attributes: str) -> None:
    model = gemm(attributes)
    expected = run(model)

    assert SeparateSumsPass()(model).modified

    assert [(node.op_type, len(node.inputs)) for node in model.graph][1:] == [("Gemm", 2), ("Add", 2)]
    np.testing.assert_allclose(run(model), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("attributes", "added"),
    [pytest.param("", "bias", id="a-constant"), pytest.param(", beta = 0.5", "sums", id="a-part-of-it")],
)
def test_other_sums_stay_as_they_are(attributes: str, added: str) -> None:
    assert not SeparateSumsPass()(gemm(attributes, added)).modified
