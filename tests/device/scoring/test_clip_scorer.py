"""Models of clips: which frames a score is about, and what becomes of the frames that have none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from support import tiny_clips
from support.paths import DOCS as DOCS_FOLDER
from support.tiny import write_images

from edge_ad import Detector, Frame, Reason, Verdict
from edge_ad.bundle import Bundle
from edge_ad.bundle.records import Clip, Smoothing
from edge_ad.cli import main
from edge_ad.errors import BundleFormatError, FrameError
from edge_ad.outputs.sink import Sink
from edge_ad.scoring.clip_memory import ClipRing, ClipState, Smoother
from edge_ad.scoring.verification import verify_bundle
from edge_ad.stream import Tally, score_frames
from edge_ad.verdict import FrameSpan

VARIANTS = ["onnx-fp32", "openvino-fp32"]
NEXT_FRAME = Clip(length=4, covers="last")
FRAMES, K = 20, 11

MakeBundle = Callable[[str, Clip], Path]


@pytest.fixture
def make(tmp_path: Path) -> MakeBundle:
    return lambda kind, clip: tiny_clips.write_bundle(tmp_path / f"{kind}.bundle", kind, clip)


def score_all(detector: Detector, frames: Sequence[NDArray[np.uint8]]) -> list[Verdict]:
    return [detector.score(frame, frame_id=index) for index, frame in enumerate(frames)]


def raised(bundle: Path, variant: str, index: int = K) -> set[int]:
    """The frames whose score an anomaly in frame ``index`` raises."""
    calm = tiny_clips.calm(FRAMES)
    with Detector.open(bundle, variant) as detector:
        before = score_all(detector, calm)
        detector.reset()
        after = score_all(detector, tiny_clips.flashed(calm, index))
    return {
        a.frame_id
        for a, b in zip(after, before, strict=True)
        if a.score is not None and b.score is not None and a.score > b.score + 0.1
    }


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_anomaly_raises_the_score_of_its_frame_and_none_before(make: MakeBundle, variant: str) -> None:
    found = raised(make("predict", NEXT_FRAME), variant)
    # A frame that was not predicted is also a bad start for the three predictions after it.
    assert found == {K, K + 1, K + 2, K + 3}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(
    ("clip", "expected"),
    [
        pytest.param(Clip(length=3), {11, 12, 13}, id="every-frame"),
        pytest.param(Clip(length=3, stride=2), {11, 13, 15}, id="every-second-frame"),
        pytest.param(Clip(length=3, hop=2), {12}, id="every-second-score"),
        pytest.param(Clip(length=4, hop=3), {12}, id="every-third-score"),
        pytest.param(Clip(length=3, smoothing=Smoothing(kind="mean", window=2)), {11, 12, 13, 14}, id="moving-average"),
        pytest.param(Clip(length=3, smoothing=Smoothing(kind="k_of_n", window=3, k=2)), {12, 13, 14}, id="2-of-3"),
    ],
)
def test_a_score_rises_where_its_clip_holds_the_anomaly(
    make: MakeBundle, variant: str, clip: Clip, expected: set[int]
) -> None:
    assert raised(make("brightest", clip), variant) == expected


@pytest.mark.parametrize(
    ("clip", "first_scored", "spans"),
    [
        pytest.param(Clip(length=3), 2, [(0, 2), (1, 3)], id="clip"),
        pytest.param(Clip(length=3, stride=2), 4, [(0, 4), (1, 5)], id="stride"),
        pytest.param(Clip(length=3, covers="last"), 2, [(2, 2), (3, 3)], id="last"),
        pytest.param(Clip(length=3, stride=2, covers="middle"), 4, [(2, 2), (3, 3)], id="middle"),
        pytest.param(Clip(length=3, hop=2), 2, [(0, 2), (2, 4)], id="hop"),
        pytest.param(
            Clip(length=2, hop=2, smoothing=Smoothing(kind="mean", window=3)), 5, [(0, 5), (2, 7)], id="smoothed"
        ),
    ],
)
def test_a_verdict_says_which_frames_it_is_about(
    make: MakeBundle, clip: Clip, first_scored: int, spans: list[tuple[int, int]]
) -> None:
    with Detector.open(make("brightest", clip)) as detector:
        scored = [v for v in score_all(detector, tiny_clips.calm(10)) if v.score is not None]
        assert detector.scorer.frames_until_score == first_scored + 1
    assert scored[0].frame_id == first_scored
    assert [verdict.covers for verdict in scored[:2]] == [FrameSpan(*span) for span in spans]


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_frame_has_a_verdict_and_those_without_a_score_say_why(make: MakeBundle, variant: str) -> None:
    with Detector.open(make("brightest", Clip(length=3, hop=2)), variant) as detector:
        verdicts = score_all(detector, tiny_clips.calm(7))
    wait, between, scored = Reason.WARMING_UP, Reason.BETWEEN_SCORES, Reason.UNCALIBRATED
    assert [verdict.reason for verdict in verdicts] == [wait, wait, scored, between, scored, between, scored]
    assert verdicts[0].detail == "the first clip is complete after 2 more frames: 3 samples, one every frame"
    assert not any(verdict.accepted for verdict in verdicts)


@pytest.mark.parametrize("variant", VARIANTS)
def test_clips_with_a_damaged_frame_have_no_score_and_the_others_are_as_ever(make: MakeBundle, variant: str) -> None:
    frames: list[NDArray[Any]] = [*tiny_clips.calm(12)]
    clip = Clip(length=3, stride=2)
    with Detector.open(make("brightest", clip), variant) as detector:
        whole = score_all(detector, frames)
        detector.reset()
        frames[6] = frames[6].astype(np.uint16)
        found = score_all(detector, frames)
    broken = {verdict.frame_id for verdict in found if verdict.reason is Reason.INCOMPLETE_CLIP}
    assert (found[6].reason, broken) == (Reason.WRONG_TYPE, {8, 10})
    kept = [i for i in range(4, 12) if i not in (6, 8, 10)]
    assert [found[i].score for i in kept] == [whole[i].score for i in kept]


def test_smoothing_starts_anew_after_a_gap(make: MakeBundle) -> None:
    clip = Clip(length=2, smoothing=Smoothing(kind="mean", window=3))
    with Detector.open(make("brightest", clip)) as detector:
        frames = tiny_clips.calm(12)
        score_all(detector, frames[:5])
        lost = detector.invalid(Reason.UNREADABLE, "torn", frame_id=5)
        after = [detector.score(frame, frame_id=6 + i) for i, frame in enumerate(frames[6:])]
    assert lost.reason is Reason.UNREADABLE
    wait = Reason.WARMING_UP
    assert [v.reason for v in after[:4]] == [Reason.INCOMPLETE_CLIP, wait, wait, Reason.UNCALIBRATED]
    assert after[3].covers == FrameSpan(6, 9)


def test_nothing_reaches_across_a_reset(make: MakeBundle) -> None:
    calm = tiny_clips.calm(8)
    with Detector.open(make("brightest", Clip(length=3))) as detector:
        score_all(detector, tiny_clips.flashed(calm, 7))
        detector.reset()
        verdicts = score_all(detector, calm)
    assert [verdict.reason for verdict in verdicts[:2]] == [Reason.WARMING_UP] * 2
    assert max(verdict.score for verdict in verdicts if verdict.score is not None) < 0.3


class Collect(Sink):
    """Keeps what it is given."""

    needs_map = False

    def __init__(self) -> None:
        self.verdicts: list[Verdict] = []

    def write(self, frame: Frame, verdict: Verdict, anomaly_map: NDArray[np.float32] | None) -> None:
        self.verdicts.append(verdict)

    def close(self) -> None:
        pass


def streamed(bundle: Path, *sources: Iterable[Frame]) -> list[Verdict]:
    sink, tally = Collect(), Tally()
    with Detector.open(bundle) as detector:
        for source in sources:
            score_frames(detector, source, [sink], tally)
    return sink.verdicts


def test_a_stream_that_drops_frames_makes_no_clip_of_what_is_left(make: MakeBundle) -> None:
    frames = [Frame(image, f"camera#{i}", i, 0.0) for i, image in enumerate(tiny_clips.calm(9))]
    reasons = [v.reason for v in streamed(make("brightest", Clip(length=3)), [*frames[:4], *frames[6:]])]
    wait, broken, scored = Reason.WARMING_UP, Reason.INCOMPLETE_CLIP, Reason.UNCALIBRATED
    assert reasons == [wait, wait, scored, scored, broken, broken, scored]


def test_another_source_is_another_scene(make: MakeBundle) -> None:
    frames = [Frame(image, "a", i, 0.0) for i, image in enumerate(tiny_clips.calm(4))]
    torn = Frame(None, "a", 1, 0.0, FrameError("unreadable", "torn"))
    found = streamed(make("brightest", Clip(length=3)), frames, [frames[0], torn, *frames[2:]])
    wait, scored = Reason.WARMING_UP, Reason.UNCALIBRATED
    assert [v.reason for v in found[:4]] == [wait, wait, scored, scored]
    assert [v.reason for v in found[4:]] == [wait, Reason.UNREADABLE, *[Reason.INCOMPLETE_CLIP] * 2]
    assert [v.frame_id for v in found] == list(range(8))


@pytest.mark.parametrize("source", ["video", "folder"])
def test_the_command_line_prints_a_line_a_frame(make: MakeBundle, tmp_path: Path, source: str) -> None:
    frames = tiny_clips.flashed(tiny_clips.calm(FRAMES), K)
    bundle = make("predict", NEXT_FRAME)
    where = (
        tiny_clips.write_video(tmp_path / "scene.avi", frames)
        if source == "video"
        else write_images(tmp_path / "scene", frames)
    )
    done = CliRunner().invoke(main, ["score", str(bundle), str(where), "--json"])
    assert done.exit_code == 0, done.output
    lines = [msgspec.json.decode(line) for line in done.stdout.splitlines()]
    assert [line["frame_id"] for line in lines] == list(range(FRAMES))
    scores = [line["score"] for line in lines]
    assert scores[:3] == [None] * 3
    assert max(range(3, FRAMES), key=lambda i: scores[i]) == K
    assert lines[K]["covers"] == {"first": K, "last": K}
    text = CliRunner().invoke(main, ["score", str(bundle), str(where)]).stdout.splitlines()
    assert len(text) == FRAMES
    assert "(warming_up: the first clip is complete after 3 more frames" in text[0]
    assert f"  frame {K}  " in text[K]


@pytest.mark.parametrize("variant", VARIANTS)
def test_flow_is_that_of_the_frame_a_stride_earlier(make: MakeBundle, variant: str) -> None:
    """A scene that moves by 3 pixels a frame, by 6 between samples: 2 in the model's input, a third of the width."""
    random = np.random.default_rng(3)
    scene = np.kron(random.integers(0, 255, (8, 40), np.uint8), np.ones((4, 6), np.uint8))
    frames = [np.repeat(scene[:, 3 * i : 3 * i + 48, None], 3, axis=2) for i in range(12)]
    with Detector.open(make("flow", Clip(length=2, stride=2, input="flow")), variant) as detector:
        moving = score_all(detector, frames)
        detector.reset()
        still = score_all(detector, [frames[0]] * 12)
        detector.reset()
        again = score_all(detector, frames)
    assert [v.reason for v in moving[:5]] == [*[Reason.WARMING_UP] * 4, Reason.UNCALIBRATED]
    assert moving[4].covers == FrameSpan(0, 4)
    scores = [v.score for v in moving if v.score is not None]
    # The mean over both directions, of which one is still.
    assert 0.4 < float(np.median(scores)) < 1.6
    assert max(v.score for v in still if v.score is not None) < 0.05
    assert [v.score for v in again] == [v.score for v in moving]


