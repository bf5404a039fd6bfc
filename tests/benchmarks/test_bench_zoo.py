"""The table of the zoo: its rows, those without a bundle, the passes that are named in it, and its time limits."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from support import export_models
from support.export_models import Tiny

from benchmarks.zoo import measure as zoo_measure
from benchmarks.zoo.measure import _gain, _without_mixed, passes_applied, run_within
from benchmarks.zoo.rows import ZooRow, add_row
from edge_ad_export import ModelFile, import_model

_DOCS = "before\n<!-- zoo: begin -->\nold\n<!-- zoo: end -->\nafter\n"
_PADIM = ZooRow(
    "Padim",
    trained="fit",
    smaller="ResNet-18",
    importer="anomalib2, its own",
    passes=("Gaussian",),
    file_ms=120.4,
    float32_gain=1.5,
    default="openvino-int8",
    gains={"onnx-fp32": 1.2, "openvino-fp32": 1.5, "openvino-int8": 3.501},
    rejected=("ort-int8: ranks",),
    export_s=61.2,
)


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    page = tmp_path / "families.md"
    page.write_text(_DOCS, encoding="utf-8")
    return page


def test_the_gain_is_over_the_better_engine_round_by_round() -> None:
    times = {"onnxruntime": [4.0, 8.0, 4.0], "openvino": [3.0, 6.0, 3.0], "fast": [1.0, 2.0, 1.5], "slow": [9.0] * 3}
    assert _gain(times, ["onnxruntime", "openvino"], ["fast", "slow"]) == pytest.approx(3.0)


def test_the_table_stands_between_its_marks(docs: Path) -> None:
    add_row(docs, _PADIM, "this.")
    add_row(docs, ZooRow("Dsr", refused="anomalib cannot make it here: no weights"), "this.")
    text = docs.read_text(encoding="utf-8")
    assert text.startswith("before\n<!-- zoo: begin -->\n\n| model | trained | importer, score |")
    assert (
        "| Padim, ResNet-18 | fit | anomalib2, its own | Gaussian | 120 | 1.50 |"
        " **ov-int8 3.50**, ov-fp32 1.50, ort-fp32 1.20 | ort-int8: ranks | 61.2 |\n"
        "\nWithout a bundle:\n\n- Dsr: anomalib cannot make it here: no weights\n\nMeasured on this.\n\n"
        "<!-- zoo: end -->\nafter\n"
    ) in text


def test_a_row_replaces_only_that_of_its_model(docs: Path) -> None:
    for row in (_PADIM, ZooRow("Dsr", refused="no weights"), ZooRow("Stfpm", trained="9 steps"), ZooRow("Cflow")):
        add_row(docs, row, "this.")
    for row in (ZooRow("Padim", trained="fit again"), ZooRow("Dsr", trained="5 steps"), ZooRow("Cflow", refused="?")):
        add_row(docs, row, "that.")
    lines = docs.read_text(encoding="utf-8").splitlines()
    rows = [line.split(" | ")[:2] for line in lines if line.startswith("| ")]
    assert rows[2:] == [["| Dsr", "5 steps"], ["| Padim", "fit again"], ["| Stfpm", "9 steps"]]
    assert [line for line in lines if line.startswith(("- ", "Measured"))] == [
        "- Cflow: ?",
        "Measured on that.",
        "Measured on this.",
    ]


def test_a_reason_with_a_bar_in_it_makes_no_column_of_its_own(docs: Path) -> None:
    add_row(docs, ZooRow("Dsr", trained="random (int | None)", rejected=("ort-int8: a|b",)), "this.")
    (row,) = (line for line in docs.read_text(encoding="utf-8").splitlines() if line.startswith("| Dsr"))
    assert row == "| Dsr | random (int / None) | - | none | - | - | - | ort-int8: a/b | - |"


def test_a_page_without_marks_is_left_alone(tmp_path: Path) -> None:
    docs = tmp_path / "families.md"
    docs.write_text("no marks", encoding="utf-8")
    with pytest.raises(ValueError, match="expected <!-- zoo: begin --> and <!-- zoo: end -->, once each"):
        add_row(docs, _PADIM, "")
    assert docs.read_text(encoding="utf-8") == "no marks"


def test_what_a_program_leaves_behind_is_ended(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with os.fdopen(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK), "rb") as read:
        os.set_blocking(read.fileno(), True)
        done = run_within(["sh", "-c", f"(sleep 20; echo late >&3) 3>{pipe} 2>&- &"], 60)
        assert done is not None
        assert read.read() == b""


def test_a_program_that_takes_longer_is_ended() -> None:
    assert run_within(["sleep", "600"], 0.01) is None


def test_a_program_that_ends_in_time_says_how() -> None:
    done = run_within([sys.executable, "-c", "import sys; sys.exit('no weights')"], 60)
    assert done is not None
    assert (done.returncode, done.said) == (1, "no weights\n")


def test_only_passes_that_change_the_graph_are_named(tmp_path: Path) -> None:
    assert passes_applied(import_model(ModelFile(export_models.write(tmp_path, Tiny())))) == ("FoldPreprocessing",)


def test_why_there_is_no_mixed_form_is_told() -> None:
    said = (
        "making openvino-int8 (4 of 4)\n"
        "openvino-int8 fails the gate and is hardly faster than openvino-bf16: a mixed form would be no gain\n"
        "onnx-int8: so many operations would have to be in float that a mixed form would be no gain\n"
    )
    assert list(_without_mixed(said)) == [
        "ov-mixed: hardly faster than ov-bf16",
        "ort-mixed: too much of it would be in float",
    ]


@pytest.mark.parametrize(
    ("effort", "tried"),
    [pytest.param("normal", ["normal", "low"], id="normal"), pytest.param("low", ["low"], id="low")],
)
def test_an_export_that_takes_too_long_is_tried_once_more_with_low_effort(
    effort: str, tried: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[tuple[str, ...]] = []

    def ended(command: Sequence[str], _seconds: float) -> None:
        commands.append(tuple(command))

    monkeypatch.setattr(zoo_measure, "run_within", ended)
    row = zoo_measure.measure("Dsr", tmp_path / "m.onnx", tmp_path, tmp_path / "b", ("--max-images", "9"), effort, 5)

    assert [command[-2:] for command in commands] == [("--effort", one) for one in tried]
    assert all(command.count("--effort") == 1 for command in commands)
    assert row.refused == "export was ended after 5 s, the last time with low effort"
