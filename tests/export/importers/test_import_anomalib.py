"""Exports of anomalib 0.7 and 1.x, with what went wrong with them elsewhere.

No real export of 0.7 is at hand: these graphs and files follow what its exporter writes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray
from support import tiny
from support.export_imports import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    graph,
    picture,
    rgb,
    run_exported,
    run_plainly,
    write_ir,
    write_onnx,
)

from edge_ad import Detector
from edge_ad.bundle.records import MapSize, Resize
from edge_ad.errors import ModelError
from edge_ad_export import ExportRequest, ImportOptions, ModelFile, Size, export_bundle, import_model

METADATA_1 = {
    "task": "segmentation",
    "image_threshold": 8.5,
    "pixel_threshold": 8.25,
    "anomaly_maps.min": 1.0,
    "anomaly_maps.max": 9.0,
    "pred_scores.min": 5.0,
    "pred_scores.max": 10.0,
}
RED = "float[3] weights = {1.0, 0.0, 0.0}, int64[4] form = {1, 3, 1, 1}"


def patchcore1() -> ir.Model:
    """A map, and a score of its own under a number, as anomalib 1.x exports PatchCore."""
    model = graph(
        "w = Reshape(weights, form) red = Conv(input, w) "
        "output = AveragePool<kernel_shape=[4, 4], strides=[4, 4]>(red) "
        "top = ReduceMax<axes=[1, 2, 3], keepdims=0>(output) score = Mul(top, factor)",
        inputs="float[batch_size, 3, 32, 32] input",
        outputs="float[batch_size, 1, 8, 8] output, float[batch_size] score",
        constants=RED + ", float factor = {0.75}",
    )
    model.graph.outputs[1].name = "494"
    return model


def three_maps() -> ir.Model:
    """As EfficientAD: the combined map first, then its two parts."""
    return graph(
        "w = Reshape(weights, form) map_st = Conv(input, w) map_ae = Neg(map_st) output = Mul(map_st, map_st)",
        inputs="float[batch_size, 3, 8, 8] input",
        outputs=", ".join(f"float[batch_size, 1, 8, 8] {name}" for name in ("output", "map_st", "map_ae")),
        constants=RED,
    )


def score_first() -> ir.Model:
    """As DFM: the score is called output, the map has a number."""
    model = graph(
        "w = Reshape(weights, form) second = Conv(input, w) output = ReduceMean<axes=[1, 2, 3], keepdims=0>(second)",
        inputs="float[batch_size, 3, 8, 8] input",
        outputs="float[batch_size] output, float[batch_size, 1, 8, 8] second",
        constants=RED,
    )
    model.graph.outputs[1].name = "77"
    return model


def cropped1() -> ir.Model:
    """Resize to 32, centre crop of 28 and the red channel, all in the graph, as PatchCore's default transform."""
    return graph(
        'big = Resize<mode="linear">(input, none, none, sizes) rows = Slice(big, two, thirty, axis2, one) '
        "part = Slice(rows, two, thirty, axis3, one) w = Reshape(weights, form) output = Conv(part, w)",
        inputs="float[batch_size, 3, 64, 64] input",
        outputs="float[batch_size, 1, 28, 28] output",
        constants=RED
        + ", float[0] none = {}, int64[4] sizes = {1, 3, 32, 32}, int64[1] two = {2}, int64[1] thirty = {30}, "
        "int64[1] axis2 = {2}, int64[1] axis3 = {3}, int64[1] one = {1}",
    )


@pytest.mark.parametrize(
    ("model", "score", "anomaly_map"),
    [
        pytest.param(patchcore1(), "494", "output", id="patchcore"),
        pytest.param(three_maps(), None, "output", id="efficientad"),
        pytest.param(score_first(), "output", "77", id="dfm"),
    ],
)
@pytest.mark.parametrize("form", ["onnx", "openvino"])
def test_anomalib1_knows_which_output_is_which(
    tmp_path: Path, model: ir.Model, score: str | None, anomaly_map: str, form: str
) -> None:
    path = write_onnx(tmp_path, model, METADATA_1)
    if form == "openvino":
        path = write_ir(tmp_path, path)

    imported = import_model(ModelFile(path))

    assert (imported.importer, imported.score, imported.map) == ("anomalib1", score, anomaly_map)
    assert imported.assumptions == ()