def test_flow_to_and_from_a_damaged_frame_is_missing(make: MakeBundle) -> None:
    frames: list[NDArray[Any]] = [*tiny_clips.calm(10)]
    frames[4] = frames[4].astype(np.int16)
    with Detector.open(make("flow", Clip(length=2, input="flow"))) as detector:
        reasons = [verdict.reason for verdict in score_all(detector, frames)]
    assert reasons[:4] == [Reason.WARMING_UP] * 2 + [Reason.UNCALIBRATED] * 2
    assert reasons[4:] == [Reason.WRONG_TYPE, *[Reason.INCOMPLETE_CLIP] * 2, *[Reason.UNCALIBRATED] * 3]


@pytest.mark.parametrize("variant", VARIANTS)
def test_vectors_of_another_sensor_are_scored(make: MakeBundle, variant: str) -> None:
    with Detector.open(make("features", Clip(length=3, input="features")), variant) as detector:
        vectors = [np.full(tiny_clips.VECTOR, value, np.float32) for value in (1, 2, 3, 4)]
        found = [detector.score(features=vector, frame_id=i) for i, vector in enumerate(vectors)]
        wrong = detector.score(features=np.zeros(3, np.float32))
        lost = detector.score(features=np.full(tiny_clips.VECTOR, np.nan, np.float32))
    assert [v.score for v in found] == [None, None, 3.0, 4.0]
    assert found[3].covers == FrameSpan(1, 3)
    assert (wrong.reason, wrong.detail) == (
        Reason.WRONG_SHAPE,
        "expected a vector of 6 floating-point features, found float32 [3]",
    )
    assert lost.reason is Reason.NOT_FINITE


