"""A bundle of feature vectors is calibrated, watched and evaluated with files of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from support import tiny, tiny_clips
from support.calibrating import ranked

from edge_ad import Detector
from edge_ad.bundle.records import Clip, OrderStatistic
from edge_ad.cli import main

pytestmark = pytest.mark.usefixtures("undrawn")

LENGTH = 3
AIM = ("--fpr", "0.2", "--confidence", "0.8")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return tiny_clips.write_bundle(tmp_path / "vectors", "features", Clip(length=LENGTH, input="features"))


def rows(seed: int, count: int = 30) -> NDArray[np.float32]:
    return np.random.default_rng(seed).random((count, tiny_clips.VECTOR), np.float32)


def saved(path: Path, array: NDArray[np.generic]) -> Path:
    path.parent.mkdir(exist_ok=True)
    np.save(path, array)
    return path


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [*map(str, arguments)])


def text_of(done: Result) -> str:
    return done.output + str(done.exception)


def threshold(bundle: Path) -> OrderStatistic:
    with Detector.open(bundle) as detector:
        assert detector.calibration is not None
        assert detector.calibration.image.n == 2 * (30 - LENGTH + 1)
        assert detector.calibration.frame_reference is None
        return ranked(detector.calibration.image)


def test_files_and_a_folder_of_them_are_normals(bundle: Path, tmp_path: Path) -> None:
    a, b = (saved(tmp_path / "normal" / f"{name}.npy", rows(seed)) for seed, name in enumerate("ab"))
    done = run("calibrate", bundle, "--normal", a, "--normal", b, *AIM)
    assert done.exit_code == 0, done.output
    by_files = threshold(bundle)
    assert run("calibrate", bundle, "--normal", tmp_path / "normal", *AIM).exit_code == 0
    assert threshold(bundle) == by_files
    # By hand: the model is the mean of the newest vector.
    means = np.concatenate([rows(seed).mean(axis=1)[LENGTH - 1 :] for seed in (0, 1)])
    assert by_files.threshold == pytest.approx(float(np.sort(means)[-by_files.rank]), rel=1e-5)


def test_drift_is_watched_by_the_scores_alone(bundle: Path, tmp_path: Path) -> None:
    normal, shifted = saved(tmp_path / "n.npy", rows(0, 300)), saved(tmp_path / "s.npy", rows(1, 200) + 0.5)
    assert run("calibrate", bundle, "--normal", normal, *AIM).exit_code == 0
    calm, moved = (run("score", bundle, path, "--json") for path in (saved(tmp_path / "m.npy", rows(2, 200)), shifted))
    last = [json.loads(done.stdout.splitlines()[-1]) for done in (calm, moved)]
    assert [line["drift"]["state"] for line in last] == ["OK", "RECALIBRATE"]
    assert [line["drift"]["statistics"] for line in last] == [None, None]
    assert last[1]["drift"]["causes"][0] in ("more rejects", "score higher")


def test_a_report_goes_without_pictures_and_a_sheet_is_refused(bundle: Path, tmp_path: Path) -> None:
    normal, page = saved(tmp_path / "n.npy", rows(0)), tmp_path / "page.html"
    done = run("calibrate", bundle, "--normal", normal, *AIM, "--report", page)
    assert done.exit_code == 0, done.output
    assert "What is promised" in page.read_text()
    assert "The highest-scoring normals" not in page.read_text()
    done = run("calibrate", bundle, "--normal", normal, *AIM, "--sheet", tmp_path / "sheet.jpg")
    assert done.exit_code == 2
    assert "--sheet shows pictures, and this bundle takes vectors" in text_of(done)


@pytest.mark.parametrize("wrong", ["images", "video", "vectors"])
def test_normals_of_the_other_kind_are_refused(bundle: Path, tiny_bundle: Path, tmp_path: Path, wrong: str) -> None:
    if wrong == "images":
        given, source, message = bundle, tiny.write_images(tmp_path / "i", tiny_clips.calm(20)), "give .npy files"
    elif wrong == "video":
        given, source = bundle, tiny_clips.write_video(tmp_path / "v.avi", tiny_clips.calm(3))
        message = "v.avi#0 is a picture, and this bundle scores vectors"
    else:
        given, source = tiny_bundle, saved(tmp_path / "n.npy", rows(0))
        message = "n.npy#0 is a vector, and this bundle scores pictures"
    done = run("calibrate", given, "--normal", source, *AIM)
    assert done.exit_code == 2
    assert message in text_of(done)


@pytest.mark.parametrize("labels", ["scene.csv", "labels/scene.npy"])
def test_labelled_vectors_are_evaluated(bundle: Path, tmp_path: Path, labels: str) -> None:
    root, vectors = tmp_path / "data", rows(0, 20)
    vectors[12:15] += 3
    saved(root / "scene.npy", vectors)
    flags = np.isin(np.arange(20), (12, 13, 14))
    if labels.endswith(".npy"):
        saved(root / labels, flags)
    else:
        (root / labels).write_text("first,last\n12,14\n")
    done = run("evaluate", bundle, "--data", root, "--json", "--report", tmp_path / "page.html")
    assert done.exit_code == 0, text_of(done)
    answer = json.loads(done.stdout)
    assert (answer["layout"], answer["normal"], answer["anomalous"]) == ("video", 15, 3)
    assert answer["video"]["roc_auc_micro"] == 1.0
    assert "Missed first" not in (tmp_path / "page.html").read_text()


def test_vectors_without_labels_are_named(bundle: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    for name in ("a", "b"):
        saved(root / f"{name}.npy", rows(0))
    (root / "a.txt").write_text("first,last\n1,2\n")
    done = run("evaluate", bundle, "--data", root, "--layout", "video")
    assert done.exit_code == 2
    assert "no frame labels for b.npy" in text_of(done)
