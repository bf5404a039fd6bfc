"""A calibration or an evaluation that is killed, and run again: as if nothing had happened."""

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

import cv2
import msgspec
import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from support import fifo, tiny

from edge_ad.bundle import Bundle
from edge_ad.cli import main
from edge_ad.errors import InputError
from edge_ad_calibration.evaluation.evaluate import EvaluationRequest, evaluate_bundle
from edge_ad_calibration.scoring import Outcome, ScorePlan
from edge_ad_calibration.scoring.cache import FILE
from edge_ad_calibration.scoring.measure import LoadedImage, measure

pytestmark = pytest.mark.usefixtures("undrawn")

RECORD = "variants/onnx-fp32/calibration.json"


MARKED = 30


@pytest.fixture
def images(tmp_path: Path, frames: list[NDArray[np.uint8]]) -> list[Path]:
    return sorted(tiny.write_images(tmp_path / "images", frames).iterdir())


def start(arguments: list[str]) -> subprocess.Popen[str]:
    """The command in a process that can be killed."""
    command = [sys.executable, "-c", "from edge_ad.cli import main; main()", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finished(arguments: list[str]) -> dict[str, Any]:
    """The answer of the command in this process."""
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def calibration(bundle: Path, images: list[Path], *options: object) -> list[str]:
    # Each image is named: a folder would be listed without its named pipes.
    normals = [word for image in images for word in ("--normal", str(image))]
    return ["calibrate", str(bundle), *normals, "--fpr", "0.1", "--json", *map(str, options)]


def calibrated(bundle: Path, images: list[Path], *options: object) -> dict[str, Any]:
    return finished(calibration(bundle, images, *options))


def thresholds(bundle: Path) -> dict[str, Any]:
    station = json.loads((bundle / RECORD).read_bytes())["stations"]["default"]
    return {name: station[name] for name in ("image", "pixel", "scores", "images_sha256", "frame_reference")}


def known(cache: Path) -> int:
    with closing(sqlite3.connect(cache / FILE)) as database:
        count: int = database.execute("SELECT COUNT(*) FROM scores").fetchone()[0]
    return count


def test_a_killed_calibration_resumes_to_the_same_bits(tiny_bundle: Path, images: list[Path], tmp_path: Path) -> None:
    cache, undisturbed = tmp_path / "cache", Path(shutil.copytree(tiny_bundle, tmp_path / "undisturbed"))
    expected = calibrated(undisturbed, images, "--no-cache")

    # Twice: the process may stand still once, and add all that it has just when the first one is let go.
    slow, endless = [fifo.SlowImage(images[20]), fifo.SlowImage(images[30])], fifo.SlowImage(images[40])
    run = start(calibration(tiny_bundle, images, "--cache", cache, "--workers", 1))
    for one in slow:
        with one.being_held():
            time.sleep(1.5)  # what is added next is more than a second old, so all before it is written
    with endless.being_read():
        run.send_signal(signal.SIGKILL)
        assert run.wait() == -signal.SIGKILL
    run.communicate()
    endless.restore()
    assert 20 <= known(cache) < 60
    assert not (tiny_bundle / RECORD).exists()

    found = calibrated(tiny_bundle, images, "--cache", cache)
    assert found["image"] == expected["image"]
    assert thresholds(tiny_bundle) == thresholds(undisturbed)
    assert known(cache) == 60


def test_a_cluster_gives_the_same_thresholds(tiny_bundle: Path, images: list[Path], tmp_path: Path) -> None:
    there = Path(shutil.copytree(tiny_bundle, tmp_path / "there"))
    options = "--no-cache", "--threads", 1
    calibrated(tiny_bundle, images, *options)
    calibrated(there, images, *options, "--cluster", "local", "--workers", 2)
    assert thresholds(there) == thresholds(tiny_bundle)


@pytest.fixture
def labels(images: list[Path], tmp_path: Path) -> Path:
    """A table that names each image; the last thirty are anomalous, with masks."""
    rows = ["path,label,mask"]
    for index, path in enumerate(images):
        mask = tmp_path / f"{index}.png"
        cv2.imwrite(str(mask), tiny.spotted(np.zeros(tiny.FRAME[:2], np.uint8), index % 40, index % 30))
        rows.append(f"{path},1,{mask}" if index >= len(images) - MARKED else f"{path},0,")
    table = tmp_path / "labels.csv"
    table.write_text("\n".join(rows))
    return table


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Grows by each image that this process runs an engine on."""
    seen: list[Path] = []

    def noted(image: LoadedImage, *others: Any) -> Outcome:
        seen.append(image.path)
        return measure(image, *others)

    monkeypatch.setattr("edge_ad_calibration.scoring.measure.measure", noted)
    return seen


def evaluation(bundle: Path, labels: Path, *options: object) -> list[str]:
    return ["evaluate", str(bundle), "--data", str(labels), "--json", *map(str, options)]


def undated(summary: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in summary.items() if name != "created"}


def test_a_killed_evaluation_of_maps_resumes_to_the_same_bits(
    tiny_bundle: Path, images: list[Path], labels: Path, tmp_path: Path, scored: list[Path]
) -> None:
    cache, asked = tmp_path / "cache", ScorePlan(cache=tmp_path / "cache")
    expected = finished(evaluation(tiny_bundle, labels, "--no-cache"))
    scored.clear()
    assert expected["pixel"]["regions"] == MARKED

    endless = fifo.SlowImage(images[40])
    run = start(evaluation(tiny_bundle, labels, "--cache", cache, "--workers", 1))
    with endless.being_read():
        run.send_signal(signal.SIGKILL)
        assert run.wait() == -signal.SIGKILL
    run.communicate()
    endless.restore()
    (journal,) = cache.glob("maps-1-*.bin")
    assert journal.stat().st_size > 30 * 4 * tiny.CELLS**2

    found = evaluate_bundle(Bundle.open(tiny_bundle), EvaluationRequest(data=labels, plan=asked))
    assert undated(json.loads(msgspec.json.encode(found.summary))) == undated(expected)
    assert scored == images[len(images) - len(scored) :]
    assert 20 <= len(scored) < 30
    assert list(cache.glob("maps-1-*")) == []


def test_an_evaluation_that_found_a_bad_image_goes_on_when_it_is_repaired(
    tiny_bundle: Path, images: list[Path], labels: Path, tmp_path: Path, scored: list[Path]
) -> None:
    request = EvaluationRequest(data=labels, plan=ScorePlan(cache=tmp_path / "cache"))
    whole = images[50].read_bytes()
    images[50].write_bytes(whole[:60])
    with pytest.raises(InputError, match=r"1 of 60 images cannot be evaluated: .*0050\.png"):
        evaluate_bundle(Bundle.open(tiny_bundle), request)
    images[50].write_bytes(whole)
    scored.clear()
    found = evaluate_bundle(Bundle.open(tiny_bundle), request)
    assert scored == [images[50]]
    assert found.summary.pixel is not None
    assert found.summary.pixel.images == len(images)
