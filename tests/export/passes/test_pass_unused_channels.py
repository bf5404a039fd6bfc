"""Channels that nothing reads."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray
from support.export_onnx import graph, operators, run

from edge_ad_export.passes import SimplifyPass, UnusedChannelsPass

_RANDOM = np.random.default_rng(0)
CONSTANTS: dict[str, NDArray[np.generic]] = {
    "w": _RANDOM.normal(0, 1, (8, 3, 3, 3)).astype(np.float32),
    "b": _RANDOM.normal(0, 1, 8).astype(np.float32),
    "deep": _RANDOM.normal(0, 1, (8, 1, 3, 3)).astype(np.float32),
    "pairs": _RANDOM.normal(0, 1, (8, 2, 3, 3)).astype(np.float32),
    "again": _RANDOM.normal(0, 1, (8, 8, 1, 1)).astype(np.float32),
    "zero": np.array(0, np.float32),
    "six": np.array(6, np.float32),
    "slopes": _RANDOM.normal(0, 1, (1, 8, 1, 1)).astype(np.float32),
    "some": np.array([5, 1, 1]),
    "others": np.array([-1, 2]),
    "all": np.arange(8),
}
ANY = "float[a, b, c, d]"
CONV = "v = Conv <pads = [1, 1, 1, 1]> (x, w, b)"
PICK = "y = Gather <axis = 1> (u, some)"


def model_of(nodes: str, outputs: str = f"{ANY} y") -> ir.Model:
    return graph("float[1, 3, 6, 6] x", outputs, nodes, 18, **CONSTANTS)


def frame() -> NDArray[np.float32]:
    return np.random.default_rng(1).normal(0, 1, (1, 3, 6, 6)).astype(np.float32)


def filters(model: ir.Model) -> list[int]:
    """How many filters each convolution has, in the order of the graph."""
    weights = [node.inputs[1] for node in model.graph if node.op_type == "Conv"]
    return [
        int(value.const_value.numpy().shape[0])
        for value in weights
        if value is not None and value.const_value is not None
    ]


@pytest.mark.parametrize(
    ("nodes", "kept"),
    [
        pytest.param(f"{CONV} u = Clip(v, zero, six) {PICK}", [2], id="clipped"),
        pytest.param(f"u = Conv <pads = [1, 1, 1, 1]> (x, w) {PICK}", [2], id="no-bias"),
        pytest.param(f"{CONV} s = Relu(v) u = Conv(s, again) {PICK}", [8, 2], id="two-convolutions"),
        pytest.param(
            f"{CONV} s = Relu(v) u = Conv <pads = [1, 1, 1, 1], group = 8> (s, deep, b) {PICK}", [2, 2], id="depthwise"
        ),
        pytest.param(f"{CONV} s = Relu(v) t = Conv(s, again) a = Add(s, t) u = Relu(a) {PICK}", [8, 2], id="residual"),
        pytest.param(
            f"{CONV} s = Relu(v) u = Conv <pads = [1, 1, 1, 1], group = 8> (s, deep) t = Conv(s, again) "
            "p = Gather <axis = 1> (u, some) q = Gather <axis = 1> (t, some) y = Add(p, q)",
            [8, 2, 2],
            id="depthwise-and-its-source-is-read",
        ),
        pytest.param(
            f"{CONV} p = Gather <axis = 1> (v, some) q = Gather <axis = 1> (v, others) y = Concat <axis = 1> (p, q)",
            [4],
            id="picked-twice",
        ),
    ],
)
def test_a_convolution_computes_only_what_is_read(nodes: str, kept: list[int]) -> None:
    model = model_of(nodes)
    (expected,) = run(model, x=frame())

    assert UnusedChannelsPass()(model).modified
    SimplifyPass()(model)

    assert filters(model) == kept
    assert_allclose(run(model, x=frame())[0], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("nodes", "outputs"),
    [
        pytest.param(f"{CONV} y = Gather <axis = 1> (v, all)", f"{ANY} y", id="all-are-read"),
        pytest.param(f"{CONV} u = Relu(v) {PICK}", f"{ANY} y, {ANY} u", id="an-output"),
        pytest.param(f"{CONV} u = Relu(v) {PICK} z = Neg(u)", f"{ANY} y, {ANY} z", id="read-otherwise-too"),
        pytest.param(f"{CONV} u = Relu(v) {PICK} z = Neg(v)", f"{ANY} y, {ANY} z", id="read-before-the-activation"),
        pytest.param(f"{CONV} u = PRelu(v, slopes) {PICK}", f"{ANY} y", id="a-number-for-each-channel"),
        pytest.param(f"{CONV} u = Softmax <axis = 1> (v) {PICK}", f"{ANY} y", id="channels-mixed"),
        pytest.param(f"{CONV} u = Conv <pads = [1, 1, 1, 1], group = 4> (v, pairs) {PICK}", f"{ANY} y", id="groups"),
        pytest.param(f"{CONV} y = Gather <axis = 2> (v, some)", f"{ANY} y", id="rows"),
    ],
)
def test_what_is_read_or_not_understood_stays(nodes: str, outputs: str) -> None:
    model = model_of(nodes, outputs)

    assert not UnusedChannelsPass()(model).modified
    assert "Gather" in operators(model)
