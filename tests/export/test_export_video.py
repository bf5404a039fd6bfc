"""Models of clips: from a file in any order of axes to a bundle that scores the right frames."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from support import export_onnx, tiny_clips

from edge_ad import Detector
from edge_ad.bundle.records import Clip, Smoothing
from edge_ad.cli import main
from edge_ad.errors import InputError, ModelError
from edge_ad.scoring.verification import verify_bundle
from edge_ad.verdict import FrameSpan
from edge_ad_export import ExportRequest, Gate, ImportOptions, ModelFile, export_bundle, import_model
from edge_ad_export.model.clip_spec import ClipOptions, ClipOrder
from edge_ad_export.model.head_options import HeadOptions, MapScore

SIDE, PAST, K = 16, 5, 17
LENIENT = Gate(min_spearman=0.5, min_map_correlation=0.5)
FLOAT = ("onnx-fp32", "openvino-fp32")
SHAPES = {
    "tchw": "1, {t}, 3, 16, 16",
    "cthw": "1, 3, {t}, 16, 16",
    "thwc": "1, {t}, 16, 16, 3",
    "stacked": "1, {c}, 16, 16",
}
TIME_AXIS = {"tchw": 1, "cthw": 2, "thwc": 1}


def write(path: Path, model: ir.Model) -> Path:
    onnx.save(ir.to_proto(model), path)
    return path


def predictor(path: Path, order: str) -> Path:
    """Predicts that the last of five frames stays."""
    shapes = [SHAPES[order].format(t=t, c=3 * t) for t in (PAST, 1)]
    axis, start, end = (1, 3 * PAST - 3, 3 * PAST) if order == "stacked" else (TIME_AXIS[order], PAST - 1, PAST)
    nodes = "predicted = Slice(clip, start, end, axis)"
    places = [np.array([place]) for place in (start, end, axis)]
    clip, made = f"float[{shapes[0]}] clip", f"float[{shapes[1]}] predicted"
    return write(path, export_onnx.graph(clip, made, nodes, start=places[0], end=places[1], axis=places[2]))


def dulled(path: Path, order: str) -> Path:
    """An autoencoder of clips of four that dulls what is bright: it has seen dim scenes only."""
    shape = SHAPES[order].format(t=4, c=12)
    nodes = "made = Clip(clip, low, high)"
    graph = export_onnx.graph(
        f"float[{shape}] clip", f"float[{shape}] made", nodes, low=np.float32(0), high=np.float32(0.1)
    )
    return write(path, graph)


def scene(count: int = 40) -> list[NDArray[np.uint8]]:
    """A dim scene whose light changes a little, differently from frame to frame."""
    random = np.random.default_rng(5)
    shape = (tiny_clips.SIZE[1], tiny_clips.SIZE[0], 3)
    return [random.integers(20, 24 + int(random.integers(1, 8)), shape, np.uint8) for _ in range(count)]


def request_for(folder: Path, model: Path, options: ImportOptions) -> ExportRequest:
    video = tiny_clips.write_video(folder / "normal.avi", scene())
    return ExportRequest(
        model, str(video), folder / "out", options, gate=LENIENT, variants=FLOAT, max_images=12, threads=1
    )


def raised(bundle: Path, variant: str) -> set[int]:
    """The frames whose score an anomaly in frame K raises."""
    frames = scene()
    with Detector.open(bundle, variant) as detector:
        before = [detector.score(frame).score for frame in frames]
        detector.reset()
        after = [detector.score(frame).score for frame in tiny_clips.flashed(frames, K)]
    pairs = enumerate(zip(before, after, strict=True))
    return {i for i, (old, new) in pairs if old is not None and new is not None and new > 2 * old + 0.05}


@pytest.mark.parametrize("order", ["tchw", "cthw", "thwc", "stacked"])
def test_a_predictor_of_the_next_frame_scores_that_frame(tmp_path: Path, order: str) -> None:
    clips = ClipOptions(order=order if order == "stacked" else None)  # type: ignore[arg-type]
    head = HeadOptions(family="next-frame", blur=0, map_score=MapScore("top", 20))
    model = predictor(tmp_path / "model.onnx", order)
    result = export_bundle(request_for(tmp_path, model, ImportOptions(clip=clips, head=head)))
    assert result.bundle.manifest.clip == Clip(length=PAST + 1, covers="last")
    assert {trial.id: trial.rejected for trial in result.bundle.manifest.trials} == dict.fromkeys(FLOAT)
    # The frame itself, and the one after it, which was predicted from it.
    assert [raised(result.bundle.path, variant) for variant in FLOAT] == [{K, K + 1}] * 2
    assert [len(one.replays) for one in verify_bundle(result.bundle.path).variants] == [3, 3]


def test_the_frame_that_was_predicted_is_the_one_that_is_compared(tmp_path: Path) -> None:
    """Against the definition: the mean squared error to the frame before, in the range of 0 to 1."""
    head = HeadOptions(family="next-frame", error="psnr")
    options = ImportOptions(clip=ClipOptions(stride=2), head=head)
    request = request_for(tmp_path, predictor(tmp_path / "model.onnx", "tchw"), options)
    bundle = export_bundle(request).bundle
    frames = [frame[: SIDE * 2, : SIDE * 3] for frame in scene()]
    with Detector.open(bundle) as detector:
        verdicts = [detector.score(frame, frame_id=i) for i, frame in enumerate(frames)]
        seen = []
        for frame in frames:
            (_,) = list(detector.scorer.preprocessor.tiles(frame, detector.scorer.engine.input[0, 0]))
            seen.append(detector.scorer.engine.input[0, 0].astype(np.float64) / 255)
    assert [verdict.score for verdict in verdicts[:10]] == [None] * 10
    for index in (10, 13, 20):
        error = np.mean((seen[index] - seen[index - 2]) ** 2)
        assert verdicts[index].score == pytest.approx(10 * np.log10(error + 1e-10), rel=1e-4)
        assert verdicts[index].covers == FrameSpan(index, index)


@pytest.mark.parametrize("order", ["cthw", "thwc"])
def test_a_reconstruction_scores_the_whole_clip(tmp_path: Path, order: ClipOrder) -> None:
    smoothing = Smoothing(kind="k_of_n", window=2, k=2)
    clips = ClipOptions(length=4, stride=2, hop=3, smoothing=smoothing)
    head = HeadOptions(family="clip-reconstruction", blur=0)
    request = request_for(tmp_path, dulled(tmp_path / "model.onnx", order), ImportOptions(clip=clips, head=head))
    bundle = export_bundle(request).bundle
    assert bundle.manifest.clip == Clip(length=4, stride=2, hop=3, smoothing=smoothing)
    found = raised(bundle.path, "onnx-fp32")
    # Scores fall on 6, 9, 12, ...; clips with frame 17 end at 17, 19, 21 and 23, so only the one at 21 has it.
    assert found == set()
    plain = replace(request, importing=replace(request.importing, clip=replace(clips, smoothing=None)), replace=True)
    assert raised(export_bundle(plain).bundle.path, "onnx-fp32") == {21}


def test_segments_score_as_their_worst(tmp_path: Path) -> None:
    """Four frames; the sigmoid of each one's mean brightness."""
    model = export_onnx.graph(
        "float[1, 4, 3, 16, 16] clip",
        "float[1, 4, 1] segments",
        "mean = ReduceMean<keepdims: int = 0>(clip, axes) column = Unsqueeze(mean, last) segments = Sigmoid(column)",
        axes=np.array([2, 3, 4]),
        last=np.array([2]),
    )
    options = ImportOptions(clip=ClipOptions(), head=HeadOptions(family="mil"), scale=1.0)
    bundle = export_bundle(request_for(tmp_path, write(tmp_path / "m.onnx", model), options)).bundle
    frames = tiny_clips.flashed(scene(6), 3)
    with Detector.open(bundle) as detector:
        verdicts = [detector.score(frame, frame_id=i) for i, frame in enumerate(frames)]
    expected = tiny_clips.flashed(scene(6), 3)[3].mean()
    assert verdicts[3].score == pytest.approx(expected, rel=0.01)
    assert [verdict.covers for verdict in verdicts[3:]] == [FrameSpan(0, 3), FrameSpan(1, 4), FrameSpan(2, 5)]


