"""The table of the zoo: its rows, those without a bundle, and the passes that are named in it."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import export_models
from support.export_models import Tiny

from benchmarks.zoo.measure import _gain, passes_applied
from benchmarks.zoo.rows import ZooRow, write_rows
from edge_ad_export import ModelFile, import_model

_DOCS = "before\n<!-- zoo: begin -->\nold\n<!-- zoo: end -->\nafter\n"


def test_the_gain_is_over_the_better_engine_round_by_round() -> None:
    times = {"onnxruntime": [4.0, 8.0, 4.0], "openvino": [3.0, 6.0, 3.0], "fast": [1.0, 2.0, 1.5], "slow": [9.0] * 3}
    assert _gain(times, ["onnxruntime", "openvino"], ["fast", "slow"]) == pytest.approx(3.0)


def test_the_table_stands_between_its_marks(tmp_path: Path) -> None:
    docs = tmp_path / "families.md"
    docs.write_text(_DOCS, encoding="utf-8")
    rows = [
        ZooRow("Padim", ("Gaussian",), 120.4, 1.5, "openvino-int8", 3.501, ("onnx-int8: ranks",), 61.2),
        ZooRow("Dsr", refused="anomalib cannot make it here: no weights"),
    ]
    write_rows(docs, rows, "Measured on this.")
    assert docs.read_text(encoding="utf-8").startswith("before\n<!-- zoo: begin -->\n\n| model | passes that applied |")
    assert (
        "| Padim | Gaussian | 120 | 1.50 | openvino-int8 | 3.50 | onnx-int8: ranks | 61.2 |\n"
        "\nWithout a bundle:\n\n- Dsr: anomalib cannot make it here: no weights\n\nMeasured on this.\n\n"
        "<!-- zoo: end -->\nafter\n"
    ) in docs.read_text(encoding="utf-8")


def test_a_page_without_marks_is_left_alone(tmp_path: Path) -> None:
    docs = tmp_path / "families.md"
    docs.write_text("no marks", encoding="utf-8")
    with pytest.raises(ValueError, match="expected <!-- zoo: begin --> and <!-- zoo: end -->, once each"):
        write_rows(docs, [], "")
    assert docs.read_text(encoding="utf-8") == "no marks"


def test_only_passes_that_change_the_graph_are_named(tmp_path: Path) -> None:
    assert passes_applied(import_model(ModelFile(export_models.write(tmp_path, Tiny())))) == ("FoldPreprocessing",)
