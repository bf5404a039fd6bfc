"""Two-stage bundles at work: when the extractor runs, what becomes of its faults, and which graphs are refused."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray
from support import export_onnx, tiny_clips

from edge_ad import Detector, Reason, Verdict
from edge_ad.bundle import Bundle, BundleWriter, Manifest
from edge_ad.bundle.records import Clip, Geometry, ModelInput, Resize
from edge_ad.engines import Artefact, EngineInfo, open_engine, open_extractor
from edge_ad.errors import BundleError, EngineError
from edge_ad.geometry import Preprocessor
from edge_ad.scoring.clip_scorer import ClipScorer
from edge_ad.verdict import FrameSpan

SIDE = tiny_clips.SIDE
MEAN = "real = Cast<to: int = 1>(frame) mean = ReduceMean<keepdims: int = 0>(real, places)"


class Brightness:
    """An extractor without a graph: every feature is the picture's mean. Records what it saw; fails when told to."""

    info = EngineInfo("fake", "1", "CPU", "fp32", 1)

    def __init__(self) -> None:
        self.input: NDArray[Any] = np.zeros((1, SIDE, SIDE, 3), np.uint8)
        self.features: NDArray[np.float32] = np.zeros(tiny_clips.VECTOR, np.float32)
        self.seen: list[float] = []
        self.failing: dict[int, float | None] = {}
        self.takes_s = 0.0

    def run(self) -> None:
        time.sleep(self.takes_s)
        self.seen.append(float(self.input.mean()))
        fault = self.failing.get(len(self.seen) - 1, 0.0)
        if fault is None:
            raise EngineError("the extractor failed")
        self.features[:] = self.input.mean() + fault

    def close(self) -> None:
        pass


@pytest.fixture
def extractor() -> Brightness:
    return Brightness()


@pytest.fixture
def make(tmp_path: Path, extractor: Brightness) -> Iterator[Callable[[Clip], Detector]]:
    """A detector whose score is the mean of the newest vector."""
    opened: list[Detector] = []

    def detector(clip: Clip) -> Detector:
        alone = msgspec.structs.replace(clip, snippet=1)  # the bundle has no extractor of its own
        bundle = Bundle.open(tiny_clips.write_bundle(tmp_path / f"{len(opened)}", "features", alone))
        path = bundle.path / "variants/onnx-fp32/model.onnx"
        entry = ModelInput(width=SIDE, height=SIDE, channels=3)
        geometry = Preprocessor(Geometry(resize=Resize(width=SIDE, height=SIDE)), entry)
        scorer = ClipScorer(geometry, open_engine("onnxruntime", Artefact(path)), clip, extractor)
        opened.append(Detector(bundle, bundle.variant(), scorer, None))
        return opened[-1]

    yield detector
    for one in opened:
        one.close()


def levels(count: int) -> list[NDArray[np.uint8]]:
    """Frames of 0, 1, 2, ... throughout."""
    return [np.full((32, 48, 3), level, np.uint8) for level in range(count)]


def scored(detector: Detector, frames: list[NDArray[np.uint8]]) -> list[Verdict]:
    return [detector.score(frame, frame_id=index) for index, frame in enumerate(frames)]


