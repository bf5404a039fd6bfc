"""Faults from the field, kind 5: inputs as files have them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto
from support.field_cli import check_scores, export, exported
from support.field_models import SIDE, Dims, Net, as_input, c2_of, small_c2, small_features, weights, write_pictures

HALF = SIDE // 2


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "img")


def raw(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.abs(c2_of(pixels))


def to_map(net: Net, c2: str) -> Net:
    net.op("Abs", c2, out="map")
    net.output("map", ["b", 1, HALF, HALF])
    return net


def quantized(dtype: int, zero: int, scale: float, *, last: bool = False) -> Net:
    net = Net()
    number = np.int8 if dtype == TensorProto.INT8 else np.uint8
    dims: Dims = ["b", SIDE, SIDE, 3] if last else ["b", 3, SIDE, SIDE]
    image = net.input("serving_default_input:0", dims, dtype)
    real = net.op("DequantizeLinear", image, net.constant(scale), net.constant(zero, number))
    return to_map(net, small_c2(net, net.op("Transpose", real, perm=[0, 3, 1, 2]) if last else real))


def cast(dtype: int, offset: float) -> Net:
    """Whole numbers cast to float in the graph: ``(input + offset) / 255``."""
    net = Net()
    real = net.op("Cast", net.input("input", ["b", 3, SIDE, SIDE], dtype), to=TensorProto.FLOAT)
    shifted = net.op("Add", real, net.constant(offset)) if offset else real
    return to_map(net, small_c2(net, net.op("Div", shifted, net.constant(255.0))))


def centred(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Of a model whose real input is ``(pixel - 128) / 128``."""
    planes = pixels[..., ::-1].transpose(2, 0, 1)[None].astype(np.float32)
    return np.abs(c2_of((planes - 128) / np.float32(128)))


@pytest.mark.parametrize(
    ("net", "expected"),
    [
        pytest.param(quantized(TensorProto.UINT8, 0, 1 / 255), raw, id="control-uint8"),
        pytest.param(quantized(TensorProto.INT8, -128, 1 / 255), raw, id="int8"),
        pytest.param(
            quantized(TensorProto.INT8, -128, 1 / 255, last=True),
            raw,
            id="int8-channels-last",
        ),
        pytest.param(
            quantized(TensorProto.INT8, 0, 1 / 128),
            centred,
            id="int8-centred",
        ),
        pytest.param(
            cast(TensorProto.INT8, 128.0),
            raw,
            id="int8-cast-and-shifted",
        ),
        pytest.param(cast(TensorProto.UINT8, 0.0), raw, id="control-uint8-cast"),
        pytest.param(cast(TensorProto.INT32, 0.0), raw, id="int32-cast"),
    ],
)
def test_whole_numbers_are_taken_as_pixels(
    tmp_path: Path, images: Path, net: Net, expected: Callable[[NDArray[np.uint8]], NDArray[np.float32]]
) -> None:
    made = exported(net.save(tmp_path / "m.onnx"), images, tmp_path / "out" / "b")
    check_scores(made, expected)


def with_unused(name: str, dims: Dims, dtype: int, *, first: bool = False, dead_node: bool = False) -> Net:
    """The small model with one more input that no output needs."""
    net = Net()
    if first:
        net.input(name, dims, dtype)
    image = net.input("input", ["b", 3, SIDE, SIDE])
    if not first:
        net.input(name, dims, dtype)
    if dead_node:
        net.op("Cast", net.op("Identity", name), to=TensorProto.FLOAT)
    return to_map(net, small_c2(net, image))


def inferring() -> Net:
    """The learning phase decides in a branch that always goes one way: its condition is a constant."""
    net = with_unused("keras_learning_phase:0", [], TensorProto.BOOL)
    net.op("Not", "keras_learning_phase:0")
    return net


@pytest.mark.parametrize(
    "net",
    [
        pytest.param(
            with_unused("keras_learning_phase:0", [], TensorProto.BOOL),
            id="learning-phase",
        ),
        pytest.param(
            with_unused("keras_learning_phase:0", [], TensorProto.BOOL, first=True),
            id="named-first",
        ),
        pytest.param(with_unused("training", [1], TensorProto.FLOAT), id="a-float"),
        pytest.param(
            with_unused("mask", ["b", 1, SIDE, SIDE], TensorProto.FLOAT, first=True),
            id="another-picture",
        ),
        pytest.param(
            with_unused("label", ["b"], TensorProto.INT64, dead_node=True),
            id="into-a-dead-node",
        ),
        pytest.param(inferring(), id="into-a-dead-not"),
    ],
)
def test_an_input_that_leads_to_no_output_is_dropped(tmp_path: Path, images: Path, net: Net) -> None:
    made = exported(net.save(tmp_path / "m.onnx"), images, tmp_path / "out" / "b")
    check_scores(made, raw)


