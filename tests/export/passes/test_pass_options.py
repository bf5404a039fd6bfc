"""What the user may ask of the passes, and where it is written down."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from support import export_models
from support.paths import DOCS as DOCS_FOLDER

from edge_ad.cli import main
from edge_ad.errors import InputError
from edge_ad_export.importers import ModelFile, import_model
from edge_ad_export.lowering.contract import lower
from edge_ad_export.model.shrink import Shrink
from edge_ad_export.passes.cheaper import cheaper_passes

DOCS = DOCS_FOLDER / "passes.md"


def test_every_pass_is_in_the_docs() -> None:
    text = DOCS.read_text(encoding="utf-8")

    assert [name for name in (type(one).__name__ for one in cheaper_passes(Shrink())) if f"`{name}`" not in text] == []


@pytest.mark.parametrize("option", ["--coreset", "--project", "--energy"])
def test_every_option_is_in_help_and_docs(option: str) -> None:
    shown = CliRunner().invoke(main, ["export", "--help"]).output

    assert option in shown
    assert option in DOCS.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("shrink", "text"),
    [
        pytest.param(Shrink(), "", id="nothing"),
        pytest.param(Shrink(coreset=100, project=32), "--coreset 100 --project 32", id="bank"),
        pytest.param(Shrink(energy=0.9), "--energy 0.9", id="energy"),
    ],
)
def test_what_is_asked_reads_like_the_command_line(shrink: Shrink, text: str) -> None:
    assert str(shrink) == text
    assert shrink.is_asked is bool(text)


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({"coreset": 0}, id="no-vectors"),
        pytest.param({"project": -1}, id="negative-dimensions"),
        pytest.param({"energy": 0.0}, id="no-energy"),
        pytest.param({"energy": 1.5}, id="more-than-all"),
        pytest.param({"energy": float("nan")}, id="nan"),
    ],
)
def test_numbers_out_of_range_are_refused(given: dict[str, float]) -> None:
    with pytest.raises(InputError, match="expected"):
        Shrink(**given)  # type: ignore[arg-type]


def test_the_command_line_refuses_in_one_line(tmp_path: Path) -> None:
    arguments = ["export", "model.onnx", "--images", "x", "-o", str(tmp_path / "b"), "--coreset", "0"]
    result = CliRunner().invoke(main, arguments)

    assert result.exit_code == 2
    assert result.stderr.strip() == "edge-ad: --coreset 0: expected at least 1"


def test_a_rewrite_that_scores_otherwise_is_not_kept(tmp_path: Path) -> None:
    imported = import_model(ModelFile(export_models.write(tmp_path)))

    assert lower(imported, lambda _candidate: True).cheaper
    assert not lower(imported, lambda _candidate: False).cheaper


@pytest.mark.parametrize(
    "shrink", [pytest.param(Shrink(coreset=5), id="coreset"), pytest.param(Shrink(project=5), id="projection")]
)
def test_a_head_that_cannot_shrink_is_told(tmp_path: Path, shrink: Shrink) -> None:
    imported = import_model(ModelFile(export_models.write(tmp_path)))

    with pytest.raises(InputError, match="there is no memory bank"):
        lower(imported, lambda _candidate: True, shrink)
    with pytest.raises(InputError, match="not understood well enough for --"):
        lower(imported, lambda _candidate: False, shrink)