def test_a_scorer_over_flow_is_given_flow(tmp_path: Path) -> None:
    model = export_onnx.graph(
        "float[1, 2, 3, 16, 16] flow",
        "float[1, 3] segments",
        "size = Abs(flow) segments = ReduceMean<keepdims: int = 0>(size, axes)",
        axes=np.array([1, 3, 4]),
    )
    video = tiny_clips.write_video(tmp_path / "moving.avi", moving())
    options = ImportOptions(clip=ClipOptions(order="cthw", input="flow"), head=HeadOptions(family="mil"))
    request = replace(request_for(tmp_path, write(tmp_path / "m.onnx", model), options), images=str(video))
    bundle = export_bundle(request).bundle
    assert bundle.manifest.clip == Clip(length=3, input="flow")
    assert len(bundle.manifest.golden.frames) == 3 * 4
    with Detector.open(bundle, "openvino-fp32") as detector:
        scores = [detector.score(frame).score for frame in moving()]
    assert [score is None for score in scores[:4]] == [True] * 3 + [False]
    late, early = scores[-1], scores[4]
    assert late is not None
    assert early is not None
    assert late > 1.5 * early


def moving() -> list[NDArray[np.uint8]]:
    """A texture that moves faster and faster."""
    random = np.random.default_rng(3)
    texture = np.kron(random.integers(0, 255, (8, 60), np.uint8), np.ones((4, 6), np.uint8))
    places = np.cumsum(np.linspace(1, 5, 40)).astype(int)
    return [np.repeat(texture[:, p : p + 48, None], 3, axis=2) for p in places]


