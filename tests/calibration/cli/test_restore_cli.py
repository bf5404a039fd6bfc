"""``edge-ad calibrate --restore`` as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from support import tiny

from edge_ad.bundle import Bundle
from edge_ad.cli import main

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture
def normals(tmp_path: Path, frames: list[NDArray[np.uint8]]) -> Path:
    return tiny.write_images(tmp_path / "normals", frames)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["calibrate", *map(str, arguments)])


def threshold(path: Path) -> float:
    bundle = Bundle.open(path)
    record = bundle.calibration(bundle.variant())
    assert record is not None
    return record.stations["default"].image.threshold


def test_a_calibration_that_is_replaced_is_named_and_taken_back(tiny_bundle: Path, normals: Path) -> None:
    first = run(tiny_bundle, "--normal", normals, "--fpr", 0.1)
    assert first.exit_code == 0, first.output
    assert "replaced" not in first.output
    before = threshold(tiny_bundle)
    second = run(tiny_bundle, "--normal", normals, "--fpr", 0.3)
    assert f"take it back with  edge-ad calibrate {tiny_bundle} --variant onnx-fp32 --restore 1" in second.stdout
    assert threshold(tiny_bundle) < before
    listed = run(tiny_bundle, "--restore", "list")
    assert "1 earlier calibrations of onnx-fp32" in listed.stdout
    assert f"group default: threshold {before:.6g} (order-statistic), from 60 frames" in listed.stdout
    restored = run(tiny_bundle, "--variant", "onnx-fp32", "--restore", 1)
    assert restored.exit_code == 0, restored.output
    assert threshold(tiny_bundle) == before
    assert "what it replaced is kept as 2" in restored.stdout


def test_it_speaks_json(tiny_bundle: Path, normals: Path) -> None:
    made = [json.loads(run(tiny_bundle, "--normal", normals, "--fpr", rate, "--json").stdout) for rate in (0.1, 0.3)]
    assert [one["replaced"] for one in made] == [None, 1]
    (listed,) = json.loads(run(tiny_bundle, "--restore", "list", "--json").stdout)
    assert (listed["number"], listed["stations"]["default"]["image"]) == (1, made[0]["image"])
    restored = json.loads(run(tiny_bundle, "--restore", 1, "--json").stdout)
    assert restored["replaced"] == 2
    assert restored["stations"]["default"]["image"] == made[0]["image"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["--restore", "1"], "has no earlier calibration 1: there are none", id="none"),
        pytest.param(["--restore", "last"], "or list to see them, found 'last'", id="no number"),
        pytest.param(["--restore", "1", "--fpr", "0.1"], "--restore calibrates nothing: leave out --fpr", id="rate"),
        pytest.param(["--restore", "list", "--normal", "x"], "leave out --normal", id="images"),
    ],
)
def test_bad_input_is_one_line(tiny_bundle: Path, arguments: list[str], message: str) -> None:
    done = run(tiny_bundle, *arguments)
    assert done.exit_code == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""
