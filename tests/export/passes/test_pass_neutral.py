"""Products with ones and sums with zeros."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from numpy.typing import NDArray
from support.export_onnx import graph, operators, run

from edge_ad_export.passes import NeutralPass, SimplifyPass

CONSTANTS: dict[str, NDArray[np.generic]] = {
    "one": np.array(1, np.float32),
    "two": np.array(2, np.float32),
    "zeros": np.zeros((2, 3), np.float32),
    "mixed": np.array([[1, 1, 0], [1, 1, 1]], np.float32),
    "shape": np.array([2, 3]),
    "wide": np.array([4, 2, 3]),
}


@pytest.mark.parametrize(
    "nodes",
    [
        pytest.param("e = Expand(one, shape) m = Mul(e, x)", id="expanded-ones"),
        pytest.param("m = Mul(x, one)", id="one"),
        pytest.param("m = Add(x, zeros)", id="zeros"),
    ],
)
def test_what_changes_nothing_goes(nodes: str) -> None:
    model = graph("float[2, 3] x", "float[2, 3] y", f"{nodes} y = Relu(m)", 18, **CONSTANTS)
    x = np.random.default_rng(0).normal(0, 1, (2, 3)).astype(np.float32)
    expected = run(model, x=x)

    assert NeutralPass()(model).modified
    SimplifyPass()(model)

    assert operators(model) == ["Relu"]
    assert_array_equal(run(model, x=x), expected)


@pytest.mark.parametrize(
    "nodes",
    [
        pytest.param("m = Mul(x, two)", id="two"),
        pytest.param("m = Mul(x, mixed)", id="not-all-ones"),
        pytest.param("m = Add(x, one)", id="one-added"),
        pytest.param("m = Sub(zeros, x)", id="negated"),
        pytest.param("e = Expand(one, wide) m = Mul(e, x)", id="another-shape"),
    ],
)
def test_what_changes_something_stays(nodes: str) -> None:
    model = graph("float[2, 3] x", "float y", f"{nodes} y = Relu(m)", 18, **CONSTANTS)

    assert not NeutralPass()(model).modified