def test_the_extractor_sees_every_frame_once(make: Callable[[Clip], Detector], extractor: Brightness) -> None:
    verdicts = scored(make(Clip(length=3, input="features")), levels(8))
    assert extractor.seen == list(range(8))
    assert [verdict.score for verdict in verdicts] == [None, None, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize(
    ("stride", "hop", "expected"),
    [
        pytest.param(4, 4, [0, 4, 8, 12, 16], id="same"),
        pytest.param(4, 2, [0, 2, 4, 6, 8, 10, 12, 14, 16], id="common divisor"),
        pytest.param(2, 3, list(range(18)), id="none"),
    ],
)
def test_frames_that_no_scored_clip_can_hold_are_not_looked_at(
    make: Callable[[Clip], Detector], extractor: Brightness, stride: int, hop: int, expected: list[int]
) -> None:
    clip = Clip(length=2, stride=stride, hop=hop, input="features")
    verdicts = scored(make(clip), levels(18))
    assert extractor.seen == expected
    due = range(stride, 18, hop)
    assert {v.frame_id: v.score for v in verdicts if v.score is not None} == {k: k for k in due}
    waiting = [v.reason for v in verdicts if v.score is None and v.frame_id > stride]
    assert set(waiting) <= {Reason.BETWEEN_SCORES}


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        pytest.param(None, Reason.ENGINE_FAILED, id="engine"),
        pytest.param(float("nan"), Reason.NOT_FINITE, id="not finite"),
    ],
)
def test_a_frame_without_a_vector_is_missing_in_its_clips(
    make: Callable[[Clip], Detector], extractor: Brightness, fault: float | None, reason: Reason
) -> None:
    extractor.failing[4] = fault
    verdicts = scored(make(Clip(length=3, input="features")), levels(9))
    assert [verdict.reason for verdict in verdicts[2:]] == [
        *[Reason.UNCALIBRATED] * 2,
        reason,
        *[Reason.INCOMPLETE_CLIP] * 2,
        *[Reason.UNCALIBRATED] * 2,
    ]
    assert [verdict.score for verdict in verdicts[7:]] == [7, 8]


def test_a_missing_frame_is_missing_in_every_snippet_that_holds_it(
    make: Callable[[Clip], Detector], extractor: Brightness
) -> None:
    """Snippets of three frames, clips of two vectors: frame 6 is in the snippets of 6 to 8, in the clips of 6 to 9."""
    extractor.input = np.zeros((1, 3, SIDE, SIDE, 3), np.uint8)
    frames: list[NDArray[Any]] = [*levels(13)]
    frames[6] = frames[6].astype(np.int16)
    with_gap = scored(make(Clip(length=2, input="features", snippet=3)), frames)
    wait, fine = Reason.WARMING_UP, Reason.UNCALIBRATED
    broken = [Reason.WRONG_TYPE, *[Reason.INCOMPLETE_CLIP] * 3]
    assert [verdict.reason for verdict in with_gap] == [*[wait] * 3, *[fine] * 3, *broken, *[fine] * 3]
    assert [verdict.score for verdict in with_gap[3:6]] == [2, 3, 4]
    assert [verdict.score for verdict in with_gap[10:]] == [9, 10, 11]
    assert with_gap[-1].covers == FrameSpan(9, 12)
    assert extractor.seen == [1, 2, 3, 4, 8, 9, 10, 11]


