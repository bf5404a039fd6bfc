"""What can be checked first is checked first: no command opens an engine when a result cannot be written."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from support import export_models, tiny
from support.export_models import Tiny
from support.tiny_calibration import calibrate

from edge_ad.bundle import Bundle, pack
from edge_ad.cli import main

DARK = np.full(tiny.FRAME, 20, np.uint8)


@pytest.fixture
def place(tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a bundle, its zip file, images, a model and labelled data; no engine may be opened."""
    calibrate(tiny_bundle, 0.4)
    tiny_bundle.rename(tmp_path / "part")
    pack(Bundle.open(tmp_path / "part"), tmp_path / "part.zip")
    tiny.write_images(tmp_path / "images", [DARK + step for step in range(40)])
    tiny.write_images(tmp_path / "data/test/good", [DARK, DARK + 1])
    tiny.write_images(tmp_path / "data/test/spot", [tiny.spotted(DARK, 32, 24)])
    export_models.write(tmp_path, Tiny())
    (tmp_path / "locked").mkdir()

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("an engine was opened")

    for module in ("edge_ad.scoring.opening.open_engine", "edge_ad_export.reference.engine.open_session"):
        monkeypatch.setattr(module, refuse)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))  # maps that other tests have kept count as room
    monkeypatch.chdir(tmp_path)
    return tmp_path


def lock(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Nothing can be made below the folder any more; tests may run as a user whom permissions do not bind."""
    real: Callable[..., int] = os.open

    def opened(path: Any, flags: int, *rest: Any, **more: Any) -> int:
        if flags & os.O_CREAT and Path(os.fspath(path)).absolute().is_relative_to(folder):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path, flags, *rest, **more)

    monkeypatch.setattr(os, "open", opened)
    monkeypatch.setattr("tempfile._os.open", opened)


def edge_ad(line: str) -> Result:
    return CliRunner().invoke(main, line.split())


COMMANDS = [
    pytest.param("score part images --csv {}/x.csv", id="score-csv"),
    pytest.param("score part images --annotate {}/x.mp4", id="score-video"),
    pytest.param("score part images --drift-state {}/x.json", id="score-drift"),
    pytest.param("calibrate part --normal images --fpr 0.3 --report {}/x.html", id="calibrate-report"),
    pytest.param("calibrate part --normal images --fpr 0.3 --plot {}/x.png", id="calibrate-plot"),
    pytest.param("calibrate part --normal images --fpr 0.3 --sheet {}/x.jpg", id="calibrate-sheet"),
    pytest.param("evaluate part --data data --report {}/x.html", id="evaluate-report"),
    pytest.param("evaluate part --data data --csv {}/x.csv", id="evaluate-csv"),
    pytest.param("pack part -o {}/x.zip", id="pack"),
    pytest.param("export model.onnx --images images -o new --report {}/x.html", id="export-report"),
    pytest.param("compare part part:openvino-fp32 --images images --report {}/x.html", id="compare-report"),
]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_folder_that_does_not_exist_is_refused_at_once(place: Path, command: str) -> None:
    before = sorted(place.rglob("*"))
    done = edge_ad(command.format("absent"))
    assert done.exit_code == 2, done.output
    assert "its folder does not exist: create it first" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert sorted(place.rglob("*")) == before


@pytest.mark.parametrize(
    "command",
    [
        *COMMANDS,
        pytest.param("score part images --annotate {}", id="score-pictures"),
        pytest.param("score part images --keep {}", id="score-keep"),
        pytest.param("export model.onnx --images images -o {}/new", id="export"),
        pytest.param("unpack part.zip -o {}/new", id="unpack"),
    ],
)
def test_a_folder_that_cannot_be_written_to_is_refused_at_once(
    place: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    lock(monkeypatch, place / "locked")
    make = os.mkdir

    def mkdir(path: Any, *rest: Any, **more: Any) -> None:
        if Path(path).absolute().is_relative_to(place / "locked"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        make(path, *rest, **more)

    monkeypatch.setattr(os, "mkdir", mkdir)
    done = edge_ad(command.format("locked"))
    assert done.exit_code == 4, done.output
    assert "cannot be written: permission denied: choose a place that may be written to" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_read_only_bundle_is_refused_before_it_is_calibrated(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock(monkeypatch, place / "part")
    done = edge_ad("calibrate part --normal images --fpr 0.3")
    assert done.exit_code == 4, done.output
    assert "variants/onnx-fp32/calibration.json: cannot be written: permission denied" in done.stderr


@pytest.mark.parametrize(
    ("command", "what"),
    [
        pytest.param("pack part -o x.zip", "x.zip", id="pack"),
        pytest.param("unpack part.zip -o new", "new", id="unpack"),
        pytest.param("export model.onnx --images images -o new", "new", id="export"),
        pytest.param("evaluate part --data masked", "the anomaly maps", id="evaluate"),
    ],
)
def test_a_disk_that_is_too_small_is_refused_at_once(
    place: Path, monkeypatch: pytest.MonkeyPatch, command: str, what: str
) -> None:
    shutil.copytree(place / "data", place / "masked")
    tiny.write_images(place / "masked/ground_truth/spot", [tiny.spotted(DARK * 0, 32, 24)])
    usage = shutil.disk_usage(place)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage._replace(free=1))
    done = edge_ad(command)
    assert done.exit_code == 4, done.output
    assert f"{what}: cannot be written: it takes about 0 MB, and the disk has 0 MB: free some space" in done.stderr
