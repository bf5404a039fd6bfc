"""The preprocessing inside the first convolution."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray
from support.export_onnx import graph, operators, run

from edge_ad_export.model.input_spec import Color, InputSpec, Size
from edge_ad_export.passes import FoldPreprocessingPass, PreprocessingPass, SimplifyPass

SIDE = 12
MOVES = ("Transpose", "Cast")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def frame() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (1, SIDE, SIDE, 3), np.uint8)


def model(nodes: str, spec: InputSpec) -> ir.Model:
    """A convolution of an image, behind the preprocessing."""
    random = np.random.default_rng(1)
    made = graph(
        f"float[1, 3, {SIDE}, {SIDE}] x",
        "float[1, c, n, m] y",
        nodes,
        weights=random.normal(0, 1, (4, 3, 3, 3)).astype(np.float32),
        others=random.normal(0, 1, (4, 3, 3, 3)).astype(np.float32),
        grouped=random.normal(0, 1, (3, 1, 3, 3)).astype(np.float32),
        bias=random.normal(0, 1, 4).astype(np.float32),
    )
    ir.passes.Sequential(PreprocessingPass(spec), SimplifyPass())(made)
    return made


def spec(color: Color = "rgb", mean: tuple[float, ...] = MEAN, std: tuple[float, ...] = STD) -> InputSpec:
    return InputSpec("x", Size(SIDE, SIDE), color, "nchw", mean=mean, std=std)


@pytest.mark.parametrize(
    ("convolution", "wanted", "left"),
    [
        pytest.param("Conv(x, weights)", spec(), [*MOVES, "Conv"], id="no-border"),
        pytest.param("Conv(x, weights, bias)", spec(), [*MOVES, "Conv"], id="bias"),
        pytest.param("Conv<pads=[1,1,1,1]>(x, weights)", spec(), [*MOVES, "Add", "Conv"], id="zero-border"),
        pytest.param(
            'Conv<auto_pad="SAME_UPPER">(x, weights)',
            spec(),
            [*MOVES, "Add", "Conv"],
            id="automatic-border",
        ),
        pytest.param(
            "Conv<pads=[1,1,1,1]>(x, weights)",
            spec(mean=(0.0,)),
            [*MOVES, "Conv"],
            id="border-without-mean",
        ),
        pytest.param("Conv(x, weights)", spec("bgr"), [*MOVES, "Conv"], id="bgr"),
        pytest.param("Conv(x, weights)", spec(mean=(0.5,), std=(0.5,)), [*MOVES, "Conv"], id="one-mean"),
    ],
)
def test_sums_stay(convolution: str, wanted: InputSpec, left: list[str]) -> None:
    made = model(f"y = {convolution}", wanted)
    (expected,) = run(made, frame=frame())

    assert FoldPreprocessingPass()(made).modified
    SimplifyPass()(made)

    assert operators(made) == left
    (found,) = run(made, frame=frame())
    assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_several_first_convolutions_share_what_is_left() -> None:
    made = model("a = Conv<pads=[1,1,1,1]>(x, weights) b = Conv<pads=[1,1,1,1]>(x, others) y = Sub(a, b)", spec())
    (expected,) = run(made, frame=frame())

    assert FoldPreprocessingPass()(made).modified
    SimplifyPass()(made)

    assert operators(made).count("Add") == 1
    (found,) = run(made, frame=frame())
    assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "nodes",
    [
        pytest.param("y = Relu(x)", id="no-convolution"),
        pytest.param("a = Conv(x, weights) b = Relu(x) s = ReduceMax(b) y = Add(a, s)", id="another-user"),
        pytest.param("y = Conv<group=3>(x, grouped)", id="grouped"),
    ],
)
def test_what_is_no_plain_convolution_keeps_its_preprocessing(nodes: str) -> None:
    made = model(nodes, spec())

    assert not FoldPreprocessingPass()(made).modified