@pytest.mark.parametrize("snippet", [1, 3])
def test_a_golden_case_leaves_the_stream_as_it_was(
    make: Callable[[Clip], Detector], extractor: Brightness, snippet: int
) -> None:
    if snippet > 1:
        extractor.input = np.zeros((1, snippet, SIDE, SIDE, 3), np.uint8)
    detector = make(Clip(length=2, input="features", snippet=snippet))
    frames, case = levels(10), [np.full((32, 48, 3), 200, np.uint8)] * (snippet if snippet > 1 else 2)
    before = scored(detector, frames[:6])
    assert detector.scorer.measure_case(case).score == 200
    after = [detector.score(frame, frame_id=6 + i) for i, frame in enumerate(frames[6:])]
    late = [verdict.score for verdict in [*before, *after] if verdict.score is not None]
    assert late == [k - snippet // 2 for k in range(snippet, 10)]


def test_snippets_that_do_not_overlap_take_one_run_each(
    make: Callable[[Clip], Detector], extractor: Brightness
) -> None:
    extractor.input = np.zeros((1, 3, SIDE, SIDE, 3), np.uint8)
    detector = make(Clip(length=2, stride=3, hop=3, input="features", snippet=3))
    verdicts = scored(detector, levels(12))
    assert extractor.seen == [1, 4, 7, 10]
    assert {v.frame_id: v.score for v in verdicts if v.score is not None} == {5: 4, 8: 7, 11: 10}


def test_latency_holds_the_extractor(make: Callable[[Clip], Detector], extractor: Brightness) -> None:
    extractor.takes_s = 0.02
    verdict = scored(make(Clip(length=1, input="features")), levels(2))[-1]
    assert verdict.latency_ms.engine >= 20
    assert verdict.latency_ms.total >= verdict.latency_ms.engine
    assert verdict.latency_ms.geometry <= verdict.latency_ms.total - verdict.latency_ms.engine


@pytest.mark.parametrize(
    ("inputs", "outputs", "message"),
    [
        pytest.param(
            f"uint8[1, {SIDE}, {SIDE}, 3] frame",
            "float[1, 3] vector",
            r"expected the input frame and the output features, found \[frame\] and \[vector\]",
            id="name",
        ),
        pytest.param(
            f"uint8[1, 2, {SIDE}, {SIDE}, 3] frame",
            "float[1, 2, 3] features",
            "features does not follow the contract: expected .* of 2 fixed dimensions",
            id="clip",
        ),
        pytest.param(
            f"uint8[2, {SIDE}, {SIDE}, 3] frame",
            "float[2, 3] features",
            r"expected frame \[1, \.\.\.\] and features \[1, n\], found \[2, 16, 16, 3\] and \[2, 3\]",
            id="batch",
        ),
    ],
)
def test_a_graph_that_is_no_extractor_is_refused(tmp_path: Path, inputs: str, outputs: str, message: str) -> None:
    places = [2, 3] if "[1, 2, 16" in inputs else [1, 2]
    name = outputs.rpartition(" ")[2]
    made = export_onnx.graph(inputs, outputs, MEAN.replace("mean =", f"{name} ="), places=np.array(places))
    onnx.save(ir.to_proto(made), tmp_path / "extractor.onnx")
    with pytest.raises(EngineError, match=message):
        open_extractor("onnxruntime", Artefact(tmp_path / "extractor.onnx"))


def with_extractors(manifest: Manifest, *names: str | None) -> Manifest:
    pairs = zip(manifest.variants, names, strict=True)
    variants = tuple(msgspec.structs.replace(variant, extractor=name) for variant, name in pairs)
    return msgspec.structs.replace(manifest, variants=variants)


ONNX, XML = "variants/onnx-fp32/extractor.onnx", "variants/openvino-fp32/extractor.xml"


@pytest.mark.parametrize(
    ("kind", "names", "message"),
    [
        pytest.param("features", (ONNX, None), "openvino-fp32 has no extractor and others have one", id="some"),
        pytest.param("features", (XML, XML), "keeps its extractor at variants/openvino-fp32/extractor.xml", id="place"),
        pytest.param(
            "features",
            ("variants/onnx-fp32/model.onnx", XML),
            "expected a file of its own in variants/onnx-fp32",
            id="own",
        ),
        pytest.param("brightest", (ONNX, XML), "has an extractor, and its model takes no clips of features", id="clip"),
        pytest.param("features", ("../e.onnx", XML), "outside", id="outside"),
        pytest.param("features", ("variants/onnx-fp32/e.onnx", XML), "lists no hash for it", id="not listed"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(
    tmp_path: Path, kind: str, names: tuple[str | None, ...], message: str
) -> None:
    clip = Clip(length=3, input="features" if kind == "features" else "frame")
    bundle = Bundle.open(tiny_clips.write_bundle(tmp_path / "bundle", kind, clip))
    with BundleWriter(tmp_path / "changed") as writer:
        for name in (*bundle.manifest.files, ONNX, XML):
            (writer.root / name).parent.mkdir(parents=True, exist_ok=True)
            (writer.root / name).write_bytes(bundle.read(name) if name in bundle.manifest.files else b"graph")
        with pytest.raises(BundleError, match=message):
            writer.commit(with_extractors(bundle.manifest, *names))


def test_snippets_without_an_extractor_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="has snippets of frames and no extractor that takes them"):
        tiny_clips.write_bundle(tmp_path / "bundle", "features", Clip(length=3, input="features", snippet=4))