@pytest.mark.parametrize("kind", ["predict", "flow", "features"])
def test_golden_clips_are_replayed(make: MakeBundle, kind: str) -> None:
    kinds: dict[str, Clip] = {
        "predict": NEXT_FRAME,
        "flow": Clip(length=2, stride=3, input="flow", smoothing=Smoothing(kind="mean", window=4)),
        "features": Clip(length=2, input="features"),
    }
    bundle = make(kind, kinds[kind])
    checked = verify_bundle(bundle)
    assert [len(one.replays) for one in checked.variants] == [2, 2]
    damaged = Bundle.open(bundle).manifest.golden.frames[-1]
    assert checked.variants[0].replays[-1].frame == damaged


def test_golden_frames_that_make_no_whole_clip_are_refused(make: MakeBundle) -> None:
    bundle = Bundle.open(make("predict", NEXT_FRAME))
    golden = msgspec.structs.replace(bundle.manifest.golden, frames=bundle.manifest.golden.frames[:-1])
    bundle.manifest = msgspec.structs.replace(bundle.manifest, golden=golden)
    with pytest.raises(BundleFormatError, match="does not fit its 1 golden"):
        Detector.open(bundle)


def test_a_calibration_belongs_to_its_smoothing(make: MakeBundle) -> None:
    plain = Bundle.open(make("brightest", Clip(length=3)))
    smooth = msgspec.structs.replace(plain.manifest, clip=Clip(length=3, smoothing=Smoothing(kind="mean", window=2)))
    other = Bundle(plain.path, plain._store, smooth, plain.manifest_bytes)
    assert plain.geometry_sha256 != other.geometry_sha256


