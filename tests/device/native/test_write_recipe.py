"""The script that makes a recipe of a bundle: what it writes, and what it refuses."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support import tiny, tiny_calibration, tiny_clips
from support.native_programs import NATIVE

from edge_ad.bundle.records import Clip, FrameSize, Geometry, Resize, Roi, Tiles
from edge_ad.sources import read_image

SIZE = Resize(width=32, height=32)


def write_recipe(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(NATIVE / "write_recipe.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_what_it_writes(tmp_path: Path) -> None:
    geometry = Geometry(frame=FrameSize(width=64, height=48), roi=Roi(x=1, y=2, width=40, height=30), resize=SIZE)
    bundle = tiny.write_bundle(tmp_path / "b", geometry)
    tiny_calibration.calibrate(bundle, 0.1 + 0.2, "left", variant="openvino-fp32")
    made = tmp_path / "made"
    done = write_recipe(bundle, made, "--variant", "openvino-fp32", "--station", "left", "--threads", 2)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    lines = (made / "recipe.txt").read_text("utf-8").splitlines()
    assert lines[:7] == [
        "# tiny 1, openvino-fp32 for openvino, station left",
        "model model.xml",
        "threshold 0.30000000000000004",
        "threads 2",
        "frame 64 48",
        "roi 1 2 40 30",
        "kernel area",
    ]
    with np.load(bundle / "golden/openvino-fp32.npz") as stored:
        assert lines[7:] == [
            f"golden {float(score)!r} 0.0001 golden/{index}.ppm" for index, score in enumerate(stored["scores"])
        ]
    for index in range(2):
        kept, original = made / f"golden/{index}.ppm", bundle / f"golden/{index}.png"
        assert np.array_equal(read_image(kept), read_image(original))
    pairs = [line.split("  ") for line in (made / "SHA256SUMS").read_text("utf-8").splitlines()]
    sums = {name: found for found, name in pairs}
    assert sums == {
        str(path.relative_to(made)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in made.rglob("*")
        if path.is_file() and path.name != "SHA256SUMS"
    }
    assert {"model.xml", "model.bin", "recipe.txt"} < set(sums)


@pytest.mark.parametrize(
    ("geometry", "what"),
    [
        (Geometry(resize=Resize(width=32, height=32, mode="letterbox")), "a resize other than stretch"),
        (Geometry(resize=Resize(width=32, height=32, kernel="cubic")), "a kernel other than area and linear"),
        (Geometry(resize=Resize(width=48, height=48), tiles=Tiles()), "tiles"),
        (Geometry(resize=SIZE, level="object"), "objects instead of frames"),
    ],
    ids=["letterbox", "cubic", "tiles", "objects"],
)
def test_geometries_that_the_program_lacks(tmp_path: Path, geometry: Geometry, what: str) -> None:
    bundle = tiny.write_bundle(tmp_path / "b", geometry)
    tiny_calibration.calibrate(bundle, 0.2)
    refused(2, f"onnx-fp32 of {bundle} has {what}, which edge_ad_native.c does not do: ", bundle, tmp_path / "made")


def refused(code: int, message: str, bundle: Path, made: Path, *options: str) -> None:
    """One line, and nothing written."""
    before = set(made.parent.iterdir())
    done = write_recipe(bundle, made, *options)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (code, "", 1), done.stderr
    assert done.stderr.startswith(f"error: {message}")
    assert set(made.parent.iterdir()) == before


def test_a_model_of_clips(tmp_path: Path) -> None:
    bundle = tiny_clips.write_bundle(tmp_path / "b", "predict", Clip(length=3))
    refused(2, f"onnx-fp32 of {bundle} has a model of clips or vectors, which", bundle, tmp_path / "made")


def test_gray_made_of_coloured_frames(tmp_path: Path) -> None:
    bundle = tiny.write_bundle(tmp_path / "b", channels=1)
    tiny_calibration.calibrate(bundle, 0.2)
    refused(2, f"{bundle} makes gray of coloured frames, which edge_ad_native.c does not do", bundle, tmp_path / "made")


def test_a_bundle_without_calibration(tiny_bundle: Path, tmp_path: Path) -> None:
    message = f"onnx-fp32 of {tiny_bundle} has no calibration of the station 'default', found none: run edge-ad"
    refused(2, message, tiny_bundle, tmp_path / "made")
    tiny_calibration.calibrate(tiny_bundle, 0.2)
    message = f"onnx-fp32 of {tiny_bundle} has no calibration of the station 'left', found default: run edge-ad"
    refused(2, message, tiny_bundle, tmp_path / "made", "--station", "left")


def test_a_folder_that_exists(tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    refused(2, f"{tmp_path}/made exists already: choose another folder", tiny_bundle, tmp_path / "made")


def test_a_folder_that_cannot_be_made(tiny_bundle: Path, tmp_path: Path) -> None:
    done = write_recipe(tiny_bundle, tmp_path / "none" / "made")
    assert (done.returncode, done.stderr.count("\n")) == (4, 1)
    assert "its folder does not exist: create it first" in done.stderr


def test_a_damaged_model(tiny_bundle: Path, tmp_path: Path) -> None:
    tiny_calibration.calibrate(tiny_bundle, 0.2)
    with (tiny_bundle / "variants/onnx-fp32/model.onnx").open("ab") as model:
        model.write(b"x")
    done = write_recipe(tiny_bundle, tmp_path / "made")
    assert done.returncode == 3
    assert done.stderr.startswith("error: ")
    assert "model.onnx" in done.stderr
    assert not (tmp_path / "made").exists()
