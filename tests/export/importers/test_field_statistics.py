"""Faults from the field, kind 1: mean and scale that are in the file count, in every format that carries them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from support.export_imports import run_exported
from support.field_cli import check_scores, export, exported
from support.field_models import SIDE, Net, c2_of, put, small_c2, write_pictures
from support.paths import TESTS
from support.tflite_metadata import normalization, with_metadata

from edge_ad_export import ImportOptions, ModelFile, import_model
from edge_ad_export.files.tflite_metadata import tflite_info
from edge_ad_export.reference.sessions import open_session

HALF = SIDE // 2


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "img")


MEAN, SCALE = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])
IMAGENET = {
    "mean_values": "123.675 116.28 103.53",
    "scale_values": "58.395 57.12 57.375",
    "reverse_input_channels": "True",
}


def with_statistics(mean: Any = MEAN, scale: Any = SCALE, *, rgb: bool = True) -> Callable[..., NDArray[np.float32]]:
    """The right map of a model whose pixels are ``(pixel - mean) / scale``, planes in the order of the model."""

    def expected(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        planes = pixels[..., ::-1] if rgb else pixels
        image = ((planes.astype(np.float64) - mean) / scale).transpose(2, 0, 1)[None]
        return np.abs(c2_of(np.ascontiguousarray(image, np.float32)))

    return expected


def map_model(output: str) -> Net:
    net = Net()
    net.op("Abs", small_c2(net, net.input("image", [1, 3, SIDE, SIDE])), out=output)
    net.output(output, [1, 1, HALF, HALF])
    return net


def write_ir(folder: Path, info: dict[str, str], names: set[str], *, section: str = "model_info") -> Path:
    """The map model as an IR whose output tensor has just these names."""
    import openvino

    source = map_model("map").save(folder / "source.onnx")
    model = openvino.convert_model(source)
    model.output(0).get_tensor().set_names(names)
    for name, value in info.items():
        model.set_rt_info(value, [section, name])
    openvino.save_model(model, folder / "ir" / "model.xml", compress_to_fp16=False)
    return folder / "ir" / "model.xml"


@pytest.mark.parametrize(
    ("names", "info", "expected"),
    [
        pytest.param({"output"}, IMAGENET, with_statistics(), id="control-output"),
        pytest.param(
            set[str](),
            IMAGENET,
            with_statistics(),
            id="otx-without-a-name",
        ),
        pytest.param(
            {"boxes_or_map"},
            IMAGENET,
            with_statistics(),
            id="another-name",
        ),
        pytest.param(
            {"map"},
            {**IMAGENET, "reverse_input_channels": "NO"},
            with_statistics(rgb=False),
            id="channels-not-reversed",
        ),
        pytest.param(
            {"map"},
            {"mean_values": "127.5", "scale_values": "127.5"},
            with_statistics(127.5, 127.5),
            id="one",
        ),
        pytest.param(
            {"anomaly_map"},
            {"scale_values": "255 255 255"},
            with_statistics(0.0, 255.0),
            id="scale-alone-without-mean",
        ),
        pytest.param(
            {"map"},
            {"mean_values": "123.675,116.28,103.53", "scale_values": "[58.395, 57.12, 57.375]"},
            with_statistics(),
            id="commas-and-brackets",
        ),
    ],
)
def test_statistics_of_an_ir_count(
    tmp_path: Path,
    images: Path,
    names: set[str],
    info: dict[str, str],
    expected: Callable[[NDArray[np.uint8]], NDArray[np.float32]],
) -> None:
    model = write_ir(tmp_path, info, names)
    made = exported(model, images, tmp_path / "out" / "b", variants=("openvino-fp32",))
    check_scores(made, expected, variants=("openvino-fp32",))
    assert "no mean" not in made.stderr


@pytest.mark.parametrize(
    "separator",
    [
        pytest.param(" ", id="otx"),
        pytest.param("/", id="slash"),
    ],
)
def test_statistics_in_the_metadata_of_an_onnx_file_count(tmp_path: Path, images: Path, separator: str) -> None:
    net = map_model("output")
    net.metadata = {f"model_info{separator}{name}": value for name, value in IMAGENET.items()}
    made = exported(net.save(tmp_path / "m.onnx"), images, tmp_path / "out" / "b")
    check_scores(made, with_statistics())


FRAMEWORKS = TESTS / "data" / "frameworks"


def tflite(folder: Path, mean: list[float], std: list[float]) -> ModelFile:
    """The TFLite model of the tests with metadata, whose statistics are of pixels from 0 to 255."""
    plain = (FRAMEWORKS / "net.tflite").read_bytes()
    return ModelFile(put(folder / "m.tflite", with_metadata(plain, normalization(mean, std))))


@pytest.mark.parametrize(
    ("mean", "std"),
    [
        pytest.param([127.5], [127.5], id="one"),
        pytest.param([0.0], [255.0], id="scale-alone"),
        pytest.param([123.5, 116.25, 103.5], [58.5, 57.0, 57.5], id="one-a-channel"),
    ],
)
def test_statistics_in_the_metadata_of_a_tflite_file_count(tmp_path: Path, mean: list[float], std: list[float]) -> None:
    imported = import_model(tflite(tmp_path, mean, std))
    assert (imported.input.scale, imported.input.mean, imported.input.std) == (1.0, tuple(mean), tuple(std))
    assert any("metadata" in line for line in imported.assumptions)
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    found = run_exported(imported, pixels, tmp_path / "made")
    plain = open_session(imported.model, imported.outputs_read)
    image = (pixels[..., ::-1].astype(np.float32) - np.array(mean)) / np.array(std)
    assert found.score == pytest.approx(float(plain.run(image[None].astype(np.float32))[0].ravel()[0]), rel=1e-4)


def test_the_user_wins_over_the_metadata_of_a_tflite_file(tmp_path: Path) -> None:
    imported = import_model(tflite(tmp_path, [127.5], [127.5]), ImportOptions(scale=255.0))
    assert (imported.input.scale, imported.input.mean) == (255.0, (0.0,))
    assert any("not used" in line for line in imported.assumptions)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(0, 2000), at=st.integers(0, 5000), byte=st.integers(0, 255))
def test_damaged_metadata_is_no_traceback(tmp_path: Path, cut: int, at: int, byte: int) -> None:
    plain = (FRAMEWORKS / "net.tflite").read_bytes()
    data = bytearray(with_metadata(plain, normalization([1.0], [2.0])))
    data[at % len(data)] = byte
    path = put(tmp_path / "m.tflite", bytes(data[: len(data) - cut]))
    assert set(tflite_info(path)) <= {"mean_values", "scale_values"}


PROCESSOR: dict[str, Any] = {
    "do_normalize": True,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
    "image_processor_type": "ViTImageProcessor",
}


@pytest.mark.parametrize(
    ("said", "mean", "scale"),
    [
        pytest.param({}, MEAN, SCALE, id="as-is"),
        pytest.param({"do_normalize": False}, 0, 255, id="no-normalisation"),
        pytest.param({"image_mean": 0.5, "image_std": 0.5}, 127.5, 127.5, id="one-number"),
        pytest.param(
            {"do_rescale": False, "image_mean": [127.5] * 3, "image_std": [127.5] * 3}, 127.5, 127.5, id="no-rescaling"
        ),
    ],
)
def test_statistics_of_a_preprocessor_beside_the_model_count(
    tmp_path: Path, images: Path, said: dict[str, Any], mean: Any, scale: Any
) -> None:
    model = map_model("map").save(tmp_path / "onnx" / "model.onnx")
    put(tmp_path / "onnx" / "preprocessor_config.json", json.dumps({**PROCESSOR, **said}).encode())
    made = exported(model, images, tmp_path / "out" / "b")
    check_scores(made, with_statistics(mean, scale))
    assert "preprocessor_config.json" in made.stderr


def test_a_damaged_preprocessor_is_a_line(tmp_path: Path, images: Path) -> None:
    model = map_model("map").save(tmp_path / "onnx" / "model.onnx")
    put(tmp_path / "onnx" / "preprocessor_config.json", b'{"image_mean": "much"}')
    assert export(model, images, tmp_path / "out" / "b").refused("preprocessor_config.json")


@pytest.mark.parametrize(
    ("name", "text", "numbers"),
    [
        pytest.param(
            "inference.yml",
            "PreProcess:\n  transform_ops:\n  - NormalizeImage:\n      mean:\n      - 0.485\n      - 0.456\n"
            "      std: [0.229, 0.224]\n      scale: 1./255.\n",
            ("mean - 0.485 - 0.456", "std [0.229, 0.224]"),
            id="paddlex",
        ),
        pytest.param(
            "deploy.yaml", "Deploy:\n  model: m.pdmodel\n  transforms:\n  - type: Normalize\n", (), id="paddleseg"
        ),
    ],
)
def test_a_normalisation_that_is_described_beside_a_paddle_model_is_said(
    tmp_path: Path, name: str, text: str, numbers: tuple[str, ...]
) -> None:
    for file in ("net.pdmodel", "net.pdiparams"):
        put(tmp_path / file, (FRAMEWORKS / file).read_bytes())
    put(tmp_path / name, text.encode())
    said = import_model(ModelFile(tmp_path / "net.pdmodel")).assumptions
    (line,) = (line for line in said if name in line)
    assert all(number in line for number in (*numbers, "--mean", "--std", "--scale")), line


def test_a_description_without_a_normalisation_is_no_matter(tmp_path: Path, images: Path) -> None:
    model = map_model("map").save(tmp_path / "m" / "m.onnx")
    put(tmp_path / "m" / "deploy.yaml", b"Deploy:\n  model: m.pdmodel\n")
    assert "deploy.yaml" not in exported(model, images, tmp_path / "out" / "b").stderr


def test_an_output_of_an_ir_goes_by_each_of_its_names(tmp_path: Path, images: Path) -> None:
    model = write_ir(tmp_path, {}, {"Identity:0", "StatefulPartitionedCall:0", "heat"})
    for number, name in enumerate(("Identity:0", "StatefulPartitionedCall:0", "heat")):
        target = tmp_path / "out" / str(number)
        made = exported(model, images, target, "--map-output", name, variants=("openvino-fp32",))
        check_scores(made, with_statistics(0, 255), variants=("openvino-fp32",))


def test_statistics_that_are_not_used_are_said(tmp_path: Path, images: Path) -> None:
    model = write_ir(tmp_path, {**IMAGENET, "pad_value": "114", "resize_type": "fit_to_window_letterbox"}, {"output"})
    done = export(model, images, tmp_path / "out" / "b", variants=("openvino-fp32",))
    assert "resize_type" in done.stderr


@pytest.mark.parametrize(
    ("described", "kernel", "line"),
    [
        pytest.param('{"resample": 2}', "antialiased-linear", "resized with antialiased-linear, as", id="bilinear"),
        pytest.param('{"resample": 3}', "antialiased-cubic", "resized with antialiased-cubic, as", id="bicubic"),
        pytest.param('{"resample": 0}', "nearest", "resized with nearest, as", id="nearest"),
        pytest.param('{"resample": 1}', None, "Pillow's filter 1, which edge-ad does not have", id="lanczos"),
        pytest.param('{"resample": 3, "do_resize": false}', None, "", id="nothing-is-resized"),
        pytest.param("{}", None, "", id="nothing-is-said"),
    ],
)
def test_the_kernel_of_the_training_is_taken(tmp_path: Path, described: str, kernel: str | None, line: str) -> None:
    net = Net()
    net.op("Abs", small_c2(net, net.input("input", [1, 3, SIDE, SIDE])), out="map")
    net.output("map", [1, 1, SIDE // 2, SIDE // 2])
    model = net.save(tmp_path / "m.onnx")
    (tmp_path / "preprocessor_config.json").write_text(described)

    imported = import_model(ModelFile(model))

    assert imported.kernel == kernel
    assert line in " ".join(imported.assumptions)