def test_a_scorer_over_vectors_takes_them_from_the_caller(tmp_path: Path) -> None:
    model = export_onnx.graph(
        "float[1, 3, 6] clip",
        "float[1, 3] segments",
        "segments = ReduceMean<keepdims: int = 0>(clip, axes)",
        axes=np.array([2]),
    )
    vectors = np.random.default_rng(0).random((40, 6), np.float32)
    np.save(tmp_path / "normal.npy", vectors)
    options = ImportOptions(clip=ClipOptions(input="features"), head=HeadOptions(family="mil"))
    request = request_for(tmp_path, write(tmp_path / "m.onnx", model), options)
    bundle = export_bundle(replace(request, images=str(tmp_path / "normal.npy"))).bundle
    with Detector.open(bundle) as detector:
        scores = [detector.score(features=vector).score for vector in vectors[:5]]
    means = vectors.mean(axis=1)
    assert scores[:2] == [None, None]
    assert scores[2:] == pytest.approx([means[i : i + 3].max() for i in range(3)], rel=1e-5)
    assert verify_bundle(bundle.path).variants[0].replays[0].frame == "golden/lowest/002.npy"


def test_all_variants_are_tried_on_clips(tmp_path: Path) -> None:
    head = HeadOptions(family="clip-reconstruction", blur=0)
    options = ImportOptions(clip=ClipOptions(), head=head)
    request = request_for(tmp_path, dulled(tmp_path / "model.onnx", "tchw"), options)
    result = export_bundle(replace(request, variants=(), effort="low"))
    assert {"onnx-fp32", "onnx-int8", "openvino-fp32", "openvino-fp16", "openvino-int8"} <= {
        trial.id for trial in result.bundle.manifest.trials
    }
    assert {trial.fidelity.aupimo for trial in result.bundle.manifest.trials if trial.fidelity} == {None}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param(
            ImportOptions(clip=ClipOptions(length=3), head=HeadOptions(family="next-frame")),
            "--clip-length 3 does not fit the model.*clips of 6, the predicted frame included",
            id="length",
        ),
        pytest.param(
            ImportOptions(clip=ClipOptions(), head=HeadOptions(family="gaussian")),
            "--family gaussian does not fit a model that takes clips: choose from clip-reconstruction, map, mil",
            id="family",
        ),
        pytest.param(
            ImportOptions(clip=ClipOptions(), head=HeadOptions(family="next-frame", error="ssim")),
            "next-frame takes squared, absolute or psnr",
            id="error",
        ),
    ],
)
def test_options_that_do_not_fit_are_named(tmp_path: Path, options: ImportOptions, message: str) -> None:
    with pytest.raises(InputError, match=message):
        import_model(ModelFile(predictor(tmp_path / "model.onnx", "tchw")), options)