@pytest.mark.parametrize(
    ("name", "dims", "dtype"),
    [
        pytest.param("masks", [1, 1, HALF, HALF], TensorProto.FLOAT, id="masks"),
        pytest.param("temperature", [1], TensorProto.FLOAT, id="a-number"),
        pytest.param("gain:0", [], TensorProto.FLOAT, id="a-scalar"),
        pytest.param("class_id", [1], TensorProto.INT64, id="a-whole-number"),
    ],
)
def test_a_second_input_is_named_with_the_option_that_fixes_it(
    tmp_path: Path, images: Path, name: str, dims: list[int], dtype: int
) -> None:
    net = Net()
    c2 = small_c2(net, net.input("input", [1, 3, SIDE, SIDE]))
    factor = net.op("Cast", net.input(name, dims, dtype), to=TensorProto.FLOAT)
    to_map(net, net.op("Mul", c2, factor))
    done = export(net.save(tmp_path / "m.onnx"), images, tmp_path / "out" / "b")
    assert done.refused(name, "--")


def gained() -> Net:
    net = Net()
    c2 = small_c2(net, net.input("input", [1, 3, SIDE, SIDE]))
    return to_map(net, net.op("Mul", c2, net.input("masks", [1, 1, HALF, HALF])))


@pytest.mark.parametrize("as_file", [pytest.param(False, id="a-number"), pytest.param(True, id="a-file")])
def test_an_input_beside_the_image_gets_a_fixed_value(tmp_path: Path, images: Path, as_file: bool) -> None:
    np.save(tmp_path / "masks.npy", np.full((1, 1, HALF, HALF), 2, np.float32))
    value = f"masks={tmp_path / 'masks.npy'}" if as_file else "masks=2"
    model = gained().save(tmp_path / "m.onnx")
    made = exported(model, images, tmp_path / "out" / "b", "--input-value", value)
    check_scores(made, lambda pixels: 2 * raw(pixels))


def gained_ir(folder: Path) -> Path:
    import openvino

    model = openvino.convert_model(gained().save(folder / "m.onnx"))
    openvino.save_model(model, folder / "ir" / "m.xml", compress_to_fp16=False)
    return folder / "ir" / "m.xml"


@pytest.mark.parametrize("form", ["number", "file"])
def test_a_fixed_value_for_an_input_of_an_ir(tmp_path: Path, images: Path, form: str) -> None:
    np.save(tmp_path / "two.npy", np.full((1, 1, HALF, HALF), 2.0))
    value = "masks=2" if form == "number" else f"masks={tmp_path / 'two.npy'}"
    variants = ("openvino-fp32",)
    made = exported(gained_ir(tmp_path), images, tmp_path / "out" / "b", "--input-value", value, variants=variants)
    check_scores(made, lambda pixels: 2 * raw(pixels), variants=variants)


def test_an_ir_keeps_an_input_for_the_image(tmp_path: Path, images: Path) -> None:
    values = ("--input-value", "masks=2", "--input-value", "input=1")
    done = export(gained_ir(tmp_path), images, tmp_path / "out" / "b", *values, variants=("openvino-fp32",))
    assert done.refused("no input for the image")


@pytest.mark.parametrize("value", ["other=1", "masks=much", "masks=missing.npy", "masks"])
def test_a_fixed_value_that_does_not_fit_is_refused(tmp_path: Path, images: Path, value: str) -> None:
    model = gained().save(tmp_path / "m.onnx")
    done = export(model, images, tmp_path / "out" / "b", "--input-value", value)
    assert done.refused(f"--input-value {value}")


def reshaped(dims: Dims, *, to: tuple[int, ...], last: bool = False, channels: int = 3) -> Net:
    """The small model behind a reshape of its input."""
    net = Net()
    image = net.op("Reshape", net.input("input", dims), net.whole(*to))
    image = net.op("Transpose", image, perm=[0, 3, 1, 2]) if last else image
    return to_map(net, small_c2(net, image, channels=channels))


@pytest.mark.parametrize(
    "net",
    [
        pytest.param(
            reshaped([3, SIDE, SIDE], to=(1, 3, SIDE, SIDE)),
            id="no-batch",
        ),
        pytest.param(
            reshaped([SIDE, SIDE, 3], to=(1, SIDE, SIDE, 3), last=True),
            id="no-batch-channels-last",
        ),
    ],
)
def test_a_picture_without_a_batch_is_taken(tmp_path: Path, images: Path, net: Net) -> None:
    made = exported(net.save(tmp_path / "m.onnx"), images, tmp_path / "out" / "b")
    check_scores(made, raw)


