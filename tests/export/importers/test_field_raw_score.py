"""Faults from the field, kind 1: the raw score is found by what the graph does, not by names or by the last node."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto
from support.field_chains import Tail, anomalib, clamp, normalised
from support.field_cli import BOTH, check_scores, edge_ad, export, exported
from support.field_models import SIDE, Net, c2_of, small_c2, small_features, weights, write_pictures

HALF = SIDE // 2


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "img")


def raw(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.abs(c2_of(pixels))


@pytest.mark.parametrize(
    "tail",
    [
        pytest.param(Tail(), id="control"),
        pytest.param(
            Tail(dtype=TensorProto.FLOAT16),
            id="float16-with-casts",
        ),
        pytest.param(
            Tail(image="image"),
            id="input-called-image",
        ),
        pytest.param(
            Tail(dtype=TensorProto.FLOAT16, image="x"),
            id="float16-and-another-name",
        ),
        pytest.param(
            Tail(image="pixel_values", labels=True),
            id="another-name-with-labels",
        ),
        pytest.param(Tail(ends=("identity", "identity")), id="identities-behind"),
        pytest.param(
            Tail(ends=("reshape",)),
            id="reshape-behind",
        ),
        pytest.param(
            Tail(ends=("squeeze",)),
            id="unsqueeze-and-squeeze-behind",
        ),
        pytest.param(
            Tail(ends=("flatten", "identity")),
            id="flatten-behind",
        ),
        pytest.param(Tail(ends=("transpose",)), id="transposes-behind"),
        pytest.param(Tail(ends=("transpose", "identity")), id="identity-behind-transposes"),
        pytest.param(
            Tail(ends=("double", "float")),
            id="to-double-and-back",
        ),
        pytest.param(
            Tail(before=("double", "float"), ends=("identity",)),
            id="casts-before",
        ),
        pytest.param(
            Tail(names=("score", "anomaly_map"), image="x"),
            id="score-by-another-name",
        ),
        pytest.param(
            Tail(names=("output", "847"), image="x.1"),
            id="names-that-say-nothing",
        ),
        pytest.param(
            Tail(form="constants", dtype=TensorProto.FLOAT16),
            id="threshold-is-a-cast-constant",
        ),
        pytest.param(
            Tail(clamp="max-min", dtype=TensorProto.FLOAT16),
            id="max-and-min-in-float16",
        ),
        pytest.param(
            Tail(opset=20, ends=("reshape",), dtype=TensorProto.FLOAT16),
            id="opset-20-reshape-float16",
        ),
    ],
)
def test_score_and_map_are_raw_in_both_engines(tmp_path: Path, images: Path, tail: Tail) -> None:
    model = anomalib(tail).save(tmp_path / "m.onnx")
    made = exported(model, images, tmp_path / "out" / "b", variants=BOTH)
    tolerance = 5e-3 if tail.dtype == TensorProto.FLOAT16 else 1e-3
    check_scores(made, raw, variants=BOTH, tolerance=tolerance)


@pytest.mark.parametrize(
    "tail",
    [
        pytest.param(Tail(form="affine"), id="folded-to-one-product-and-sum"),
        pytest.param(Tail(form="reciprocal"), id="times-the-reciprocal"),
        pytest.param(Tail(form="added"), id="a-negative-threshold-added"),
        pytest.param(Tail(clamp="two-clips"), id="two-clips-of-one-bound"),
        pytest.param(Tail(clamp="relu-min", image="x"), id="relu-and-min"),
        pytest.param(
            Tail(form="affine", image="image", names=("output", "anomaly_map")),
            id="affine-by-other-names",
        ),
    ],
)
def test_the_score_is_raw_or_a_line_says_that_it_is_clamped(tmp_path: Path, images: Path, tail: Tail) -> None:
    made = exported(anomalib(tail).save(tmp_path / "m.onnx"), images, tmp_path / "out" / "b")
    frames = list(made.golden("onnx-fp32"))
    is_raw = all(frame.score == pytest.approx(float(raw(frame.pixels).max()), rel=2e-3) for frame in frames)
    assert is_raw or "clamp" in made.stderr


def test_a_clamp_of_something_else_is_said(tmp_path: Path, images: Path) -> None:
    net = Net()
    plane = net.op("Abs", small_c2(net, net.input("input", ["b", 3, SIDE, SIDE])))
    scaled = net.op("Sqrt", net.op("Mul", plane, net.constant(0.3)))
    net.op("Clip", scaled, net.constant(0.0), net.constant(1.0), out="anomaly_map")
    net.op("ReduceMax", "anomaly_map", out="pred_score", axes=[1, 2, 3], keepdims=0)
    net.output("pred_score", ["b"])
    net.output("anomaly_map", ["b", 1, HALF, HALF])
    made = exported(net.save(tmp_path / "m.onnx"), images, tmp_path / "out" / "b")
    assert "clamp" in made.stderr


def clamped(*parts: str, affine: bool = True, name: str = "anomaly_map") -> Net:
    """A map that is normalised and clamped; ``resize``: enlarged then; ``mean``: beside a score that is its mean."""
    net = Net()
    plane = net.op("Abs", small_c2(net, net.input("input", ["b", 3, SIDE, SIDE])))
    value = normalised(net, plane, "div") if affine else net.op("Sqrt", net.op("Mul", plane, net.constant(0.3)))
    value = clamp(net, value, "clip", None)
    side = HALF
    if "resize" in parts:
        side, sizes = SIDE, net.whole(1, 1, SIDE, SIDE)
        value = net.op("Resize", value, "", "", sizes, mode="linear", coordinate_transformation_mode="half_pixel")
    if "mean" in parts:
        net.op("ReduceMean", value, out="pred_score", axes=[1, 2, 3], keepdims=0)
        net.output("pred_score", ["b"])
    net.op("Identity", value, out=name)
    net.output(name, ["b", 1, side, side])
    return net


def enlarged(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.asarray(cv2.resize(raw(pixels), (SIDE, SIDE), interpolation=cv2.INTER_LINEAR), np.float32)


def test_a_resized_map_is_raw(tmp_path: Path, images: Path) -> None:
    model = clamped("resize").save(tmp_path / "m.onnx")
    made = exported(model, images, tmp_path / "out" / "b", variants=BOTH)
    check_scores(made, enlarged, variants=BOTH)


def test_a_resized_map_of_an_ir_is_raw(tmp_path: Path, images: Path) -> None:
    import openvino

    model = openvino.convert_model(clamped("resize").save(tmp_path / "m.onnx"))
    openvino.save_model(model, tmp_path / "ir" / "m.xml", compress_to_fp16=False)
    made = exported(tmp_path / "ir" / "m.xml", images, tmp_path / "out" / "b", variants=("openvino-fp32",))
    check_scores(made, enlarged, variants=("openvino-fp32",))


@pytest.mark.parametrize("index", [pytest.param(1, id="scalar"), pytest.param([1], id="vector")])
def test_a_plane_picked_behind_the_clamp_is_raw(tmp_path: Path, images: Path, index: object) -> None:
    net = Net()
    plane = net.op("Abs", small_c2(net, net.input("input", [1, 3, SIDE, SIDE])))
    both = net.op("Concat", net.op("Neg", plane), plane, axis=1)
    levels = clamp(net, normalised(net, both, "div"), "clip", None)
    picked = net.op("Gather", levels, net.constant(index, np.int64), axis=1)
    net.op("Identity", picked, out="anomaly_map")
    net.output("anomaly_map", [1, HALF, HALF] if index == 1 else [1, 1, HALF, HALF])
    made = exported(net.save(tmp_path / "m.onnx"), images, tmp_path / "out" / "b", variants=BOTH)
    check_scores(made, raw, variants=BOTH)


def test_a_mean_of_clamped_cells_is_said(tmp_path: Path, images: Path) -> None:
    made = exported(clamped("mean").save(tmp_path / "m.onnx"), images, tmp_path / "out" / "b")
    assert "pred_score is clamped (Clip to 0..1)" in made.stderr


@pytest.mark.parametrize("name", ["anomaly_map", "847"])
def test_the_family_of_maps_reads_before_the_clamp(tmp_path: Path, images: Path, name: str) -> None:
    model = clamped(name=name).save(tmp_path / "m.onnx")
    made = exported(model, images, tmp_path / "out" / "b", "--family", "map", variants=BOTH)
    check_scores(made, raw, variants=BOTH)


@pytest.mark.parametrize(
    ("net", "options"),
    [
        pytest.param(clamped(), ("--map-output", "anomaly_map"), id="named"),
        pytest.param(clamped(affine=False), (), id="of-something-else"),
        pytest.param(clamped("resize", affine=False), ("--blur", "2"), id="resized-and-smoothed"),
    ],
)
def test_a_map_of_the_family_that_stays_clamped_is_said(
    tmp_path: Path, images: Path, net: Net, options: tuple[str, ...]
) -> None:
    made = exported(net.save(tmp_path / "m.onnx"), images, tmp_path / "out" / "b", "--family", "map", *options)
    assert "anomaly_map is clamped" in made.stderr


def test_planes_that_are_combined_are_read_before_their_clamp(tmp_path: Path, images: Path) -> None:
    """The mean of a map and of a part of its negative."""
    net = Net()
    plane = net.op("Abs", small_c2(net, net.input("input", ["b", 3, SIDE, SIDE])))
    both = net.op("Concat", plane, net.op("Mul", plane, net.constant(-0.5)), axis=1)
    clamp(net, normalised(net, both, "div"), "clip", "levels")
    net.output("levels", ["b", 2, HALF, HALF])
    model = net.save(tmp_path / "m.onnx")
    made = exported(model, images, tmp_path / "out" / "b", "--family", "map", "--combine", "mean")
    check_scores(made, lambda pixels: raw(pixels) / np.float32(4))


def pairs(loss: list[int | str | None], *, levels: int = 1, name: str = "g_loss") -> Net:
    """Features of a teacher and of a student, and the mean of their squared difference among the outputs."""
    net = Net()
    features = small_features(net, net.input("input", [1, 3, SIDE, SIDE]))
    squared = []
    for level in range(levels):
        teacher, student = (
            net.conv(features, weights(8, 8, 3, 3, seed=9 + 2 * level + i), out=f"{kind}{level}", stride=1 + level)
            for i, kind in enumerate(("en", "de"))
        )
        for value in (teacher, student):
            net.output(value, [1, 8, HALF // (1 + level), HALF // (1 + level)])
        difference = net.op("Sub", teacher, student)
        squared.append(net.op("ReduceMean", net.op("Mul", difference, difference), keepdims=0))
    total = squared[0] if levels == 1 else net.op("Add", *squared[:2])
    net.op("Reshape", total, net.constant(np.array(loss or [], np.int64), np.int64), out=name)
    net.output(name, loss)
    return net


@pytest.mark.parametrize(
    "net",
    [
        pytest.param(pairs([]), id="a-pair-and-its-loss"),
        pytest.param(pairs([1]), id="loss-of-one-dimension"),
        pytest.param(pairs([], levels=2), id="two-levels-and-their-loss"),
        pytest.param(pairs([1, 1], name="1234"), id="loss-without-a-telling-name"),
        pytest.param(
            pairs([], name="score_loss"),
            id="loss-whose-name-has-score-in-it",
        ),
    ],
)
def test_a_loss_is_not_taken_unasked(tmp_path: Path, images: Path, net: Net) -> None:
    done = export(net.save(tmp_path / "m.onnx"), images, tmp_path / "out" / "b")
    assert done.refused("--family student-teacher", "--score-output")


def test_a_loss_beside_a_reconstruction_is_not_taken_unasked(tmp_path: Path, images: Path) -> None:
    net = Net()
    image = net.input("input", [1, 3, SIDE, SIDE])
    net.op("Sigmoid", net.conv(net.conv(image, weights(4, 3, 3, 3)), weights(3, 4, 3, 3)), out="reconstruction")
    difference = net.op("Sub", image, "reconstruction")
    net.op("ReduceMean", net.op("Abs", difference), out="loss", keepdims=0)
    net.output("reconstruction", [1, 3, SIDE, SIDE])
    net.output("loss", [])
    done = export(net.save(tmp_path / "m.onnx"), images, tmp_path / "out" / "b")
    by_itself = done.code == 0 and "reconstruction" in done.stderr
    assert by_itself or done.refused("--score-output", "--family")


def test_a_loss_is_the_score_when_that_is_said(tmp_path: Path, images: Path) -> None:
    model = pairs([]).save(tmp_path / "m.onnx")
    made = exported(model, images, tmp_path / "out" / "b", "--score-output", "g_loss")
    assert made.map_size("onnx-fp32") is None


def test_golden_frames_and_the_command_line_agree(tmp_path: Path, images: Path) -> None:
    made = exported(anomalib(Tail()).save(tmp_path / "m.onnx"), images, tmp_path / "out" / "b")
    scored = edge_ad("score", made.folder, images, "--json").records
    assert len(scored) == 8
    for frame in made.golden("onnx-fp32"):
        assert min(abs(record["score"] - frame.score) for record in scored) < 1e-5
