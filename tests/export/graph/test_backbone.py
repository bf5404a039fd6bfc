"""What may be quantized: between the feature convolutions, never the front or the head."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from numpy.typing import NDArray
from support import export_models
from support.export_models import Tiny

from edge_ad_export import ModelFile, import_model
from edge_ad_export.graph.backbone import Op, find_backbone, is_smoothing
from edge_ad_export.lowering.contract import lower
from edge_ad_export.lowering.recipes import FloatModel
from edge_ad_export.quantize.int8_graph import onnx_ops, openvino_ops

FEATURE = np.array([[[[0.5, -0.5]]]], np.float32)
BLUR = np.full((2, 1, 3, 3), 1 / 9, np.float32)


@pytest.mark.parametrize(
    ("kernel", "expected"),
    [
        pytest.param(BLUR, True, id="box-blur"),
        pytest.param(FEATURE, False, id="negative-weights"),
        pytest.param(BLUR * 2, False, id="sums-to-two"),
        pytest.param(np.full((1, 9, 1, 1), 1 / 9, np.float32), False, id="mean-over-channels"),
        pytest.param(np.concatenate([BLUR, BLUR * 2]), False, id="one-filter-of-two"),
    ],
)
def test_smoothing(kernel: NDArray[np.float32], expected: bool) -> None:
    assert is_smoothing(kernel) is expected


def test_backbone_of_a_chain_with_two_branches() -> None:
    ops = (
        Op("normalize", ()),
        Op("conv1", ("normalize",), FEATURE),
        Op("relu1", ("conv1",)),
        Op("conv2", ("relu1",), FEATURE),
        Op("relu2", ("conv2",)),
        Op("resize", ("relu1",)),
        Op("concat", ("relu2", "resize")),
        Op("distance", ("concat",), linear=True),
        Op("blur", ("distance",), BLUR),
    )

    assert find_backbone(ops) == {"conv1", "relu1", "conv2"}


def test_a_linear_layer_counts_before_a_convolution_only() -> None:
    ops = (
        Op("embed", (), linear=True),
        Op("reshape", ("embed",)),
        Op("conv", ("reshape",), FEATURE),
        Op("bank", ("conv",), linear=True),
    )

    assert find_backbone(ops) == {"embed", "conv"}


def test_no_convolution_no_backbone() -> None:
    assert find_backbone((Op("a", (), linear=True), Op("b", ("a",), BLUR))) == frozenset()


def lowered(folder: Path) -> ir.Model:
    return lower(import_model(ModelFile(export_models.write(folder, Tiny(tail="dynamo")))), lambda _: True).model


def test_both_engines_graphs_have_the_same_feature_convolutions(tmp_path: Path) -> None:
    model = lowered(tmp_path)
    onnx = onnx_ops(model.graph)
    openvino = openvino_ops(FloatModel(model).openvino)

    for ops in (onnx, openvino):
        kernels = {op.name: op.kernel for op in ops if op.kernel is not None}
        chosen = find_backbone(ops)
        assert sorted(kernel.shape for name, kernel in kernels.items() if name in chosen) == [
            (8, 3, 3, 3), (8, 3, 3, 3), (8, 8, 3, 3), (8, 8, 3, 3),
        ]  # fmt: skip
        assert [kernel.shape for name, kernel in kernels.items() if name not in chosen] == [(1, 1, 3, 3)]


@pytest.mark.parametrize(
    ("node", "weights", "filters"),
    [
        pytest.param("Conv<group=2>", (4, 1, 3, 3), (4, 1, 3, 3), id="grouped"),
        pytest.param("ConvTranspose", (2, 4, 3, 3), (4, 2, 3, 3), id="transposed"),
    ],
)
def test_kernels_have_their_filters_first(node: str, weights: tuple[int, ...], filters: tuple[int, ...]) -> None:
    model = ir.from_onnx_text(
        '<ir_version: 8, opset_import: ["" : 18]> g (float[1, 2, 8, 8] x) => (float[1, 4, h, w] y) '
        f"{{ y = {node}(x, weights) }}"
    )
    value = ir.val("weights", const_value=ir.tensor(np.ones(weights, np.float32), name="weights"))
    model.graph.node(0).replace_input_with(1, value)
    model.graph.register_initializer(value)

    for ops in (onnx_ops(model.graph), openvino_ops(FloatModel(model).openvino)):
        assert [op.kernel.shape for op in ops if op.kernel is not None] == [filters]