def test_axes_that_cannot_be_told_apart_are_asked_for(tmp_path: Path) -> None:
    nodes = "made = Identity(clip)"
    shape = "float[1, 3, 3, 16, 16]"
    path = write(tmp_path / "model.onnx", export_onnx.graph(f"{shape} clip", f"{shape} made", nodes))
    options = ImportOptions(clip=ClipOptions(), head=HeadOptions(family="clip-reconstruction"))
    with pytest.raises(ModelError, match="say --clip-layout tchw, cthw or thwc"):
        import_model(ModelFile(path), options)


def test_a_video_that_is_too_short_says_how_long_it_must_be(tmp_path: Path) -> None:
    options = ImportOptions(clip=ClipOptions(stride=5), head=HeadOptions(family="next-frame"))
    request = request_for(tmp_path, predictor(tmp_path / "model.onnx", "tchw"), options)
    short = tiny_clips.write_video(tmp_path / "short.avi", scene(12))
    with pytest.raises(InputError, match="has 12 frames: expected at least 28, because a clip has 6 frames"):
        export_bundle(replace(request, images=str(short)))
    assert not request.target.exists()


def test_the_command_line_makes_a_video_bundle(tmp_path: Path) -> None:
    model = predictor(tmp_path / "model.onnx", "tchw")
    video = tiny_clips.write_video(tmp_path / "normal.avi", scene())
    arguments = ["export", str(model), "--images", str(video), "-o", str(tmp_path / "out"), "--family", "next-frame"]
    arguments += ["--clip-stride", "2", "--smooth", "mean:3", "--variants", "onnx-fp32", "--engine-threads", "1"]
    done = CliRunner().invoke(main, [*arguments, "--json"])
    assert done.exit_code == 0, done.output
    info = json.loads(CliRunner().invoke(main, ["info", str(tmp_path / "out"), "--json"]).stdout)
    assert info["manifest"]["clip"] == {
        "length": 6,
        "stride": 2,
        "hop": 1,
        "covers": "last",
        "input": "frame",
        "smoothing": {"kind": "mean", "window": 3, "k": 1},
        "snippet": 1,
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["--smooth", "k-of-n:4/3"], "4 of 3", id="k"),
        pytest.param(["--smooth", "median:3"], "expected mean:N or k-of-n:K/N", id="kind"),
        pytest.param(["--clip-stride", "2"], "say --clip-length T or --family next-frame", id="no-clip"),
    ],
)
def test_bad_options_are_named(tmp_path: Path, arguments: list[str], message: str) -> None:
    fixed = ["export", str(tmp_path / "m.onnx"), "--images", str(tmp_path), "-o", str(tmp_path / "out")]
    done = CliRunner().invoke(main, [*fixed, *arguments])
    assert done.exit_code == 2
    assert message in done.output + str(done.exception)
