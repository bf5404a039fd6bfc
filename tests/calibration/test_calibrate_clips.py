"""A bundle of clips is calibrated with videos of what is normal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from support import tiny, tiny_clips

from edge_ad import Detector, State
from edge_ad.bundle.records import Clip
from edge_ad.cli import main

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return tiny_clips.write_bundle(tmp_path / "clips", "predict", Clip(length=3, covers="last"))


def calibrate(bundle: Path, *sources: Path) -> tuple[int, str]:
    arguments = ["calibrate", str(bundle), "--fpr", "0.2", "--confidence", "0.8"]
    done = CliRunner().invoke(main, [*arguments, *(a for s in sources for a in ("--normal", str(s)))])
    return done.exit_code, done.output + str(done.exception)


def test_every_full_clip_of_every_video_counts_once(bundle: Path, tmp_path: Path) -> None:
    calm = tiny_clips.calm(80)
    videos = [
        tiny_clips.write_video(tmp_path / "a.avi", calm[:40]),
        tiny_clips.write_video(tmp_path / "b.avi", calm[40:]),
    ]
    code, output = calibrate(bundle, *videos)
    assert code == 0, output
    frames = tiny_clips.flashed(calm, 30)
    with Detector.open(bundle) as detector:
        calibration = detector.calibration
        verdicts = [detector.score(frame) for frame in frames]
    assert calibration is not None
    assert calibration.image.n == 2 * (40 - 2)
    assert {verdict.state for verdict in verdicts[:2]} == {State.INVALID}
    assert verdicts[30].state is State.REJECT
    assert sum(verdict.state is State.ACCEPT for verdict in verdicts) > 40


def test_images_are_no_clips(bundle: Path, tmp_path: Path) -> None:
    code, output = calibrate(bundle, tiny.write_images(tmp_path / "images", tiny_clips.calm(20)))
    assert code == 2
    assert "this bundle scores clips, and single images are no clips: give videos" in output


def test_frames_without_a_score_do_not_count_in_an_evaluation(bundle: Path, tmp_path: Path) -> None:
    root = tmp_path / "labelled"
    tiny.write_images(root / "scene", tiny_clips.flashed(tiny_clips.calm(20), 12))
    (root / "labels").mkdir()
    (root / "labels/scene.csv").write_text("first,last\n12,12\n")
    done = CliRunner().invoke(main, ["evaluate", str(bundle), "--data", str(root), "--json"])
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    assert (answer["observation"], answer["normal"], answer["anomalous"]) == ("frame", 17, 1)
    assert answer["video"]["roc_auc_micro"] == 1.0
