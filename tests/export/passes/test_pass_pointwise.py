"""Two 1x1 convolutions in a row, as SuperSimpleNet has them, become one."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from support.export_onnx import graph, operators, run

from edge_ad_export.passes import PointwisePass

_RANDOM = np.random.default_rng(0)
_CONSTANTS = {
    "first": _RANDOM.normal(0, 1, (6, 5, 1, 1)).astype(np.float32),
    "narrow": _RANDOM.normal(0, 1, (2, 5, 1, 1)).astype(np.float32),
    "second": _RANDOM.normal(0, 1, (4, 6, 1, 1)).astype(np.float32),
    "after_narrow": _RANDOM.normal(0, 1, (4, 2, 1, 1)).astype(np.float32),
    "wide": _RANDOM.normal(0, 1, (4, 6, 3, 3)).astype(np.float32),
    "halves": _RANDOM.normal(0, 1, (4, 3, 1, 1)).astype(np.float32),
    "six": _RANDOM.normal(0, 1, 6).astype(np.float32),
    "four": _RANDOM.normal(0, 1, 4).astype(np.float32),
}
_IMAGE = _RANDOM.normal(0, 1, (1, 5, 7, 8)).astype(np.float32)


@pytest.mark.parametrize(
    "nodes",
    [
        pytest.param("a = Conv(x, first) y = Conv(a, second)", id="no-bias"),
        pytest.param("a = Conv(x, first, six) y = Conv(a, second)", id="first-bias"),
        pytest.param("a = Conv(x, first, six) y = Conv(a, second, four)", id="both-biases"),
    ],
)
def test_two_become_one(nodes: str) -> None:
    model = graph("float[1, 5, 7, 8] x", "float[1, 4, 7, 8] y", nodes, 18, **_CONSTANTS)
    (expected,) = run(model, x=_IMAGE)

    assert PointwisePass()(model).modified

    assert operators(model) == ["Conv"]
    assert_allclose(run(model, x=_IMAGE)[0], expected, atol=1e-5)


@pytest.mark.parametrize(
    "nodes",
    [
        pytest.param("a = Conv(x, first) b = Relu(a) y = Conv(b, second)", id="activation"),
        pytest.param("a = Conv(x, first) y = Conv<pads=[1,1,1,1]>(a, wide)", id="3x3"),
        pytest.param("a = Conv(x, first) y = Conv<group=2>(a, halves)", id="groups"),
        pytest.param("a = Conv(x, first, six) y = Conv<pads=[1,1,1,1]>(a, second)", id="zeros-around-the-bias"),
        pytest.param("a = Conv(x, first) y = Conv<strides=[2,2]>(a, second)", id="stride"),
        pytest.param("a = Conv(x, narrow) y = Conv(a, after_narrow)", id="bottleneck"),
        pytest.param("a = Conv(x, first) b = Conv(a, second) c = ReduceMax<keepdims=1>(a) y = Add(b, c)", id="read"),
    ],
)
def test_others_are_left_alone(nodes: str) -> None:
    model = graph("float[1, 5, 7, 8] x", "float[1, k, h, w] y", nodes, 18, **_CONSTANTS)
    before = operators(model)
    assert not PointwisePass()(model).modified
    assert operators(model) == before