@pytest.mark.parametrize("form", ["onnx", "openvino"])
def test_patchcores_score_is_not_the_maps_largest_value(tmp_path: Path, form: str) -> None:
    path = write_onnx(tmp_path, patchcore1(), METADATA_1)
    pixels = picture(32, 32, 3)
    expected = run_plainly(path, rgb(pixels))

    imported = import_model(ModelFile(path if form == "onnx" else write_ir(tmp_path, path)))
    found = run_exported(imported, pixels, tmp_path / "exported")

    assert found.score == pytest.approx(expected["494"][0], rel=1e-5)
    assert found.score < 0.8 * found.map.max()
    assert_allclose(found.map, expected["output"][0, 0], rtol=1e-5)


def test_thresholds_of_anomalib1_go_to_the_provenance(tmp_path: Path) -> None:
    imported = import_model(ModelFile(write_onnx(tmp_path, patchcore1(), METADATA_1)))

    assert imported.provenance == {
        "baked_image_threshold": 8.5,
        "baked_pixel_threshold": 8.25,
        "baked_pred_scores_min": 5.0,
        "baked_pred_scores_max": 10.0,
        "baked_anomaly_maps_min": 1.0,
        "baked_anomaly_maps_max": 9.0,
    }


@pytest.mark.parametrize("form", ["onnx", "openvino"])
def test_map_of_a_centre_crop_lies_where_the_crop_was(tmp_path: Path, form: str) -> None:
    path = write_onnx(tmp_path, cropped1(), METADATA_1)
    path = path if form == "onnx" else write_ir(tmp_path, path)
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[16:20, 40:44] = 255  # cells 8 and 9 down, 20 and 21 across, of 32 over the whole picture

    found = run_exported(import_model(ModelFile(path)), pixels, tmp_path / "exported")

    assert found.map.shape == (32, 32)
    assert np.argwhere(found.map > 0.9).tolist() == [[8, 20], [8, 21], [9, 20], [9, 21]]
    assert found.score == pytest.approx(1)


def cropped2() -> ir.Model:
    """As anomalib 2.x with a centre crop: normalised and clamped as well."""
    model = cropped1()
    tail = graph(
        "top = ReduceMax<axes=[1, 2, 3], keepdims=0>(output) a = Sub(top, t) b = Div(a, r) c = Add(b, half) "
        "pred_score = Clip(c, zero, end) d = Sub(output, t) e = Div(d, r) f = Add(e, half) "
        "anomaly_map = Clip(f, zero, end)",
        inputs="float[batch_size, 1, 28, 28] output",
        outputs="float[batch_size] pred_score, float[batch_size, 1, 28, 28] anomaly_map",
        constants="float t = {0.3}, float r = {0.9}, float half = {0.5}, float zero = {0}, float end = {1}",
    )
    merged = onnx.compose.merge_models(ir.to_proto(model), ir.to_proto(tail), io_map=[("output", "output")])
    return ir.from_proto(merged)


def test_anomalib2_has_the_same_trap(tmp_path: Path) -> None:
    path = write_onnx(tmp_path, cropped2())
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[16:20, 40:44] = 255

    imported = import_model(ModelFile(path))
    found = run_exported(imported, pixels, tmp_path / "exported")

    assert imported.importer == "anomalib2"
    assert np.argwhere(found.map > 0.9).tolist() == [[8, 20], [8, 21], [9, 20], [9, 21]]


