"""docs/families.md names every family and every option of the heads, and the table is written between its marks."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.paths import DOCS as DOCS_FOLDER

from benchmarks.families.rows import Row
from benchmarks.families.table import write_table
from edge_ad_export.cli.export import export
from edge_ad_export.heads import FAMILIES
from edge_ad_export.model.head_options import HeadOptions

DOCS = DOCS_FOLDER / "families.md"
ROW = Row(
    family="map",
    model="toy",
    data="none",
    origin="this test",
    score_parity=1.2e-6,
    int8_spearman=None,
    before_ms=2.0,
    after_ms=1.0,
    variant="onnx-fp32",
    roc_auc=0.75,
)


def test_every_family_has_its_line() -> None:
    text = DOCS.read_text()
    assert [name for name in FAMILIES if f"| `{name}` |" not in text] == []


def test_every_option_is_described() -> None:
    text = DOCS.read_text()
    options = ["--" + name.replace("_", "-") for name in HeadOptions.__dataclass_fields__]
    assert [name for name in options if f"{name}" not in text] == []


def test_every_field_is_an_option_with_help() -> None:
    known = {(param.name or "").removeprefix("head_"): param for param in export.params}
    assert [name for name in HeadOptions.__dataclass_fields__ if not getattr(known.get(name), "help", None)] == []


def test_the_table_takes_the_place_between_the_marks(tmp_path: Path) -> None:
    path = tmp_path / "families.md"
    path.write_text("before\n<!-- families: begin -->\nold\n<!-- families: end -->\nbehind\n")
    write_table(path, [ROW], "a machine")
    text = path.read_text()
    assert "| map | toy | none | this test | 1e-06 | - | 2.00 | 1.00 | onnx-fp32 | 0.750 |" in text
    assert "old" not in text
    assert text.startswith("before\n")
    assert text.endswith("behind\n")


def test_a_document_without_marks_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "families.md"
    path.write_text("nothing")
    with pytest.raises(ValueError, match="has no place for the table"):
        write_table(path, [ROW], "a machine")
    assert path.read_text() == "nothing"
