"""Faults from the field, kind 6: what cannot be converted, quantized or compared costs a variant, not the export."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper
from support.field_cli import BOTH, check_scores, edge_ad, export, exported
from support.field_models import (
    SIDE,
    Net,
    as_input,
    c2_of,
    small_c2,
    small_features,
    small_model,
    weights,
    write_pictures,
)
from support.onnx_session import open_session

HALF = SIDE // 2
MS = "com.microsoft"


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "img")


def between(part: Callable[[Net, str], str], opset: int = 19, ir_version: int = 10) -> Net:
    """The small model with something between its convolutions."""
    net = Net(opset, ir_version)
    features = part(net, small_features(net, net.input("input", [1, 3, SIDE, SIDE])))
    net.op("Abs", net.conv(features, weights(1, 8, 3, 3, seed=1)), out="map")
    net.output("map", [1, 1, HALF, HALF])
    return net


def deform(net: Net, value: str) -> str:
    offsets = net.constant(np.full((1, 18, HALF, HALF), 0.3))
    return net.op("DeformConv", value, net.constant(weights(8, 8, 3, 3, seed=7)), offsets, pads=[1] * 4)


def unpool(net: Net, value: str) -> str:
    size: dict[str, Any] = {"kernel_shape": [2, 2], "strides": [2, 2]}
    net.nodes.append(helper.make_node("MaxPool", [value], ["pooled", "places"], "pool", **size))
    return net.op("MaxUnpool", "pooled", "places", **size)


def dropout(net: Net, value: str) -> str:
    return net.op("Dropout", value, net.constant(0.0, np.float32), net.constant(np.array(True), np.bool_), seed=3)


def determinant(net: Net, value: str) -> str:
    corner = net.op("Slice", value, net.whole(0, 0), net.whole(2, 2), net.whole(2, 3))
    shifted = net.op("Add", corner, net.constant(3 * np.eye(2)))
    return net.op("Mul", value, net.op("Reshape", net.op("Det", shifted), net.whole(1, 8, 1, 1)))


def inverse(net: Net, value: str) -> str:
    corner = net.op("Slice", value, net.whole(0, 0), net.whole(2, 2), net.whole(2, 3))
    inverted = net.op("Inverse", net.op("Add", corner, net.constant(3 * np.eye(2))), domain=MS)
    return net.op("Add", value, net.op("ReduceMean", inverted, net.whole(2, 3), keepdims=1))


def by_itself(net: Net) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    """The one output in ONNX Runtime, as a map."""

    def expected(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        session = open_session(net.proto().SerializeToString())
        (found,) = session.run(None, {"input": as_input(pixels)})
        return np.asarray(found[0, 0], np.float32)

    return expected


@pytest.mark.parametrize(
    ("part", "operator"),
    [
        pytest.param(deform, "DeformConv", id="deformable-convolution"),
        pytest.param(unpool, "MaxUnpool", id="max-unpool"),
        pytest.param(determinant, "Det", id="determinant"),
        pytest.param(inverse, "Inverse", id="inverse"),
    ],
)
def test_what_openvino_cannot_convert_costs_its_variants(
    tmp_path: Path, images: Path, part: Callable[[Net, str], str], operator: str
) -> None:
    net = between(part)
    made = exported(net.save(tmp_path / "m.onnx"), images, tmp_path / "out" / "b", variants=())
    check_scores(made, by_itself(net))
    openvino = {name: trial["rejected"] for name, trial in made.trials.items() if name.startswith("openvino-")}
    assert {"openvino-fp32", "openvino-fp16", "openvino-int8"} <= openvino.keys()
    assert all(operator in str(why) for why in openvino.values()), openvino
    assert all("\n" not in str(why) for why in openvino.values())


def test_an_openvino_variant_alone_that_cannot_be_had_is_a_line(tmp_path: Path, images: Path) -> None:
    model = between(deform).save(tmp_path / "m.onnx")
    done = export(model, images, tmp_path / "out" / "b", variants=("openvino-fp32",))
    assert done.refused("DeformConv")


def deep(convolutions: int, channels: int, *, dtype: int = TensorProto.FLOAT, opset: int = 17) -> Net:
    net = Net(opset, 8, dtype)
    value = net.input("input", [1, 3, SIDE, SIDE])
    before = 3
    for index in range(convolutions):
        deviation = (2.0 / (9 * before)) ** 0.5
        kernel = weights(channels, before, 3, 3, seed=index, deviation=deviation)
        value = net.op("Relu", net.conv(value, kernel, stride=2 if index == 0 else 1))
        before = channels
    net.op("Abs", net.conv(value, weights(1, channels, 3, 3, seed=99)), out="map")
    net.output("map", [1, 1, HALF, HALF])
    return net


def half_small(seed: int) -> Net:
    """The small model all in float16, its weights another draw."""
    net = Net(dtype=TensorProto.FLOAT16)
    image = net.input("input", [1, 3, SIDE, SIDE])
    features = net.op("Relu", net.conv(image, weights(8, 3, 3, 3, seed=seed), stride=2))
    net.op("Abs", net.conv(features, weights(1, 8, 3, 3, seed=seed + 100)), out="map")
    net.output("map", [1, 1, HALF, HALF])
    return net


@pytest.mark.parametrize(
    "seed",
    [
        pytest.param(0, id="control-0"),
        pytest.param(7, id="control-7"),
        pytest.param(20, id="20"),
        pytest.param(36, id="36"),
    ],
)
def test_a_model_in_float16_is_measured_as_one(tmp_path: Path, seed: int) -> None:
    images = write_pictures(tmp_path / "img", 30)
    made = exported(half_small(seed).save(tmp_path / "m.onnx"), images, tmp_path / "out" / "b", variants=BOTH)
    assert made.shipped >= {"onnx-fp32"}
    assert not any("relative score error" in str(trial["rejected"]) for trial in made.trials.values())


@pytest.mark.parametrize(
    "net",
    [
        pytest.param(deep(10, 16), id="control-float32"),
        pytest.param(
            deep(10, 16, dtype=TensorProto.FLOAT16),
            id="ten-convolutions-float16",
        ),
        pytest.param(
            deep(4, 8, dtype=TensorProto.FLOAT16, opset=13),
            id="float16-opset-13",
        ),
        pytest.param(
            deep(8, 24, opset=11),
            id="eight-convolutions-opset-11",
        ),
        pytest.param(
            deep(8, 24, opset=12),
            id="eight-convolutions-opset-12",
        ),
        pytest.param(
            deep(3, 8, opset=11),
            id="three-convolutions-opset-11",
        ),
        pytest.param(
            deep(4, 8, dtype=TensorProto.FLOAT16, opset=12),
            id="float16-opset-12",
        ),
    ],
)
def test_int8_is_made_and_measured(tmp_path: Path, images: Path, net: Net) -> None:
    model = net.save(tmp_path / "m.onnx")
    made = exported(model, images, tmp_path / "out" / "b", variants=("onnx-fp32", "onnx-int8"))
    trial = made.trials["onnx-int8"]
    assert trial["fidelity"] is not None, trial["rejected"]


def sampling(kind: str, share: float, **attributes: Any) -> Net:
    """An autoencoder that adds noise to its code."""
    net = Net(15)
    image = net.input("input", [1, 3, SIDE, SIDE])
    code = net.conv(image, weights(8, 3, 3, 3), out="code", stride=2)
    if kind == "RandomNormal":
        noise = net.op(kind, shape=[1, 8, HALF, HALF], **attributes)
    elif kind == "Multinomial":
        drawn = net.op(kind, net.op("Reshape", code, net.whole(1, -1)), sample_size=1, **attributes)
        noise = net.op("Cast", net.op("Reshape", drawn, net.whole(1, 1, 1, 1)), to=TensorProto.FLOAT)
    elif kind == "Bernoulli":
        noise = net.op(kind, net.op("Sigmoid", code), **attributes)
    elif kind == "Dropout":
        ratio, training = net.constant(share, np.float32), net.constant(np.array(True), np.bool_)
        noise = net.op(kind, code, ratio, training, **attributes)
    else:
        noise = net.op(kind, code, **attributes)
    noisy = noise if kind == "Dropout" else net.op("Add", code, net.op("Mul", noise, net.constant(share)))
    up = net.op("ConvTranspose", noisy, net.constant(weights(8, 3, 4, 4, seed=2)), strides=[2, 2], pads=[1] * 4)
    net.op("Sigmoid", up, out="reconstruction")
    net.output("reconstruction", [1, 3, SIDE, SIDE])
    return net


@pytest.mark.parametrize(
    ("net", "operator"),
    [
        pytest.param(
            sampling("RandomNormalLike", 0.1),
            "RandomNormalLike",
            id="normal-like",
        ),
        pytest.param(
            sampling("RandomNormalLike", 1e-6),
            "RandomNormalLike",
            id="normal-like-faint",
        ),
        pytest.param(
            sampling("RandomNormalLike", 0.1, seed=7.0),
            "RandomNormalLike",
            id="normal-like-with-a-seed",
        ),
        pytest.param(
            sampling("RandomNormal", 0.1),
            "RandomNormal",
            id="normal",
        ),
        pytest.param(
            sampling("RandomUniformLike", 1e-6),
            "RandomUniformLike",
            id="uniform-like-faint",
        ),
        pytest.param(
            sampling("Bernoulli", 0.1, seed=3.0),
            "Bernoulli",
            id="bernoulli",
        ),
        pytest.param(
            sampling("Multinomial", 1e-9),
            "Multinomial",
            id="multinomial-faint",
        ),
        pytest.param(
            sampling("Dropout", 0.2),
            "Dropout",
            id="dropout-in-training",
        ),
        pytest.param(
            sampling("Dropout", 0.2, seed=5),
            "Dropout",
            id="dropout-in-training-with-a-seed",
        ),
    ],
)
def test_a_random_node_is_named(tmp_path: Path, images: Path, net: Net, operator: str) -> None:
    done = export(net.save(tmp_path / "m.onnx"), images, tmp_path / "out" / "b")
    assert done.crash is None
    assert operator in done.stderr


OLDEST_IR, OLDEST_OPSET = 10, 21  # what onnxruntime 1.20, the lower bound, was made for


@pytest.mark.parametrize(
    ("ir_version", "opset"),
    [
        pytest.param(9, 17, id="control"),
        pytest.param(14, 28, id="ir-14-opset-28"),
        pytest.param(13, 25, id="ir-13-opset-25"),
        pytest.param(11, 17, id="ir-11-opset-17"),
        pytest.param(10, 23, id="ir-10-opset-23"),
        pytest.param(12, 24, id="ir-12-opset-24"),
    ],
)
def test_the_oldest_runtime_opens_it_or_the_needed_one_is_said(
    tmp_path: Path, images: Path, ir_version: int, opset: int
) -> None:
    model = small_model(opset=opset, ir_version=ir_version).save(tmp_path / "m.onnx")
    made = exported(model, images, tmp_path / "out" / "b")
    check_scores(made, lambda pixels: np.abs(c2_of(pixels)))
    written = onnx.load(made.model("onnx-fp32"))
    found = next(one.version for one in written.opset_import if one.domain in ("", "ai.onnx"))
    is_old = written.ir_version <= OLDEST_IR and found <= OLDEST_OPSET
    verified = edge_ad("verify", made.folder, "--json")
    is_said = re.search(r"(runtime|onnxruntime)\W+(>=\W*)?1\.\d\d", verified.stdout + verified.stderr) is not None
    assert is_old or is_said


@pytest.mark.parametrize(
    ("operator", "opset", "ir_version", "runtime"),
    [
        pytest.param("RMSNormalization", 23, 10, r"1\.23", id="of-a-newer-opset"),
        pytest.param("Swish", 24, 12, r"1\.\d\d", id="of-an-opset-newer-than-the-table"),
    ],
)
def test_the_needed_runtime_is_in_the_manifest_and_in_what_verify_says(
    tmp_path: Path, images: Path, operator: str, opset: int, ir_version: int, runtime: str
) -> None:
    def part(net: Net, value: str) -> str:
        scales = [net.constant(np.ones(HALF))] if operator == "RMSNormalization" else []
        return net.op(operator, value, *scales)

    net = between(part, opset, ir_version)
    made = exported(net.save(tmp_path / "m.onnx"), images, tmp_path / "out" / "b")
    check_scores(made, by_itself(net))
    (variant,) = made.manifest["variants"]
    assert re.fullmatch(runtime, variant["min_runtime"])
    for command in ("verify", "info"):
        assert re.search(rf"needs onnxruntime {runtime} or newer", edge_ad(command, made.folder).stdout)
    assert edge_ad("verify", made.folder, "--json").json["variants"][0]["min_runtime"] == variant["min_runtime"]


def recurrent(seed: int) -> Net:
    """An LSTM over the rows of ``c2``."""
    net = Net()
    rows = net.op("Reshape", small_c2(net, net.input("input", [1, 3, SIDE, SIDE])), net.whole(HALF, 1, HALF))
    given, kept = (net.constant(weights(1, 64, size, seed=seed + size)) for size in (HALF, 16))
    hidden = net.op("LSTM", rows, given, kept, hidden_size=16)
    net.op("Reshape", net.op("ReduceMean", hidden, keepdims=0), net.whole(1), out="score")
    net.output("score", [1])
    return net


def nearly_equal(signal: float) -> Net:
    """A mean that is one for every picture but for rounding, and a little of what tells pictures apart."""
    net = Net()
    c2 = small_c2(net, net.input("input", [1, 3, SIDE, SIDE]))
    centred = net.op("Sub", c2, net.op("ReduceMean", c2, axes=[1, 2, 3], keepdims=1))
    squared = net.op("Mul", centred, centred)
    one = net.op("ReduceMean", net.op("Div", squared, net.op("ReduceMean", squared, keepdims=1)), keepdims=0)
    peak = net.op("ReduceMax", net.op("Abs", c2), keepdims=0)
    value = net.op("Add", one, net.op("Mul", peak, net.constant(signal)))
    net.op("Reshape", value, net.whole(1), out="score")
    net.output("score", [1])
    return net


@pytest.mark.parametrize(
    "net",
    [
        pytest.param(recurrent(0), id="lstm"),
        pytest.param(recurrent(3), id="lstm-other-weights"),
        pytest.param(nearly_equal(1e-6), id="scores-equal-to-a-millionth"),
        pytest.param(nearly_equal(3e-7), id="scores-equal-to-rounding"),
        pytest.param(nearly_equal(1e-5), id="scores-that-differ-by-little"),
        pytest.param(
            nearly_equal(1e-2),
            id="scores-that-differ-by-a-hundredth",
        ),
    ],
)
def test_a_float_variant_is_not_refused_for_the_order_of_equal_scores(tmp_path: Path, images: Path, net: Net) -> None:
    made = exported(net.save(tmp_path / "m.onnx"), images, tmp_path / "out" / "b", variants=BOTH)
    assert {name: trial["rejected"] for name, trial in made.trials.items()} == dict.fromkeys(BOTH)
