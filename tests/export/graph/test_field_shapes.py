"""Faults from the field, kind 4: operators whose shapes and types ``onnx`` does not infer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper
from support.field_cli import BOTH, check_scores, export, exported
from support.field_models import SIDE, Net, as_input, c2_of, small_c2, small_features, weights, write_pictures
from support.onnx_session import open_session

HALF = SIDE // 2
MS = "com.microsoft"


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "img")


def group_norm(net: Net, value: str, channels: int, groups: int = 2) -> str:
    """The scale has one number a group before opset 21, one per channel from there on."""
    count = groups if net.opset < 21 else channels
    ones, zeros = net.constant(np.linspace(0.8, 1.2, count)), net.constant(np.zeros(count))
    return net.op("GroupNormalization", value, ones, zeros, num_groups=groups, epsilon=1e-5)


def normed(opset: int) -> Net:
    net = Net(opset, 10)
    features = small_features(net, net.input("input", ["b", 3, SIDE, SIDE]))
    return to_map(net, net.conv(group_norm(net, features, 8), weights(1, 8, 3, 3, seed=1)))


def to_map(net: Net, c2: str) -> Net:
    net.op("Abs", c2, out="map")
    net.output("map", ["b", 1, HALF, HALF])
    return net


def after_features(kind: Callable[[Net, str], str], opset: int = 17) -> Net:
    """The small model with something between its first convolution and its second."""
    net = Net(opset, 10)
    features = small_features(net, net.input("input", ["b", 3, SIDE, SIDE]))
    return to_map(net, net.conv(kind(net, features), weights(1, 8, 3, 3, seed=1)))


def fused_conv() -> Net:
    net = Net()
    image = net.input("input", ["b", 3, SIDE, SIDE])
    attributes: dict[str, Any] = {"strides": [2, 2], "pads": [1] * 4, "activation": "Relu"}
    features = net.op("FusedConv", image, net.constant(weights(8, 3, 3, 3)), domain=MS, **attributes)
    return to_map(net, net.conv(features, weights(1, 8, 3, 3, seed=1)))


def fused_matmul(net: Net, value: str) -> str:
    tokens = net.op("Reshape", value, net.whole(1, 8, HALF * HALF))
    eye = net.constant(np.eye(8)[None])
    return net.op("Reshape", net.op("FusedMatMul", eye, tokens, domain=MS, alpha=1.0), net.whole(1, 8, HALF, HALF))


def skip_layer_norm(net: Net, value: str) -> str:
    tokens = net.op("Transpose", net.op("Reshape", value, net.whole(1, 8, HALF * HALF)), perm=[0, 2, 1])
    ones, zeros = net.constant(np.ones(8)), net.constant(np.zeros(8))
    normal = net.op("SkipLayerNormalization", tokens, tokens, ones, zeros, domain=MS, epsilon=1e-5)
    return net.op("Reshape", net.op("Transpose", normal, perm=[0, 2, 1]), net.whole(1, 8, HALF, HALF))


def sequence(*, stated: bool, at: int = 0) -> Net:
    """``c2`` cut in two along its rows; the map is one of the halves."""
    net = Net()
    c2 = small_c2(net, net.input("input", ["b", 3, SIDE, SIDE]))
    halves = net.op("SplitToSequence", c2, net.constant(24, np.int64), axis=2)
    part = net.op("SequenceAt", halves, net.constant(at, np.int64))
    if stated:
        net.value(part, ["b", 1, 24, HALF])
    net.op("Abs", part, out="map")
    net.output("map", ["b", 1, 24, HALF] if stated else ["b", 1, None, None])
    return net


def joined() -> Net:
    """Two tensors put into a sequence and out of it."""
    net = Net()
    c2 = small_c2(net, net.input("input", ["b", 3, SIDE, SIDE]))
    both = net.op("SequenceConstruct", net.op("Relu", c2), net.op("Relu", net.op("Neg", c2)))
    net.op("ReduceMax", net.op("ConcatFromSequence", both, axis=1), out="map", axes=[1], keepdims=1)
    net.output("map", ["b", 1, HALF, HALF])
    return net


def run_plainly(net: Net) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    """The one output in ONNX Runtime, as a map."""

    def expected(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        session = open_session(net.proto().SerializeToString())
        (found,) = session.run(None, {"input": as_input(pixels)})
        return np.asarray(found[0, 0])

    return expected


ENGINE_RUNS = [
    pytest.param(normed(18), id="group-norm-18"),
    pytest.param(normed(21), id="group-norm-21"),
    pytest.param(fused_conv(), id="fused-conv"),
    pytest.param(sequence(stated=False), id="sequence-not-stated"),
    pytest.param(sequence(stated=True), id="sequence-stated"),
    pytest.param(sequence(stated=False, at=1), id="sequence-second-half"),
    pytest.param(joined(), id="sequence-constructed"),
    pytest.param(after_features(fused_matmul), id="fused-matmul"),
    pytest.param(
        after_features(lambda net, x: net.op("Gelu", x, domain=MS)),
        id="gelu",
    ),
    pytest.param(
        after_features(lambda net, x: net.op("QuickGelu", x, domain=MS)),
        id="quick-gelu",
    ),
    pytest.param(
        after_features(lambda net, x: net.op("FastGelu", x, domain=MS)),
        id="fast-gelu",
    ),
    pytest.param(after_features(lambda net, x: net.op("Mish", x), 18), id="mish-a-function"),
    pytest.param(
        after_features(lambda net, x: net.op("SimplifiedLayerNormalization", x, net.constant(np.ones(HALF)))),
        id="of-onnxruntime-without-a-domain",
    ),
    pytest.param(
        after_features(lambda net, x: group_norm(net, x, 8, 8), 18),
        id="instance-like-group-norm",
    ),
]

# Quantizers are other programs, which see one operator of each kind: a norm, a fused one, a sequence, a function.
QUANTIZED = {"group-norm-18", "fused-conv", "sequence-not-stated", "mish-a-function"}


@pytest.mark.parametrize("net", [one for one in ENGINE_RUNS if one.id not in QUANTIZED])
def test_what_the_engine_runs_is_exported(tmp_path: Path, images: Path, net: Net) -> None:
    made = exported(net.save(tmp_path / "m.onnx"), images, tmp_path / "out" / "b", variants=BOTH)
    check_scores(made, run_plainly(net))


@pytest.mark.parametrize("net", [one for one in ENGINE_RUNS if one.id in QUANTIZED])
def test_what_the_engine_runs_is_exported_in_all_variants(tmp_path: Path, images: Path, net: Net) -> None:
    made = exported(net.save(tmp_path / "m.onnx"), images, tmp_path / "out" / "b", variants=())
    check_scores(made, run_plainly(net))


@pytest.mark.usefixtures("new_interpreters")
def test_skip_layer_normalization_is_exported(tmp_path: Path, images: Path) -> None:
    """Held back to AVX2, OpenVINO 2026.4 runs this operator into a segmentation fault: that costs its variants."""
    net = after_features(skip_layer_norm)
    made = exported(net.save(tmp_path / "m.onnx"), images, tmp_path / "out" / "b", variants=BOTH)
    check_scores(made, run_plainly(net))


@pytest.mark.parametrize(
    ("opset", "stated"),
    [
        pytest.param(18, True, id="18"),
        pytest.param(21, True, id="21"),
        pytest.param(18, False, id="18-of-any-batch"),
    ],
)
def test_an_autoencoder_with_group_norm_is_a_reconstruction(
    tmp_path: Path, images: Path, opset: int, stated: bool
) -> None:
    net = Net(opset, 10)
    batch = 1 if stated else "b"
    image = net.input("input", [batch, 3, SIDE, SIDE])
    features = group_norm(net, net.conv(image, weights(8, 3, 3, 3)), 8)
    net.op("Sigmoid", net.conv(features, weights(3, 8, 3, 3, seed=2)), out="reconstruction")
    net.output("reconstruction", [batch, 3, SIDE, SIDE])
    made = exported(net.save(tmp_path / "m.onnx"), images, tmp_path / "out" / "b", "--blur", "0")

    def expected(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        session = open_session(net.proto().SerializeToString())
        (decoded,) = session.run(None, {"input": as_input(pixels)})
        return np.asarray(((decoded[0] - as_input(pixels)[0]) ** 2).mean(axis=0), np.float32)

    check_scores(made, expected)


@pytest.mark.parametrize(
    ("domain", "kind"),
    [
        pytest.param("com.microsoft", "NoSuchFusedThing", id="microsoft"),
        pytest.param("", "NoSuchOperator", id="standard"),
        pytest.param("ai.onnx.ml", "NoSuchLearner", id="ml"),
        pytest.param("mmdeploy", "TRTBatchedNMS", id="control-another-domain"),
    ],
)
def test_an_operator_that_nobody_knows_is_named(tmp_path: Path, images: Path, domain: str, kind: str) -> None:
    net = Net()
    c2 = small_c2(net, net.input("input", ["b", 3, SIDE, SIDE]))
    to_map(net, net.op(kind, c2, domain=domain))
    done = export(net.save(tmp_path / "m.onnx"), images, tmp_path / "out" / "b")
    assert done.refused(kind)


def test_a_sequence_is_never_declared_a_tensor(tmp_path: Path, images: Path) -> None:
    net = sequence(stated=False)
    made = exported(net.save(tmp_path / "m.onnx"), images, tmp_path / "out" / "b")
    written = onnx.load(made.model("onnx-fp32"))
    known = [*written.graph.value_info, *written.graph.output]
    sequences = {n.output[0] for n in written.graph.node if n.op_type == "SplitToSequence"}
    assert [value.name for value in known if value.name in sequences and value.type.HasField("tensor_type")] == []
    check_scores(made, lambda pixels: np.abs(c2_of(pixels)[:24]))


def test_shapes_that_the_file_states_are_kept(tmp_path: Path, images: Path) -> None:
    """An operator of a domain that ONNX infers nothing of, the shape of its result in ``value_info``."""
    net = Net()
    features = small_features(net, net.input("input", [1, 3, SIDE, SIDE]))
    curve = net.op("QuickGelu", features, domain=MS, out="curve")
    net.value(curve, [1, 8, HALF, HALF])
    to_map(net, net.conv(curve, weights(1, 8, 3, 3, seed=1)))
    net.outputs[0] = helper.make_tensor_value_info("map", 1, [1, 1, HALF, HALF])
    made = exported(net.save(tmp_path / "m.onnx"), images, tmp_path / "out" / "b")
    check_scores(made, run_plainly(net))


def test_the_operator_is_named_behind_which_nothing_is_known(tmp_path: Path, images: Path) -> None:
    """How many cells are not zero depends on the picture."""
    net = Net()
    c2 = net.op("Relu", small_c2(net, net.input("input", ["b", 3, SIDE, SIDE])))
    net.op("Cast", net.op("NonZero", c2), to=1, out="map")
    net.output("map", [4, None])
    done = export(net.save(tmp_path / "m.onnx"), images, tmp_path / "out" / "b", "--map-output", "map")
    assert done.refused("NonZero")


def test_a_model_in_double_precision_that_the_engine_lacks_says_what_to_do(tmp_path: Path, images: Path) -> None:
    net = Net(dtype=11)
    to_map(net, small_c2(net, net.input("input", [1, 3, SIDE, SIDE])))
    done = export(net.save(tmp_path / "m.onnx"), images, tmp_path / "out" / "b")
    assert done.refused("Conv", "float64", "float32")


def test_a_graph_of_two_types_is_refused_for_that(tmp_path: Path, images: Path) -> None:
    """Its shapes are not known, for the same reason: that is not what the line is about."""
    net = Net(dtype=11)
    to_map(net, small_c2(net, net.input("input", [1, 3, SIDE, SIDE], 1)))
    done = export(net.save(tmp_path / "m.onnx"), images, tmp_path / "out" / "b", "--map-output", "map")
    assert done.refused("Conv", "bound to different types", unless="--map-output")
