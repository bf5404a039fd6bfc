"""Faults from the field, kind 1: mean and scale that are in the file count, in every format that carries them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.field_cli import check_scores, export, exported
from support.field_models import SIDE, Net, c2_of, small_c2, write_pictures

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


def test_statistics_that_are_not_used_are_said(tmp_path: Path, images: Path) -> None:
    model = write_ir(tmp_path, {**IMAGENET, "pad_value": "114", "resize_type": "fit_to_window_letterbox"}, {"output"})
    done = export(model, images, tmp_path / "out" / "b", variants=("openvino-fp32",))
    assert "resize_type" in done.stderr