def test_a_picture_without_a_batch_is_taken_by_an_ir(tmp_path: Path, images: Path) -> None:
    import openvino

    source = reshaped([3, SIDE, SIDE], to=(1, 3, SIDE, SIDE)).save(tmp_path / "m.onnx")
    openvino.save_model(openvino.convert_model(source), tmp_path / "ir" / "m.xml", compress_to_fp16=False)
    variants = ("openvino-fp32",)
    made = exported(tmp_path / "ir" / "m.xml", images, tmp_path / "out" / "b", variants=variants)
    check_scores(made, raw, variants=variants)


@pytest.mark.parametrize(
    "dims",
    [
        pytest.param([1, SIDE, SIDE], id="one-plane"),
        pytest.param([SIDE, SIDE], id="plane-alone"),
    ],
)
def test_a_gray_picture_without_a_batch_is_taken(tmp_path: Path, dims: list[int]) -> None:
    pictures = write_pictures(tmp_path / "img", gray=True)
    net = reshaped(dims, to=(1, 1, SIDE, SIDE), channels=1)
    made = exported(net.save(tmp_path / "m.onnx"), pictures, tmp_path / "out" / "b")
    check_scores(made, lambda pixels: np.abs(c2_of(pixels)))


@pytest.mark.parametrize(
    "dims",
    [
        pytest.param([1, 1, 3, SIDE, SIDE], id="five-dimensions"),
        pytest.param([1, 3, 1, SIDE, SIDE], id="five-dimensions-time-behind"),
        pytest.param(["b", 1, SIDE, SIDE, 3], id="five-dimensions-channels-last"),
    ],
)
def test_a_clip_of_one_picture_is_taken_or_told_as_a_clip(tmp_path: Path, images: Path, dims: Dims) -> None:
    last = dims[-1] == 3
    to = (-1, SIDE, SIDE, 3) if last else (1, 3, SIDE, SIDE)
    model = reshaped(dims, to=to, last=last).save(tmp_path / "m.onnx")
    done = export(model, images, tmp_path / "out" / "b")
    as_clip = done.code != 0 and done.refused("clip", "--")
    assert as_clip or done.succeeded()


def sized(kind: str) -> Net:
    """A graph of any height and width with one part that fits pictures of 96x96 only."""
    net = Net()
    features = small_features(net, net.input("input", [1, 3, "h", "w"]))
    c2 = net.conv(features, weights(1, 8, 3, 3, seed=1), out="c2")
    if kind == "mu":
        c2 = net.op("Sub", c2, net.named("mu", np.zeros((1, 1, HALF, HALF), np.float32)))
    elif kind == "scale":
        c2 = net.op("Mul", net.named("inverse_deviation", np.ones((1, 1, HALF, HALF), np.float32)), c2)
    elif kind == "position":
        tokens = net.op("Transpose", net.op("Reshape", features, net.whole(1, 8, -1)), perm=[0, 2, 1])
        placed = net.op("Add", tokens, net.named("pos_embed", np.zeros((1, HALF * HALF, 8), np.float32)))
        c2 = net.op("ReduceMean", placed, axes=[2], keepdims=0)
        c2 = net.op("Reshape", c2, net.whole(1, 1, -1, HALF))
    elif kind == "linear":
        flat = net.op("Reshape", c2, net.whole(1, -1))
        projected = net.op("MatMul", flat, net.named("fc.weight", np.eye(HALF * HALF, dtype=np.float32)))
        c2 = net.op("Reshape", projected, net.whole(1, 1, HALF, HALF))
    net.op("Abs", c2, out="map")
    net.output("map", [1, 1, "mh", "mw"])
    return net


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        pytest.param("mu", ("mu",), id="mean-subtracted"),
        pytest.param("scale", ("inverse_deviation",), id="deviation"),
        pytest.param("position", ("pos_embed",), id="position-embedding"),
        pytest.param("linear", ("fc.weight",), id="fully-connected"),
    ],
)
@pytest.mark.parametrize("size", [pytest.param("128x128", id="square"), pytest.param("64x96", id="not-square")])
def test_the_line_says_what_does_not_fit_the_size(
    tmp_path: Path, images: Path, kind: str, names: tuple[str, ...], size: str
) -> None:
    done = export(sized(kind).save(tmp_path / "m.onnx"), images, tmp_path / "out" / "b", "--size", size)
    assert done.refused(*names, unless="--map-output")


@pytest.mark.parametrize("kind", ["mu", "scale", "position", "linear"])
def test_the_size_that_fits_is_taken(tmp_path: Path, images: Path, kind: str) -> None:
    made = exported(sized(kind).save(tmp_path / "m.onnx"), images, tmp_path / "out" / "b", "--size", "96x96")
    assert made.map_size("onnx-fp32") == (HALF, HALF)


def test_as_input_is_rgb_from_zero_to_one() -> None:
    blue = np.zeros((2, 2, 3), np.uint8)
    blue[..., 0] = 255
    assert as_input(blue)[0, :, 0, 0].tolist() == [0, 0, 1]