@pytest.mark.parametrize(
    "cut",
    [
        pytest.param("part = Slice(input, zero, end, axis2, one)", id="nothing-cut-off"),
        pytest.param("part = Slice(input, zero, end, axis2, two)", id="every-second-row"),
        pytest.param("part = Slice(input, zero, two, axis1, one)", id="channels"),
    ],
)
@pytest.mark.parametrize("form", ["onnx", "openvino"])
def test_other_slices_are_no_crop(tmp_path: Path, cut: str, form: str) -> None:
    model = graph(
        f"{cut} output = ReduceMean<axes=[1], keepdims=1>(part)",
        inputs="float[1, 3, 8, 8] input",
        outputs="float[1, 1, h, 8] output",
        constants="int64[1] zero = {0}, int64[1] one = {1}, int64[1] two = {2}, int64[1] end = {8}, "
        "int64[1] axis1 = {1}, int64[1] axis2 = {2}",
    )
    path = write_onnx(tmp_path, model, METADATA_1)

    path = path if form == "onnx" else write_ir(tmp_path, path)
    assert import_model(ModelFile(path)).map == "output"


def test_nothing_is_found_outside_of_the_crop(tmp_path: Path) -> None:
    path = write_onnx(tmp_path, cropped1(), METADATA_1)
    pixels = np.full((64, 64, 3), 100, np.uint8)
    pixels[:3] = 255

    found = run_exported(import_model(ModelFile(path)), pixels, tmp_path / "exported")

    border = np.ones((32, 32), bool)
    border[2:30, 2:30] = False
    assert_allclose(found.map[border], found.map.min())


ALBUMENTATIONS = {
    "resize": {
        "__class_fullname__": "Resize",
        "always_apply": True,
        "p": 1,
        "height": 32,
        "width": 32,
        "interpolation": 1,
    },
    "crop": {"__class_fullname__": "CenterCrop", "always_apply": True, "p": 1.0, "height": 28, "width": 28},
    "normalize": {
        "__class_fullname__": "Normalize",
        "always_apply": False,
        "p": 1.0,
        "mean": IMAGENET_MEAN,
        "std": IMAGENET_STD,
        "max_pixel_value": 255.0,
    },
    "to-float": {"__class_fullname__": "ToFloat", "always_apply": False, "p": 1.0, "max_value": 255},
    "tensor": {"__class_fullname__": "ToTensorV2", "always_apply": True, "p": 1.0, "transpose_mask": False},
    "blur": {"__class_fullname__": "albumentations.augmentations.blur.GaussianBlur", "p": 1.0},
}


def metadata0(*steps: str) -> dict[str, Any]:
    transforms = [ALBUMENTATIONS[step] for step in steps]
    pipeline = {"__class_fullname__": "Compose", "p": 1.0, "transforms": transforms, "bbox_params": None}
    return {
        "task": "segmentation",
        "transform": {"__version__": "1.3.1", "transform": pipeline},
        "image_threshold": 3.5,
        "pixel_threshold": 3.25,
        "min": 0.5,
        "max": 4.5,
    }


def padim0(side: int) -> ir.Model:
    """Input and map as anomalib 0.7 exports PaDiM: normalised outside, opset 11, batch 1."""
    return graph(
        "w = Reshape(weights, form) mixed = Conv(input, w) output = Mul(mixed, mixed)",
        inputs=f"float[1, 3, {side}, {side}] input",
        outputs=f"float[1, 1, {side}, {side}] output",
        constants="float[3] weights = {0.7, -0.4, 0.2}, int64[4] form = {1, 3, 1, 1}",
        opset=11,
    )


def by_hand(path: Path, frame: NDArray[np.uint8], crop: slice) -> NDArray[np.float32]:
    """The map of anomalib 0.7's own road: albumentations' resize is OpenCV's linear one."""
    resized = cv2.resize(frame, (32, 32), interpolation=cv2.INTER_LINEAR)[crop, crop, ::-1]
    values = (resized / 255.0 - IMAGENET_MEAN) / IMAGENET_STD
    anomaly_map: NDArray[np.float32] = run_plainly(path, values.transpose(2, 0, 1)[None].astype(np.float32))["output"][
        0, 0
    ]
    return anomaly_map


