"""A disk that fills up while export writes to it is a line that says so."""

from __future__ import annotations

import errno
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from support.full_disk import disk_of

from edge_ad.errors import OutputError
from edge_ad_export.graph.libraries import load_openvino, save_openvino
from edge_ad_export.variants.quantizer import Quantizer


def large_model() -> Any:
    ops = load_openvino().opset13
    given = ops.parameter([1, 9000], np.float32)
    return load_openvino().Model([ops.add(given, np.arange(9000, dtype=np.float32)[None])], [given])


def test_a_file_of_openvino_that_does_not_fit_says_why(tmp_path: Path) -> None:
    model = large_model()

    with disk_of(9000), pytest.raises(OSError, match="too large") as told:
        save_openvino(model, tmp_path / "model.xml")

    assert told.value.errno == errno.EFBIG


def test_what_openvino_cannot_write_for_another_reason_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("Exception from src/core\nno such operation")

    monkeypatch.setattr(load_openvino(), "save_model", fail)

    with pytest.raises(OSError, match="OpenVINO says: no such operation"):
        save_openvino(None, tmp_path / "model.xml")


def test_no_room_for_the_quantizers_images_names_the_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _folder: SimpleNamespace(free=100))
    pixels = [np.zeros((1, 8, 8, 3), np.uint8)]
    quantizer = object.__new__(Quantizer)
    quantizer._folder = tmp_path / "edge-ad-x"

    with pytest.raises(OutputError, match=r"folder for temporary files \(TMPDIR\): cannot be written: .* free some"):
        quantizer.use_calibration_data(pixels, pixels)

    assert list(tmp_path.iterdir()) == []
