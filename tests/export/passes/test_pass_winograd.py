"""Large convolutions in fewer multiplications, and which graphs of a model have them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray
from support import export_models, tiny
from support.export_onnx import graph, operators, run

from edge_ad_export import ModelFile, import_model
from edge_ad_export.lowering.contract import Lowered, lower
from edge_ad_export.lowering.recipes import FloatModel
from edge_ad_export.passes import SimplifyPass, WinogradPass
from edge_ad_export.passes.winograd import transforms
from edge_ad_export.preparation.prepare import prepare
from edge_ad_export.request import ExportRequest
from edge_ad_export.samples.images import select_images

_CHANNELS = 192


def convolution(
    kernel: int, size: tuple[int, int], attributes: str = "", *, bias: bool = False, channels: int = _CHANNELS
) -> ir.Model:
    random = np.random.default_rng(kernel)
    weights = random.normal(0, 0.05, (channels, channels, kernel, kernel)).astype(np.float32)
    given = "x, weights, bias" if bias else "x, weights"
    return graph(
        f"float[1, {channels}, {size[0]}, {size[1]}] x",
        "float[1, k, h, w] y",
        f"y = Conv{attributes}({given})",
        weights=weights,
        bias=random.normal(0, 1, channels).astype(np.float32),
    )


def image(model: ir.Model) -> NDArray[np.float32]:
    shape = model.graph.inputs[0].shape
    assert shape is not None
    return np.random.default_rng(1).normal(0, 1, tuple(shape.numpy())).astype(np.float32)


@pytest.mark.parametrize("kernel", [3, 4, 5])
@pytest.mark.parametrize("tile", [2, 3, 4])
def test_the_transforms_give_inner_products(tile: int, kernel: int) -> None:
    backward, kernels, forward = transforms(tile, kernel)
    random = np.random.default_rng(tile)
    signal, weights = random.normal(size=tile + kernel - 1), random.normal(size=kernel)
    expected = np.convolve(signal, weights[::-1], mode="valid")
    assert_allclose(backward @ ((kernels @ weights) * (forward @ signal)), expected, atol=1e-12)


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(convolution(3, (28, 28), "<pads=[1,1,1,1]>", bias=True), id="3x3-padded-with-a-bias"),
        pytest.param(convolution(3, (31, 34), channels=256), id="3x3-cropped"),
        pytest.param(convolution(4, (31, 30), bias=True), id="4x4"),
        pytest.param(convolution(4, (29, 34), "<pads=[2,1,0,1]>"), id="4x4-padded-unevenly"),
        pytest.param(convolution(5, (28, 28), "<pads=[2,2,2,2]>", channels=128), id="5x5"),
    ],
)
def test_outputs_stay(model: ir.Model) -> None:
    feed = image(model)
    (expected,) = run(model, x=feed)

    assert WinogradPass()(model).modified

    (found,) = run(model, x=feed)
    assert "MatMul" in operators(model)
    assert len(model.graph.initializers) == len({name for node in model.graph for name in _constants(node)})
    assert_allclose(found, expected, atol=3e-5 * np.abs(expected).max())


def _constants(node: ir.Node) -> list[str]:
    return [str(value.name) for value in node.inputs if value is not None and value.is_initializer()]


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(convolution(3, (57, 57), "<strides=[2,2]>"), id="stride"),
        pytest.param(convolution(3, (32, 32), "<dilations=[2,2]>"), id="dilation"),
        pytest.param(convolution(3, (30, 30), '<auto_pad="SAME_UPPER">'), id="padded-by-the-engine"),
        pytest.param(convolution(1, (28, 28)), id="1x1"),
        pytest.param(convolution(3, (10, 10)), id="few-tiles"),
        pytest.param(convolution(3, (30, 30), channels=64), id="few-channels"),
        pytest.param(
            graph(
                "float[2, 192, 30, 30] x",
                "float[2, 192, 28, 28] y",
                "y = Conv(x, weights)",
                weights=np.ones((192, 192, 3, 3), np.float32),
            ),
            id="batch",
        ),
        pytest.param(
            graph(
                "float[1, 192, 30, 30] x, float[192, 192, 3, 3] weights",
                "float[1, 192, 28, 28] y",
                "y = Conv(x, weights)",
            ),
            id="kernel-not-constant",
        ),
    ],
)
def test_others_are_left_alone(model: ir.Model) -> None:
    before = operators(model)
    assert not WinogradPass()(model).modified
    assert operators(model) == before


def written(folder: Path) -> Path:
    """A model whose second convolution is worth it."""
    random = np.random.default_rng(0)
    model = graph(
        "float[1, 3, 28, 28] x",
        "float[1, 1, 28, 28] anomaly_map",
        "a = Conv(x, first) b = Relu(a) c = Conv<pads=[1,1,1,1]>(b, second) d = Mul(c, c)"
        " anomaly_map = ReduceMean(d, axes)",
        first=random.normal(0, 1, (_CHANNELS, 3, 1, 1)).astype(np.float32),
        second=random.normal(0, 0.05, (_CHANNELS, _CHANNELS, 3, 3)).astype(np.float32),
        axes=np.array([1]),
    )
    ir.save(model, folder / "model.onnx")
    return folder / "model.onnx"


def lowered(folder: Path, *, agrees: bool = True) -> Lowered:
    def agreement(candidate: Lowered) -> bool:
        return agrees or "MatMul" not in operators(candidate.model)

    return lower(import_model(ModelFile(written(folder))), agreement)


def test_only_float32_variants_have_it(tmp_path: Path) -> None:
    found = lowered(tmp_path)
    assert found.fast is not None
    assert "MatMul" not in operators(found.model)

    model = FloatModel(found.model, found.fast)
    model.save("onnxruntime", tmp_path / "fp32.onnx")
    model.save_openvino(tmp_path / "fp16.xml", half=True)

    kinds = [node.op_type for node in onnx.load(tmp_path / "fp32.onnx").graph.node]
    assert kinds.count("MatMul") == 3
    assert (tmp_path / "fp16.bin").stat().st_size < 2.2 * 9 * _CHANNELS**2
    SimplifyPass()(found.fast)
    feed = np.random.default_rng(2).integers(0, 255, (1, 28, 28, 3)).astype(np.uint8)
    plain, fast = (run(one, frame=feed) for one in (found.model, found.fast))
    assert_allclose(fast[0], plain[0], rtol=1e-4)


def test_where_the_scores_differ_there_is_none(tmp_path: Path) -> None:
    assert lowered(tmp_path, agrees=False).fast is None


@pytest.mark.parametrize(("plain_s", "is_used"), [(1.2, True), (1.04, False)])
def test_it_is_used_where_the_engine_takes_less_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plain_s: float, is_used: bool
) -> None:
    """Timed in turn; the first round, in which an engine may still be warming up, does not count."""
    times = iter([9.0, 1.0, *([1.0, plain_s] * 3), *([5.0, 1.0] * 2)])
    monkeypatch.setattr("edge_ad_export.preparation.prepare._timed", lambda _engine, _pixels: next(times))
    images = tiny.write_images(tmp_path / "normals", export_models.parts(4))
    asked = ExportRequest(model=written(tmp_path), images=images, target=tmp_path / "bundle")
    imported = import_model(ModelFile(asked.model))

    found = prepare(asked, imported, select_images(images, 4), lambda _line: None)

    assert (found.lowered.fast is not None) == is_used
    assert list(times) == []