@given(st.integers(1, 5), st.integers(1, 4), st.integers(1, 40), st.sets(st.integers(0, 39)))
def test_the_ring_gives_the_newest_samples_in_order(length: int, stride: int, count: int, bad: set[int]) -> None:
    ring = ClipRing(length, stride, (2,), np.int64)
    for index in range(count):
        ring.slot[:] = index
        ring.push(valid=index not in bad)
    wanted = list(range(count - 1 - (length - 1) * stride, count, stride))
    if wanted[0] < 0:
        assert ring.state is ClipState.TOO_SHORT
        return
    assert (ring.state is ClipState.BROKEN) == bool(bad & set(wanted))
    out = np.empty((length, 2), np.int64)
    ring.copy_to(out)
    assert out[:, 0].tolist() == wanted
    assert ring.newest.tolist() == [count - 1] * 2


@given(st.lists(st.integers(0, 9), min_size=1, max_size=12), st.integers(1, 5), st.integers(1, 5), st.integers(-1, 10))
def test_k_of_n_is_above_a_threshold_where_k_scores_are(scores: list[int], n: int, k: int, threshold: int) -> None:
    smoother = Smoother(Smoothing(kind="k_of_n", window=n, k=min(k, n)))
    found = [smoother.add(float(score)) for score in scores]
    for index, smoothed in enumerate(found):
        last = scores[max(index - n + 1, 0) : index + 1]
        assert (smoothed is None) == (len(last) < n)
        if smoothed is not None:
            assert (smoothed > threshold) == (sum(score > threshold for score in last) >= min(k, n))


def test_more_scores_than_a_window_holds_are_refused() -> None:
    with pytest.raises(ValueError, match="4 of 3 scores"):
        Smoothing(kind="k_of_n", window=3, k=4)


def test_info_says_what_a_clip_is(make: MakeBundle) -> None:
    clip = Clip(length=3, stride=2, smoothing=Smoothing(kind="k_of_n", window=3, k=2))
    text = CliRunner().invoke(main, ["info", str(make("brightest", clip))]).stdout
    assert (
        "clips     3 samples (frame), one every 2 frames, a score about the clip every frame, "
        "number 2 from the top of 3 scores" in text
    )


@pytest.mark.parametrize("clip", [Clip(length=3, stride=2), Clip(length=2, hop=3)], ids=["stride", "hop"])
def test_a_bundle_of_clips_can_be_timed(make: MakeBundle, clip: Clip) -> None:
    done = CliRunner().invoke(main, ["bench", str(make("brightest", clip)), "--runs", "10", "--json"])
    assert done.exit_code == 0, done.output
    assert msgspec.json.decode(done.stdout)["runs"] == 10


def test_clips_and_tiles_exclude_each_other(make: MakeBundle) -> None:
    from edge_ad.bundle import BundleWriter
    from edge_ad.bundle.records import Tiles

    old = Bundle.open(make("predict", NEXT_FRAME))
    geometry = msgspec.structs.replace(old.manifest.geometry, tiles=Tiles())
    with BundleWriter(old.path.with_name("tiled")) as writer:
        for name in old.manifest.files:
            (writer.root / name).parent.mkdir(parents=True, exist_ok=True)
            (writer.root / name).write_bytes(old.read(name))
        with pytest.raises(BundleFormatError, match="both clips and tiles"):
            writer.commit(msgspec.structs.replace(old.manifest, geometry=geometry))


def test_every_option_of_clips_and_every_reason_stands_in_the_docs() -> None:
    from edge_ad_export.cli.clip_options import CLIPS, EXTRACTOR

    options = {name for group in (CLIPS, EXTRACTOR) for row in group.rows for name in row.names}
    docs = DOCS_FOLDER
    video, verdict = (docs / "video.md").read_text(), (docs / "verdict.md").read_text()
    assert {name for name in options if name not in video} == set()
    assert {reason.value for reason in Reason if f"`{reason.value}`" not in verdict} == set()
