"""A disk that fills up while export writes to it is a line that says so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import onnx_ir as ir
import pytest
from support.full_disk import disk_of

from edge_ad.errors import ModelError, OutputError
from edge_ad_export.files import openvino_file
from edge_ad_export.graph.libraries import load_openvino, save_openvino
from edge_ad_export.lowering import engine_trial
from edge_ad_export.quantize import quantizers
from edge_ad_export.quantize.settings import Settings
from edge_ad_export.variants.quantizer import Quantizer


def large_model() -> Any:
    ops = load_openvino().opset13
    given = ops.parameter([1, 9000], np.float32)
    return load_openvino().Model([ops.add(given, np.arange(9000, dtype=np.float32)[None])], [given])


def test_a_file_of_openvino_that_does_not_fit_says_why(tmp_path: Path) -> None:
    model = large_model()

    with disk_of(9000), pytest.raises(OutputError, match=r"/model\.xml: cannot be written: .* write elsewhere$"):
        save_openvino(model, tmp_path / "model.xml")


def quantize(folder: Path) -> None:
    np.save(folder / "pixels.npy", np.zeros((1, 8, 8, 3), np.uint8))
    quantizers.quantize_file(
        str(folder / "float.xml"),
        str(folder / "pixels.npy"),
        str(folder / "int8.xml"),
        msgspec.to_builtins(Settings(tool="nncf")),
    )


@pytest.mark.parametrize(
    "write",
    [
        pytest.param(quantize, id="quantizer"),
        pytest.param(lambda folder: openvino_file.convert("x", str(folder / "model.xml")), id="converter"),
        pytest.param(lambda _folder: engine_trial.try_openvino(ir.Model(ir.Graph([], [], nodes=[]), ir_version=10),
                                                               large_model()), id="trial"),
    ],
)  # fmt: skip
def test_wherever_export_lets_openvino_write_it_is_the_same_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path], None]
) -> None:
    model = large_model()
    save_openvino(model, tmp_path / "float.xml")
    monkeypatch.setattr(quantizers, "quantize_with_nncf", lambda *_: model)
    monkeypatch.setattr(load_openvino(), "convert_model", lambda _source: model)
    monkeypatch.setattr(engine_trial, "rare_operators", lambda _model: ("Mish",))

    with disk_of(9000), pytest.raises(OutputError, match=r"\.xml: cannot be written: .* write elsewhere$"):
        write(tmp_path)


def test_what_openvino_cannot_write_for_another_reason_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("Exception from src/core\nno such operation")

    monkeypatch.setattr(load_openvino(), "save_model", fail)

    with pytest.raises(ModelError, match="OpenVINO cannot write the graph: no such operation"):
        save_openvino(None, tmp_path / "model.xml")

    assert list(tmp_path.iterdir()) == []


def test_no_room_for_the_quantizers_images_names_the_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _folder: SimpleNamespace(free=100))
    pixels = [np.zeros((1, 8, 8, 3), np.uint8)]
    quantizer = object.__new__(Quantizer)
    quantizer._folder = tmp_path / "edge-ad-x"
    quantizer._folder.mkdir()

    with pytest.raises(OutputError, match=r"folder for temporary files \(TMPDIR\): cannot be written: .* free some"):
        quantizer.use_calibration_data(pixels, pixels)

    assert list(quantizer._folder.iterdir()) == []
