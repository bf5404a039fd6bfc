"""What ``edge-ad export`` says of models that it cannot read, and what its documentation says of those it can."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from support import export_models, tiny
from support.paths import DOCS as DOCS_FOLDER

from edge_ad.cli import main
from edge_ad_export.importers import IMPORTERS

DOCUMENT = DOCS_FOLDER / "importers.md"


def pickled(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "model.pt", "w") as archive:
        archive.writestr("model/data.pkl", b"")
    return folder / "model.pt"


def damaged(folder: Path) -> Path:
    (folder / "model.tflite").write_bytes(b"\x1c\0\0\0TFL3" + bytes(40))
    return folder / "model.tflite"


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        pytest.param(pickled, [], "is a pickle, which may run any code", id="pickle"),
        pytest.param(pickled, ["--trust-pickle"], "say --size WIDTHxHEIGHT", id="pickle-of-any-size"),
        pytest.param(lambda f: Path("net:make"), ["--size", "8x8"], "say which with --state-dict", id="factory"),
        pytest.param(damaged, [], "converting the TFLite model", id="conversion-fails"),
        pytest.param(export_models.write, ["--importer", "anomalib1"], "--score-output", id="wrong-importer"),
        pytest.param(export_models.write, ["--importer", "keras"], "choose one of anomalib2, ", id="no-such-importer"),
    ],
)
def test_one_line_and_no_bundle(tmp_path: Path, make: Callable[[Path], Path], options: list[str], message: str) -> None:
    images = tiny.write_images(tmp_path / "images", export_models.parts(3))
    arguments = ["export", str(make(tmp_path)), "--images", str(images), "-o", str(tmp_path / "bundle"), *options]

    result = CliRunner().invoke(main, arguments)

    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "bundle").exists()
    assert {path.name for path in tmp_path.iterdir()} <= {"images", "model.pt", "model.tflite", "model.onnx"}


@pytest.mark.parametrize("name", IMPORTERS)
def test_every_importer_is_documented(name: str) -> None:
    assert f"| `{name}` |" in DOCUMENT.read_text()


@pytest.mark.parametrize("option", ["--importer", "--state-dict", "--trust-pickle", "--size", "--mean", "--std"])
def test_options_of_the_document_are_in_the_help(option: str) -> None:
    assert f"`{option}" in DOCUMENT.read_text()
    assert option in CliRunner().invoke(main, ["export", "--help"]).output
