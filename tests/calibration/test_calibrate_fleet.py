"""A bundle for several kinds of CPU is calibrated for all of them in one call."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from support import tiny
from support.changed_bundle import change, spoil_golden

from edge_ad.bundle import Bundle
from edge_ad.cli import main

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture
def fleet(tiny_bundle: Path) -> Path:
    return change(
        tiny_bundle, targets={"x86-vnni": ("openvino-fp32",), "x86-avx2": ("onnx-fp32",), "arm64": ("onnx-fp32",)}
    )


def run(bundle: Path, *arguments: str) -> Result:
    images = tiny.write_images(bundle.parent / "normals", tiny.frames(12))
    asked = ["--normal", str(images), "--fpr", "0.4", "--confidence", "0.9", "--no-cache"]
    return CliRunner().invoke(main, ["calibrate", str(bundle), *asked, *arguments])


def calibrated(bundle: Path) -> set[str]:
    opened = Bundle.open(bundle)
    return {one.id for one in opened.manifest.variants if opened.calibration(one)}


def test_every_variant_that_a_device_needs_is_calibrated(fleet: Path) -> None:
    result = run(fleet)
    assert result.exit_code == 0, result.output
    assert calibrated(fleet) == {"onnx-fp32", "openvino-fp32"}
    for name in ("onnx-fp32", "openvino-fp32"):
        assert f"calibrated {name} of {fleet} for group default" in result.stdout
    assert "not calibrated" not in result.stdout


def test_json_is_a_list(fleet: Path) -> None:
    answer = json.loads(run(fleet, "--json").stdout)
    assert [(one["variant"], one["uncalibrated"]) for one in answer] == [("openvino-fp32", []), ("onnx-fp32", [])]


def test_a_variant_that_is_named_is_calibrated_alone(fleet: Path) -> None:
    assert run(fleet, "--variant", "onnx-fp32").exit_code == 0
    assert calibrated(fleet) == {"onnx-fp32"}


def test_what_this_machine_scores_differently_it_leaves_out(fleet: Path) -> None:
    spoil_golden(fleet, "openvino-fp32")
    result = run(fleet)
    assert result.exit_code == 0, result.output
    assert "warning: openvino-fp32 is not calibrated by this machine: openvino-fp32 gives other scores" in result.stderr
    assert "not calibrated   openvino-fp32: no verdicts" in result.stdout
    assert calibrated(fleet) == {"onnx-fp32"}


def test_where_it_scores_all_differently_nothing_is_calibrated(fleet: Path) -> None:
    spoil_golden(fleet, "openvino-fp32")
    spoil_golden(fleet, "onnx-fp32")
    result = run(fleet)
    assert (result.exit_code, calibrated(fleet)) == (3, set())
    assert "openvino-fp32 gives other scores on this device" in result.stderr


def test_one_file_for_several_variants_is_refused_before_any_scoring(fleet: Path, tmp_path: Path) -> None:
    result = run(fleet, "--report", str(tmp_path / "page.html"))
    assert (result.exit_code, calibrated(fleet)) == (2, set())
    assert "leave out --plot, --report and --sheet, or name one --variant" in result.stderr
