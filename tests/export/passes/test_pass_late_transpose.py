"""The arithmetic of the preprocessing before the transposition to channels first."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from numpy.testing import assert_array_equal
from support.export_onnx import graph, operators, run

from edge_ad_export.model.input_spec import Color, InputSpec, Layout, Size
from edge_ad_export.passes import FoldPreprocessingPass, LateTransposePass, PreprocessingPass, SimplifyPass

SIDE = 12
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PADDED = "Conv<pads=[1,1,1,1]>(x, weights)"


def model(nodes: str, *, fold: bool = True, layout: Layout = "nchw", color: Color = "rgb") -> ir.Model:
    """A graph behind the preprocessing, as a float variant has it."""
    random = np.random.default_rng(1)
    weights, others = (random.normal(0, 1, (4, 3, 3, 3)).astype(np.float32) for _ in range(2))
    shape = f"1, 3, {SIDE}, {SIDE}" if layout == "nchw" else f"1, {SIDE}, {SIDE}, 3"
    made = graph(f"float[{shape}] x", "float[a, b, c, d] y", nodes, weights=weights, others=others)
    spec = InputSpec("x", Size(SIDE, SIDE), color, layout, mean=MEAN, std=STD)
    folding = [FoldPreprocessingPass(), SimplifyPass()] if fold else []
    ir.passes.Sequential(PreprocessingPass(spec), SimplifyPass(), *folding)(made)
    return made


@pytest.mark.parametrize(
    ("nodes", "fold", "color", "left"),
    [
        pytest.param(f"y = {PADDED}", True, "rgb", ["Cast", "Add", "Transpose", "Conv"], id="the-shift-alone"),
        pytest.param("y = Conv(x, weights)", True, "rgb", ["Cast", "Transpose", "Conv"], id="no-arithmetic"),
        pytest.param(f"y = {PADDED}", False, "bgr", ["Cast", "Div", "Sub", "Div", "Transpose", "Conv"], id="all-of-it"),
        pytest.param(
            f"a = {PADDED} b = Conv<pads=[1,1,1,1]>(x, others) y = Add(a, b)",
            True,
            "rgb",
            ["Cast", "Add", "Transpose", "Conv", "Conv", "Add"],
            id="two-convolutions",
        ),
    ],
)
def test_the_transposition_comes_last(nodes: str, fold: bool, color: Color, left: list[str]) -> None:
    made = model(nodes, fold=fold, color=color)
    frame = np.random.default_rng(0).integers(0, 256, (1, SIDE, SIDE, 3), np.uint8)
    (expected,) = run(made, frame=frame)

    assert LateTransposePass()(made).modified

    assert operators(made) == left
    (found,) = run(made, frame=frame)
    assert_array_equal(found, expected)
    assert not LateTransposePass()(made).modified


def test_only_the_shape_of_the_frame_has_to_be_known() -> None:
    made = model(f"y = {PADDED}")
    for node in made.graph:
        node.outputs[0].shape = None

    assert LateTransposePass()(made).modified

    assert operators(made) == ["Cast", "Add", "Transpose", "Conv"]


@pytest.mark.parametrize(
    "made",
    [
        pytest.param(model("y = Mul(x, x)"), id="no-convolution"),
        pytest.param(model(f"a = {PADDED} b = ReduceMean(x) y = Add(a, b)"), id="others-take-it-too"),
        pytest.param(model(f"y = {PADDED}", fold=False), id="colours-are-put-in-order-between"),
        pytest.param(model("y = Mul(x, x)", layout="nhwc"), id="channels-last"),
    ],
)
def test_where_it_gains_nothing_it_stays(made: ir.Model) -> None:
    before = operators(made)

    assert not LateTransposePass()(made).modified
    assert operators(made) == before