@pytest.mark.parametrize(
    ("side", "steps", "crop"),
    [
        pytest.param(32, ("resize", "normalize", "tensor"), slice(0, 32), id="resize"),
        pytest.param(28, ("resize", "crop", "normalize", "tensor"), slice(2, 30), id="centre-crop"),
    ],
)
def test_anomalib0_scores_through_the_preprocessing_beside_it(
    tmp_path: Path, side: int, steps: tuple[str, ...], crop: slice
) -> None:
    path = write_onnx(tmp_path, padim0(side), metadata0(*steps))
    frames = tiny.frames(12)
    images = tiny.write_images(tmp_path / "images", frames)

    result = export_bundle(ExportRequest(path, images, tmp_path / "bundle", variants=("onnx-fp32",)))

    expected = by_hand(path, frames[5], crop)
    with Detector.open(result.bundle.path) as detector:
        found = detector.score(frames[5])
    assert found.score == pytest.approx(expected.max(), rel=1e-4)
    manifest = result.bundle.manifest
    assert manifest.geometry.resize == Resize(width=32, height=32, kernel="linear")
    assert manifest.variants[0].map == MapSize(width=32, height=32)


def test_ir_of_anomalib0_says_it_in_its_rt_info(tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "onnx", padim0(28))
    info = {
        "mean_values": " ".join(str(255 * value) for value in IMAGENET_MEAN),
        "scale_values": " ".join(str(255 * value) for value in IMAGENET_STD),
        "orig_height": "32",
        "orig_width": "32",
        "reverse_input_channels": "True",
        "normalization_scale": "4.0",
        "image_threshold": "3.5",
    }
    frame = picture(32, 32, 3)

    imported = import_model(ModelFile(write_ir(tmp_path / "ir", path, info)))
    found = run_exported(imported, frame, tmp_path / "exported")

    assert (imported.importer, imported.kernel, imported.input.size) == ("anomalib0", "linear", Size(32, 32))
    assert imported.provenance == {"baked_image_threshold": 3.5, "baked_normalization_scale": 4.0}
    assert_allclose(found.map[2:30, 2:30], by_hand(path, frame, slice(2, 30)), rtol=1e-4, atol=1e-5)


def test_anomalib0_without_imagenet_statistics(tmp_path: Path) -> None:
    imported = import_model(ModelFile(write_onnx(tmp_path, padim0(32), metadata0("resize", "to-float", "tensor"))))

    assert (imported.input.scale, imported.input.mean, imported.input.std) == (255.0, (0.0,), (1.0,))


@pytest.mark.parametrize(
    ("metadata", "options", "message"),
    [
        pytest.param(metadata0("resize", "blur"), {}, "the transform GaussianBlur, which the runtime", id="transform"),
        pytest.param(metadata0("normalize", "tensor") | {"min": "low"}, {}, r"Expected `float \| null`", id="types"),
        pytest.param(metadata0("crop", "resize"), {"mean": (0.5,)}, "--mean does not apply", id="contradicted"),
        pytest.param(None, {"importer": "anomalib0"}, "copy it there, or say --importer onnx", id="none"),
        pytest.param({"transform": {}}, {}, "copy it again", id="other-format"),
    ],
)
def test_anomalib0_names_what_is_wrong_beside_the_graph(
    tmp_path: Path, metadata: dict[str, Any] | None, options: dict[str, Any], message: str
) -> None:
    path = write_onnx(tmp_path, padim0(32), metadata)

    with pytest.raises(ModelError, match=message):
        import_model(ModelFile(path), ImportOptions(**options))


def test_metadata_of_another_model_is_noticed(tmp_path: Path) -> None:
    path = write_onnx(tmp_path, padim0(64), metadata0("resize", "normalize", "tensor"))

    with pytest.raises(ModelError, match=r"takes 64x64 pixels, but .* images of 32x32"):
        import_model(ModelFile(path))


def test_damaged_metadata_of_anomalib1_is_named(tmp_path: Path) -> None:
    path = write_onnx(tmp_path, patchcore1(), METADATA_1)
    (tmp_path / "metadata.json").write_text('{"task": "segmentation", "image_threshold": "high"}')

    with pytest.raises(ModelError, match=r"metadata\.json beside .* is not anomalib's"):
        import_model(ModelFile(path))
