"""Large stacks of matrices, stored in 16 bits."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray
from support.export_onnx import graph, operators, run

from edge_ad_export.passes import HalfStoragePass


def product(stack: NDArray[np.float32]) -> ir.Model:
    count, rows, columns = (1, *stack.shape)[-3:]
    return graph(f"float[{count}, 1, {rows}] x", f"float[{count}, 1, {columns}] y", "y = MatMul(x, stack)", stack=stack)


def matrices(count: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(0, 1, (count, 20, 20)).astype(np.float32)


def test_products_stay_and_half_the_bytes_go() -> None:
    model = product(matrices(300))
    x = np.random.default_rng(1).normal(0, 1, (300, 1, 20)).astype(np.float32)
    (expected,) = run(model, x=x)

    assert HalfStoragePass()(model).modified

    (found,) = run(model, x=x)
    assert operators(model) == ["Cast", "MatMul"]
    assert sum(v.const_value.nbytes for v in model.graph.initializers.values() if v.const_value) == 300 * 20 * 20 * 2
    assert_allclose(np.square(found).sum(axis=2), np.square(expected).sum(axis=2), rtol=5e-3)


@pytest.mark.parametrize(
    "stack",
    [
        pytest.param(matrices(10), id="small"),
        pytest.param(matrices(300) * 1e6, id="beyond-float16"),
        pytest.param(matrices(300).reshape(20, 6000), id="one-matrix"),
    ],
)
def test_other_constants_stay(stack: NDArray[np.float32]) -> None:
    assert not HalfStoragePass()(product(stack)).modified
