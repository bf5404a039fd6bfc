"""A calibration that is killed, and run again: as if nothing had happened."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support import fifo, tiny

from edge_ad_calibration.scoring.cache import FILE

RECORD = "variants/onnx-fp32/calibration.json"


@pytest.fixture
def images(tmp_path: Path, frames: list[NDArray[np.uint8]]) -> list[Path]:
    return sorted(tiny.write_images(tmp_path / "images", frames).iterdir())


def calibrate(bundle: Path, images: list[Path], *options: object) -> subprocess.Popen[str]:
    # Each image is named: a folder would be listed without its named pipes.
    normals = [word for image in images for word in ("--normal", str(image))]
    program = "from edge_ad.cli import main; main()"
    command = [sys.executable, "-c", program, "calibrate", str(bundle), *normals, "--fpr", "0.1", "--json"]
    return subprocess.Popen([*command, *map(str, options)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finished(run: subprocess.Popen[str]) -> dict[str, Any]:
    out, err = run.communicate(timeout=120)
    assert run.returncode == 0, err
    answer: dict[str, Any] = json.loads(out)
    return answer


def thresholds(bundle: Path) -> dict[str, Any]:
    station = json.loads((bundle / RECORD).read_bytes())["stations"]["default"]
    return {name: station[name] for name in ("image", "pixel", "scores", "images_sha256", "frame_reference")}


def known(cache: Path) -> int:
    with closing(sqlite3.connect(cache / FILE)) as database:
        count: int = database.execute("SELECT COUNT(*) FROM scores").fetchone()[0]
    return count


def test_a_killed_calibration_resumes_to_the_same_bits(tiny_bundle: Path, images: list[Path], tmp_path: Path) -> None:
    cache, undisturbed = tmp_path / "cache", Path(shutil.copytree(tiny_bundle, tmp_path / "undisturbed"))
    expected = finished(calibrate(undisturbed, images, "--no-cache"))

    slow, endless = fifo.SlowImage(images[20]), fifo.SlowImage(images[40])
    run = calibrate(tiny_bundle, images, "--cache", cache, "--workers", 1)
    with slow.being_held():
        time.sleep(1.5)  # what is added next is more than a second old, so all before it is written
    with endless.being_read():
        run.send_signal(signal.SIGKILL)
        assert run.wait() == -signal.SIGKILL
    run.communicate()
    endless.restore()
    assert 20 <= known(cache) < 60
    assert not (tiny_bundle / RECORD).exists()

    found = finished(calibrate(tiny_bundle, images, "--cache", cache))
    assert found["image"] == expected["image"]
    assert thresholds(tiny_bundle) == thresholds(undisturbed)
    assert known(cache) == 60


def test_a_cluster_gives_the_same_thresholds(tiny_bundle: Path, images: list[Path], tmp_path: Path) -> None:
    there = Path(shutil.copytree(tiny_bundle, tmp_path / "there"))
    options = "--no-cache", "--threads", 1
    finished(calibrate(tiny_bundle, images, *options))
    finished(calibrate(there, images, *options, "--cluster", "local", "--workers", 2))
    assert thresholds(there) == thresholds(tiny_bundle)
