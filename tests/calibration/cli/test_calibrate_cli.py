"""``edge-ad calibrate`` as a user runs it: exit codes and output."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from support import tiny

from edge_ad.cli import main


@pytest.fixture
def normals(tmp_path: Path, frames: list[NDArray[np.uint8]]) -> Path:
    return tiny.write_images(tmp_path / "normals", frames)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["calibrate", *map(str, arguments)])


def test_it_says_thresholds_guarantee_and_what_is_left(tiny_bundle: Path, normals: Path) -> None:
    result = run(tiny_bundle, "--normal", normals, "--fpr", "0.1")
    assert result.exit_code == 0, result.output
    assert "the 2nd largest of 60 scores" in result.stdout
    assert "the 2nd largest of 60 maxima of the map" in result.stdout
    assert (
        "At most 10 % of normal frames are rejected, with 95 % confidence, as long as frames to come are "
        "exchangeable with these 60." in result.stdout
    )
    assert "Confidence reached: 98.62 %." in result.stdout
    assert "openvino-fp32: no verdicts until they are calibrated too" in result.stdout
    assert result.stderr == ""  # no progress bar where there is no terminal
    assert (tiny_bundle / "variants/onnx-fp32/calibration.json").is_file()
    assert (tiny_bundle / "variants/onnx-fp32/calibration.png").is_file()


def test_json_is_one_object(tiny_bundle: Path, normals: Path, tmp_path: Path) -> None:
    plot = tmp_path / "plot.png"
    result = run(tiny_bundle, "--normal", normals, "--fpr", "0.1", "--plot", plot, "--json")
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert answer["image"]["rank"] == 2
    assert answer["plot"] == str(plot)
    assert answer["uncalibrated"] == ["openvino-fp32"]
    assert plot.is_file()
    assert not (tiny_bundle / "variants/onnx-fp32/calibration.png").exists()


def test_sources_add_up(tiny_bundle: Path, normals: Path) -> None:
    first, second = normals / "00[0-2]?.png", normals / "00[3-5]?.png"
    result = run(tiny_bundle, "--normal", first, "--normal", second, "--fpr", 0.2, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["image"]["n"] == 60


def test_copies_are_told_on_stderr_and_in_the_output(tiny_bundle: Path, normals: Path) -> None:
    shutil.copy(normals / "0003.png", normals / "copy.png")
    result = run(tiny_bundle, "--normal", normals, "--fpr", "0.1")
    assert result.exit_code == 0, result.output
    assert "exact copies of others are counted once, found 1: " in result.stderr
    assert f"{normals / 'copy.png'} = {normals / '0003.png'}" in result.stderr
    assert "60 images (exact copies not counted: 1)" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param(["--fpr", "0.001"], "60 normals were given; .* needs at least 2,995", id="too few"),
        pytest.param(["--fpr", "5"], "1 % is 0.01\\), found 5", id="percent"),
        pytest.param(["--confidence", "0.05"], "did you mean 0.95", id="confidence and risk swapped"),
        pytest.param(["--variant", "onnx-int4"], "choose one of onnx-fp32, openvino-fp32", id="no such variant"),
        pytest.param(["--normal", "absent"], "absent: no such file or folder", id="no such folder"),
        pytest.param(["--station", "a/b"], "cannot name a group", id="bad station"),
        pytest.param(["--threads", "0"], "0 is not in the range", id="no threads"),
        pytest.param(["--fpr", "many"], "'many' is not a valid float", id="not a number"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(
    tiny_bundle: Path, normals: Path, arguments: list[str], expected: str
) -> None:
    result = run(tiny_bundle, "--normal", normals, *arguments)
    assert result.exit_code == 2
    assert re.search(expected, result.stderr)
    assert "Traceback" not in result.output
    assert not (tiny_bundle / "variants/onnx-fp32/calibration.json").exists()


def test_normals_must_be_named(tiny_bundle: Path) -> None:
    result = run(tiny_bundle)
    assert result.exit_code == 2
    assert "no images were given: name a folder of normals" in result.stderr


def test_a_damaged_bundle_is_exit_code_3(tiny_bundle: Path, normals: Path) -> None:
    (tiny_bundle / "variants/onnx-fp32/model.onnx").write_bytes(b"")
    result = run(tiny_bundle, "--normal", normals, "--fpr", "0.1")
    assert result.exit_code == 3
    assert result.stderr.count("\n") == 1
    assert "model.onnx" in result.stderr


def test_the_command_loads_no_heavy_library_until_it_runs() -> None:
    code = (
        "import sys, edge_ad_calibration.cli.calibrate;"
        "print(sorted({'scipy', 'matplotlib', 'numpy', 'onnxruntime', 'openvino'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("library", ["scipy", "matplotlib"])
def test_a_missing_library_names_the_extra(tiny_bundle: Path, library: str) -> None:
    code = (
        f"import sys; sys.modules['{library}'] = None;"
        f"sys.argv = ['edge-ad', 'calibrate', {str(tiny_bundle)!r}, '--normal', 'x'];"
        "from edge_ad.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == f"edge-ad: {library} is not installed: run pip install 'edge-ad[calibration]'\n"
