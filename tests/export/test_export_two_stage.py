"""Two-stage bundles: an extractor that sees every frame, and a scorer over the vectors of a clip."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from support import tiny_clips, tiny_stages

from edge_ad import Detector, Reason
from edge_ad.bundle import BundleWriter, calibration_name
from edge_ad.bundle.records import Clip
from edge_ad.cli import main
from edge_ad.errors import CalibrationError, ModelError
from edge_ad.scoring.verification import verify_bundle
from edge_ad.sources import open_source
from edge_ad.verdict import FrameSpan
from edge_ad_export import ExportRequest, Gate, ImportOptions, export_bundle
from edge_ad_export.importers.extractor import ExtractorOptions
from edge_ad_export.model.clip_spec import ClipOptions
from edge_ad_export.model.head_options import HeadOptions

T = tiny_stages.LENGTH
MOBILENET = "models/backbones/mobilenet_v1_0.25_224_imagenet.onnx"
LENIENT = Gate(min_spearman=0.5)
FLOAT = tiny_stages.FLOAT


@pytest.fixture
def request_for(tmp_path: Path) -> Callable[..., ExportRequest]:
    return partial(tiny_stages.make_request, tmp_path)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [*map(str, arguments)])


def scores_of(bundle: Path, variant: str, frames: list[NDArray[np.uint8]], folder: Path) -> list[float | None]:
    video = tiny_clips.write_video(folder / "scene.avi", frames)
    done = run("score", bundle, video, "--variant", variant, "--json")
    assert done.exit_code == 0, done.output
    return [json.loads(line)["score"] for line in done.stdout.splitlines()]


def raised(bundle: Path, variant: str, folder: Path, k: int) -> set[int]:
    """The frames whose score an anomaly in frame ``k`` raises, through ``edge-ad score``."""
    before = scores_of(bundle, variant, tiny_stages.scene(), folder)
    after = scores_of(bundle, variant, tiny_clips.flashed(tiny_stages.scene(), k), folder)
    pairs = enumerate(zip(before, after, strict=True))
    return {i for i, (old, new) in pairs if old is not None and new is not None and new > old + 0.05}


@pytest.mark.parametrize(
    ("clip", "expected"),
    [
        pytest.param(ClipOptions(), {17: {17, 18, 19}}, id="every-frame"),
        pytest.param(ClipOptions(stride=2), {17: {17, 19, 21}}, id="every-second-frame"),
        # Scores fall on 4, 6, 8, ... and take frames 0, 2, 4, ...: the extractor need not see the others.
        pytest.param(
            ClipOptions(stride=2, hop=2), {17: set(), 18: {18, 20, 22}}, id="not-all-looked-at", marks=pytest.mark.slow
        ),
        # Scores fall on 6, 8, 10, ...
        pytest.param(
            ClipOptions(stride=3, hop=2), {17: {20}, 18: {18, 24}}, id="stride-3-hop-2", marks=pytest.mark.slow
        ),
    ],
)
def test_an_anomaly_raises_the_scores_of_the_clips_that_hold_it(
    request_for: Callable[..., ExportRequest], tmp_path: Path, clip: ClipOptions, expected: dict[int, set[int]]
) -> None:
    bundle = export_bundle(request_for(clip=clip)).bundle
    assert {trial.id: trial.rejected for trial in bundle.manifest.trials} == dict.fromkeys(FLOAT)
    for variant in FLOAT[:2]:
        assert {k: raised(bundle.path, variant, tmp_path, k) for k in expected} == expected


@pytest.mark.parametrize("output", ["vector", "pooled", "grid", None])
def test_scores_are_those_of_both_files_run_by_hand(
    request_for: Callable[..., ExportRequest], tmp_path: Path, output: str | None
) -> None:
    request = request_for(output)
    if output is None:
        with pytest.raises(ModelError, match="has 3 outputs: name the one with --extractor-output; grid float"):
            export_bundle(request)
        return
    bundle = export_bundle(request).bundle
    manifest = bundle.manifest
    assert manifest.clip == Clip(length=T, input="features")
    assert (manifest.input.width, manifest.input.height, manifest.input.channels) == (16, 16, 3)
    assert manifest.variants[0].extractor == "variants/onnx-fp32/extractor.onnx"
    frames = tiny_stages.scene(8)
    for variant in FLOAT:
        tolerance = 1e-5 if variant.endswith("fp32") else 2e-3
        with Detector.open(bundle, variant) as detector:
            verdicts, canvases = [], []
            for i, frame in enumerate(frames):
                verdicts.append(detector.score(frame, frame_id=i))
                canvases.append(np.array(detector.scorer.canvas))
        assert [verdict.reason for verdict in verdicts[: T - 1]] == [Reason.WARMING_UP] * (T - 1)
        for i, verdict in enumerate(verdicts[T - 1 :]):
            files = (tmp_path / "backbone.onnx", tmp_path / "scorer.onnx")
            expected = tiny_stages.score_by_hand(*files, canvases[i : i + T])
            assert verdict.score == pytest.approx(expected, rel=tolerance)
            assert verdict.covers == FrameSpan(i, i + T - 1)


@pytest.mark.parametrize("output", ["pooled", "grid"])
def test_an_extractor_of_snippets_sees_the_frames_before_too(
    request_for: Callable[..., ExportRequest], tmp_path: Path, output: str
) -> None:
    """Four frames make a vector, three vectors, two frames apart, a clip: a score is about eight frames."""
    backbone = tiny_stages.write_snippet_extractor(tmp_path / "snippets.onnx")
    request = replace(request_for(clip=ClipOptions(stride=2)), extractor=ExtractorOptions(backbone, output))
    bundle = export_bundle(request).bundle
    assert bundle.manifest.clip == Clip(length=T, stride=2, input="features", snippet=4)
    assert len(bundle.manifest.golden.frames) == 3 * 4
    assert [len(one.replays) for one in verify_bundle(bundle.path).variants] == [3, 3, 3]
    assert "stages    extractor of 4 frames, then scorer" in run("info", bundle.path).stdout
    extract, frames = tiny_stages.session(backbone), tiny_stages.scene(12)
    for variant in FLOAT[:2]:
        with Detector.open(bundle, variant) as detector:
            verdicts, canvases = [], []
            for i, frame in enumerate(frames):
                verdicts.append(detector.score(frame, frame_id=i))
                canvases.append(tiny_stages.model_input(np.array(detector.scorer.canvas))[0])
        assert [verdict.reason for verdict in verdicts[:7]] == [Reason.WARMING_UP] * 7
        for i in range(7, 12):
            snippets = [np.stack(canvases[k - 3 : k + 1], axis=1)[None] for k in (i - 4, i - 2, i)]
            vectors = np.stack([extract.run(["pooled"], {"clip": one})[0].reshape(6) for one in snippets])
            expected = tiny_stages.largest(tmp_path / "scorer.onnx", vectors)
            assert verdicts[i].score == pytest.approx(expected, rel=1e-5)
            assert verdicts[i].covers == FrameSpan(i - 7, i)
    # The frame is in four snippets, of which every clip has three.
    assert raised(bundle.path, "onnx-fp32", tmp_path, 17) == set(range(17, 25))


def test_golden_frames_are_pictures_and_a_calibration_is_bound_to_both_graphs(
    request_for: Callable[..., ExportRequest], tmp_path: Path
) -> None:
    bundle = export_bundle(request_for()).bundle
    assert [len(one.replays) for one in verify_bundle(bundle.path).variants] == [3, 3, 3]
    assert {Path(name).suffix for name in bundle.manifest.golden.frames} == {".png"}
    video = tiny_clips.write_video(tmp_path / "held-out.avi", tiny_stages.scene(60))
    done = run("calibrate", bundle.path, "--normal", video, "--fpr", "0.2", "--confidence", "0.8")
    assert done.exit_code == 0, done.output
    with Detector.open(bundle) as detector:
        assert detector.calibration is not None
        assert detector.calibration.frame_reference is not None  # the extractor's pictures are watched for drift
    root = tmp_path / "labelled"
    root.mkdir()
    tiny_clips.write_video(root / "scene.avi", tiny_clips.flashed(tiny_stages.scene(), 17))
    (root / "scene.csv").write_text("first,last\n17,19\n")
    answer = json.loads(run("evaluate", bundle.path, "--data", root, "--json").stdout)
    assert (answer["normal"], answer["anomalous"], answer["video"]["roc_auc_micro"]) == (35, 3, 1.0)
    variant = bundle.variant()
    with BundleWriter(tmp_path / "changed") as writer:
        shutil.copytree(bundle.path, writer.root, dirs_exist_ok=True)
        assert variant.extractor is not None
        (writer.root / variant.extractor).write_bytes(b"another extractor beside the same scorer")
        calibration = (writer.root / calibration_name(variant)).read_bytes()
        (writer.root / calibration_name(variant)).unlink()
        changed = writer.commit(bundle.manifest)
    (changed.path / calibration_name(variant)).write_bytes(calibration)
    with pytest.raises(CalibrationError, match="made for another artefact"):
        changed.calibration(variant)


def test_the_command_line_makes_a_two_stage_bundle(request_for: Callable[..., ExportRequest], tmp_path: Path) -> None:
    request = request_for()
    assert request.extractor is not None
    arguments = ["export", request.model, "--extractor", request.extractor.model, "--extractor-output", "grid"]
    arguments += ["--images", request.images, "--family", "mil", "--clip-length", "3"]
    arguments += ["--variants", "onnx-fp32,openvino-fp16", "--report", tmp_path / "page.html"]
    arguments += ["--min-spearman", "0.5", "--engine-threads", "1", "--target", "x86-avx2"]
    done = run(*arguments, "-o", request.target)
    assert done.exit_code == 0, done.output
    assert "assumed: extractor: a vector is the mean of grid over its 16 places" in done.output
    info = run("info", request.target).stdout
    assert "input     16x16, BGR" in info
    assert "stages    extractor, then scorer" in info
    assert "clips     3 samples (features)" in info
    assert "  extractor: backbone.onnx" in info
    timed = run("bench", request.target, "--runs", "10", "--json")
    assert timed.exit_code == 0, timed.output
    assert "Rank corr." in (tmp_path / "page.html").read_text()
    assert run("pack", request.target, "-o", tmp_path / "packed.zip").exit_code == 0
    for variant in ("onnx-fp32", "openvino-fp16"):
        assert run("verify", tmp_path / "packed.zip", "--variant", variant).exit_code == 0


@pytest.mark.slow
@pytest.mark.shared
def test_a_real_backbone_over_a_real_video(shared: Path, tmp_path: Path) -> None:
    """MobileNet's last features; the scorer has learnt in closed form to tell a picture that hangs upside down."""
    with closing(open_source(shared / "data/video/video02.avi")) as source:
        frames = [np.asarray(frame.image) for frame in source]
    backbone = tiny_stages.session(shared / MOBILENET)
    seen = [small(frame) for frame in frames[:160:4]]
    rows = np.stack([real_vector(backbone, one) for one in [*seen, *(one[::-1] for one in seen)]])
    result = export_bundle(
        ExportRequest(
            tiny_stages.write_linear(tmp_path / "scorer.onnx", rows, np.repeat([-4, 4], len(seen))),
            str(tiny_clips.write_video(tmp_path / "normal.avi", frames[200:300])),
            tmp_path / "out",
            ImportOptions(clip=ClipOptions(), head=HeadOptions(family="mil"), scale=127.5, mean=(1.0,)),
            gate=LENIENT,
            variants=("onnx-fp32", "openvino-fp32"),
            max_images=12,
            threads=1,
            effort="low",
            extractor=ExtractorOptions(shared / MOBILENET, "pw13"),
        )
    )
    rejected = {trial.id: trial.rejected for trial in result.bundle.manifest.trials}
    assert rejected["onnx-fp32"] is None
    assert rejected["openvino-fp32"] is None
    test = frames[400:430]
    test[20] = np.ascontiguousarray(test[20][::-1])
    with Detector.open(result.bundle, "onnx-fp32") as detector:
        scores, canvases = [], []
        for frame in test:
            scores.append(detector.score(frame).score)
            canvases.append(np.array(detector.scorer.canvas))
    found = np.array(scores[T - 1 :], np.float64)
    vectors = np.stack([real_vector(backbone, canvas) for canvas in canvases])
    expected = [tiny_stages.largest(tmp_path / "scorer.onnx", vectors[i : i + T]) for i in range(len(found))]
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)
    places = np.arange(T - 1, 30)
    assert set(places[found > np.median(found) + 2]) == {20, 21, 22}


def small(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(frame, (224, 224), interpolation=cv2.INTER_AREA), np.uint8)


def real_vector(backbone: Any, canvas: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The mean of MobileNet's last features over its 7x7 places."""
    values = canvas[..., ::-1].astype(np.float32) / 127.5 - 1
    (found,) = backbone.run(["pw13"], {"image": values.transpose(2, 0, 1)[None]})
    vector: NDArray[np.float32] = found[0].mean(axis=(1, 2))
    return vector
