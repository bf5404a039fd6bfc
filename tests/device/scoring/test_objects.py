"""Objects in, one verdict a frame out: each crop scores as it would alone, and nothing slips through unseen."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from support import tiny
from support.tiny_calibration import calibrate

from edge_ad import Box, Bundle, Detector, Reason, State, Verdict
from edge_ad.bundle.records import Clip, FrameSize, Geometry, ModelInput, Resize, Roi, Tiles
from edge_ad.drift import DriftWatch
from edge_ad.errors import BundleFormatError, FrameError, InputError
from edge_ad.geometry import Preprocessor
from edge_ad.outputs import annotate
from edge_ad.scoring.objects import check_boxes, crop

MODES = ("stretch", "letterbox", "center_crop")
TRAY: NDArray[np.uint8] = np.random.default_rng(5).integers(0, 90, (120, 160, 3), np.uint8)
LEFT, RIGHT = Box(4, 10, 40, 60), Box(80, 30, 64, 48)


def object_geometry(mode: str = "stretch", **others: Any) -> Geometry:
    return Geometry(resize=Resize(width=32, height=32, mode=mode, fill=7), level="object", **others)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """By mode of resizing: the same model for objects, and under ``frame-…`` for frames of any size."""
    folder = tmp_path_factory.mktemp("objects")
    found = {}
    for mode in MODES:
        geometry = object_geometry(mode)
        found[mode] = tiny.write_bundle(folder / mode, geometry)
        plain = msgspec.structs.replace(geometry, level="frame")
        found[f"frame-{mode}"] = tiny.write_bundle(folder / f"frame-{mode}", plain)
    for path in found.values():
        calibrate(path, 0.4)
    return found


@pytest.fixture(scope="module")
def pairs(bundles: dict[str, Path]) -> Iterator[dict[str, tuple[Detector, Detector]]]:
    """By mode: the detector of objects, and that of frames of the same model."""
    opened = {mode: (Detector.open(bundles[mode]), Detector.open(bundles[f"frame-{mode}"])) for mode in MODES}
    yield opened
    for pair in opened.values():
        for detector in pair:
            detector.close()


@pytest.fixture
def detector(pairs: dict[str, tuple[Detector, Detector]]) -> Detector:
    return pairs["stretch"][0]


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    x, y = draw(st.integers(0, TRAY.shape[1] - 1)), draw(st.integers(0, TRAY.shape[0] - 1))
    width, height = draw(st.integers(1, TRAY.shape[1] - x)), draw(st.integers(1, TRAY.shape[0] - y))
    return Box(x, y, width, height)


def thin(box: Box) -> bool:
    """Whether a letterboxed object may miss the middles of all the 4x4 cells."""
    return max(box.width, box.height) > 4 * min(box.width, box.height)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(given_boxes=st.lists(boxes(), min_size=1, max_size=4), mode=st.sampled_from(MODES))
def test_an_object_scores_as_its_crop_does_alone(
    pairs: dict[str, tuple[Detector, Detector]], given_boxes: list[Box], mode: str
) -> None:
    by_object, by_frame = pairs[mode]
    assume(mode != "letterbox" or not any(map(thin, given_boxes)))
    found = by_object.score_with_map(TRAY, objects=given_boxes)
    assert found.map is not None
    assert [one.box for one in found.verdict.objects] == given_boxes
    for one, anomaly_map in zip(found.verdict.objects, found.map, strict=True):
        alone = by_frame.score_with_map(crop(TRAY, one.box).copy())
        assert (one.score, one.p_value, one.state) == (alone.verdict.score, alone.verdict.p_value, alone.verdict.state)
        assert alone.map is not None
        np.testing.assert_array_equal(anomaly_map, alone.map)
    assert found.verdict.score == max(one.score for one in found.verdict.objects)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(box=boxes(), mode=st.sampled_from(MODES), data=st.data())
def test_regions_of_an_object_lie_where_the_camera_saw_them(
    pairs: dict[str, tuple[Detector, Detector]], box: Box, mode: str, data: st.DataObject
) -> None:
    by_object, by_frame = pairs[mode]
    assume(mode != "letterbox" or not thin(box))
    frame = TRAY.copy()
    side = max(1, min(box.width, box.height) // 2)
    x = box.x + data.draw(st.integers(0, box.width - side))
    y = box.y + data.draw(st.integers(0, box.height - side))
    frame[y : y + side, x : x + side] = 255
    found = by_object.score(frame, objects=[box]).regions
    alone = by_frame.score(crop(frame, box).copy()).regions
    assert [(r.area_px, r.peak_score, r.box.width, r.box.height) for r in found] == [
        (r.area_px, r.peak_score, r.box.width, r.box.height) for r in alone
    ]
    assert [(r.box.x - box.x, r.box.y - box.y, r.peak.x - box.x, r.peak.y - box.y) for r in found] == [
        (r.box.x, r.box.y, r.peak.x, r.peak.y) for r in alone
    ]
    for region in found:
        assert box.x <= region.box.x <= region.peak.x < region.box.x + region.box.width <= box.x + box.width
        assert box.y <= region.box.y <= region.peak.y < region.box.y + region.box.height <= box.y + box.height


def test_one_bad_object_rejects_the_frame(detector: Detector) -> None:
    frame = tiny.spotted(TRAY, 100, 40, 24)
    verdict = detector.score(frame, objects=[LEFT, RIGHT])
    assert verdict.state is State.REJECT
    assert [one.state for one in verdict.objects] == [State.ACCEPT, State.REJECT]
    assert verdict.score == verdict.objects[1].score > 0.4 >= verdict.objects[0].score
    assert verdict.p_value == verdict.objects[1].p_value
    (region,) = verdict.regions
    assert RIGHT.x <= region.box.x <= 112 < region.box.x + region.box.width
    assert detector.score(frame, objects=[LEFT]).state is State.ACCEPT
    assert verdict.latency_ms.total >= verdict.latency_ms.engine > 0


def test_the_regions_of_a_frame_are_the_highest_of_all_its_objects(detector: Detector) -> None:
    frame = tiny.spotted(tiny.spotted(TRAY, 100, 40, 24), 10, 20, 24)
    peaks = [region.peak_score for region in detector.score(frame, objects=[LEFT, RIGHT]).regions]
    assert len(peaks) == 2
    assert peaks == sorted(peaks, reverse=True)


def test_uncalibrated_objects_have_scores_and_no_verdict(tmp_path: Path) -> None:
    with Detector.open(tiny.write_bundle(tmp_path / "plain", object_geometry())) as detector:
        verdict = detector.score(TRAY, objects=[LEFT])
    assert (verdict.state, verdict.reason) == (State.INVALID, Reason.UNCALIBRATED)
    assert [(one.state, one.p_value) for one in verdict.objects] == [(State.INVALID, None)]
    assert verdict.score == verdict.objects[0].score > 0


@pytest.mark.parametrize(
    ("objects", "reason", "said"),
    [
        pytest.param(None, Reason.NO_OBJECTS, "expected the boxes of the objects", id="not-given"),
        pytest.param([], Reason.NO_OBJECTS, "expected the boxes of the objects", id="empty"),
        pytest.param([LEFT, Box(100, 0, 61, 10)], Reason.BAD_OBJECT, r"object 2 of 2, 61x10 at \(100, 0\)", id="right"),
        pytest.param([Box(0, 100, 10, 21)], Reason.BAD_OBJECT, "inside the frame of 160x120", id="below"),
        pytest.param([Box(-1, 0, 10, 10)], Reason.BAD_OBJECT, r"at \(-1, 0\)", id="left"),
        pytest.param([Box(0, -1, 10, 10)], Reason.BAD_OBJECT, r"at \(0, -1\)", id="above"),
        pytest.param([Box(0, 0, 0, 10)], Reason.BAD_OBJECT, "1x1 pixels or more", id="no-width"),
        pytest.param([Box(0, 0, 10, -4)], Reason.BAD_OBJECT, "1x1 pixels or more", id="negative-height"),
        pytest.param([Box(0.5, 0, 10, 10)], Reason.BAD_OBJECT, "whole pixels", id="half-a-pixel"),  # type: ignore[arg-type]
        pytest.param([Box(float("nan"), 0, 10, 10)], Reason.BAD_OBJECT, "whole pixels", id="nan"),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_scored_is_invalid(
    detector: Detector, objects: list[Box] | None, reason: Reason, said: str
) -> None:
    verdict = detector.score(TRAY, objects=objects)
    assert (verdict.state, verdict.reason, verdict.score, verdict.objects) == (State.INVALID, reason, None, ())
    with pytest.raises(FrameError, match=said):
        check_boxes(objects or [], 160, 120)


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        pytest.param(TRAY.astype(np.uint16), Reason.WRONG_TYPE, id="16-bit"),
        pytest.param(np.zeros(9, np.uint8), Reason.WRONG_SHAPE, id="flat"),
        pytest.param(np.zeros((0, 4), np.uint8), Reason.WRONG_SHAPE, id="empty"),
    ],
)
def test_a_wrong_frame_is_invalid_whatever_its_objects(detector: Detector, frame: NDArray[Any], reason: Reason) -> None:
    verdict = detector.score(frame, objects=[LEFT])
    assert (verdict.state, verdict.reason) == (State.INVALID, reason)


def test_whole_numbers_of_any_kind_are_whole_numbers(detector: Detector) -> None:
    numbers = np.array([4, 10, 40, 60], np.int64)
    verdict = detector.score(TRAY, objects=[Box(*numbers)])
    assert [one.box for one in verdict.objects] == [LEFT]
    assert json.loads(msgspec.json.encode(verdict))["objects"][0]["box"] == msgspec.to_builtins(LEFT)


def test_objects_of_a_bundle_of_frames_are_a_mistake(pairs: dict[str, tuple[Detector, Detector]]) -> None:
    with pytest.raises(InputError, match="scores whole frames"):
        pairs["stretch"][1].score(TRAY, objects=[LEFT])


@pytest.mark.parametrize("mode", ["letterbox", "center_crop"])
def test_an_object_too_thin_for_the_model_is_invalid(pairs: dict[str, tuple[Detector, Detector]], mode: str) -> None:
    line = np.zeros((2, 4_000, 3), np.uint8)
    by_object, by_frame = pairs[mode]
    verdict = by_object.score(line, objects=[Box(0, 0, 4_000, 1)])
    assert (verdict.state, verdict.reason) == (State.INVALID, Reason.WRONG_SHAPE)
    assert "object 1 of 1, 4000x1 at (0, 0): a picture of 4000x1 is too long and thin" in str(verdict.detail)
    assert by_frame.score(line[:1]).reason is Reason.WRONG_SHAPE


def test_the_anomaly_map_is_that_of_the_objects_and_the_larger_where_they_overlap(detector: Detector) -> None:
    frame = tiny.spotted(TRAY, 30, 30, 20)
    first, second = Box(4, 10, 60, 60), Box(24, 24, 60, 60)
    found = detector.score_with_map(frame, objects=[first, second])
    assert found.map is not None
    anomaly_map = detector.map_in_camera_pixels(found.map, frame, found.verdict.objects)
    parts = []
    for box in (first, second):
        alone = detector.score_with_map(frame, objects=[box])
        assert alone.map is not None
        parts.append(detector.map_in_camera_pixels(alone.map, frame, alone.verdict.objects))
        outside = np.ones(frame.shape[:2], bool)
        crop(outside, box)[:] = False
        np.testing.assert_array_equal(np.isnan(parts[-1]), outside)
    np.testing.assert_array_equal(anomaly_map, np.fmax(*parts))


def test_an_annotated_picture_shows_each_object_in_its_own_colour(detector: Detector) -> None:
    frame = tiny.spotted(TRAY, 100, 40, 24)
    verdict = detector.score(frame, objects=[LEFT, RIGHT])
    plain = annotate(frame, msgspec.structs.replace(verdict, objects=(), regions=()))
    shown = annotate(frame, msgspec.structs.replace(verdict, regions=()))
    left, top = (plain.shape[1] - 3 * 160) // 2, 2  # enlarged threefold, below a line of two pixels
    green, red = shown[top + 3 * LEFT.y + 90, left + 3 * LEFT.x], shown[top + 3 * RIGHT.y + 90, left + 3 * RIGHT.x]
    assert green[1] > green[2]
    assert red[2] > red[1]
    assert shown.shape == plain.shape


def test_plans_of_some_sizes_are_kept_and_no_more() -> None:
    preprocessor = Preprocessor(object_geometry(), tiny.INPUT)
    out = np.zeros((32, 32, 3), np.uint8)
    first = preprocessor.layout(TRAY[:40, :40])
    for side in range(41, 56):
        list(preprocessor.tiles(TRAY[:side, :side], out))
    assert preprocessor.layout(TRAY[:40, :40]) is first
    preprocessor.layout(TRAY[:60, :60])
    assert preprocessor.layout(TRAY[:40, :40]) is not first


def test_an_object_may_be_cut_into_tiles(tmp_path: Path) -> None:
    geometry = Geometry(resize=Resize(width=64, height=32), tiles=Tiles(), level="object")
    path = tiny.write_bundle(tmp_path / "tiles", geometry)
    plain = tiny.write_bundle(tmp_path / "plain", msgspec.structs.replace(geometry, level="frame"))
    with Detector.open(path) as by_object, Detector.open(plain) as by_frame:
        found = by_object.score(TRAY, objects=[LEFT, RIGHT])
        alone = [by_frame.score(crop(TRAY, box).copy()).score for box in (LEFT, RIGHT)]
    assert [one.score for one in found.objects] == alone


@pytest.mark.parametrize(
    "others",
    [
        pytest.param({"frame": FrameSize(width=9, height=9)}, id="frame"),
        pytest.param({"roi": Roi(x=0, y=0, width=9, height=9)}, id="roi"),
        pytest.param({"ignore": "ignore.png"}, id="mask"),
        pytest.param({"resize": None}, id="no-resize"),
    ],
)
def test_a_geometry_of_objects_fixes_nothing_in_camera_pixels(others: dict[str, Any]) -> None:
    fields: dict[str, Any] = {"resize": Resize(width=32, height=32), "level": "object"} | others
    with pytest.raises(ValueError, match="objects come in any size and place"):
        Geometry(**fields)


def test_a_manifest_with_such_a_geometry_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="objects come in any size and place"):
        msgspec.json.decode(b'{"level": "object", "resize": null}', type=Geometry)


def test_clips_of_objects_are_refused(tmp_path: Path) -> None:
    bundle = Bundle.open(tiny.write_bundle(tmp_path / "both", object_geometry()))
    both = msgspec.structs.replace(bundle.manifest, clip=Clip(length=2, covers="clip"))
    with pytest.raises(BundleFormatError, match="both clips and objects"):
        rewrite(bundle, both)


def rewrite(bundle: Bundle, manifest: Any) -> None:
    from edge_ad.bundle.seal import sealed_json

    (bundle.path / "manifest.json").write_bytes(sealed_json(manifest))
    Bundle.open(bundle.path)


def test_drift_counts_objects(bundles: dict[str, Path]) -> None:
    with Detector.open(bundles["stretch"]) as detector:
        watch = DriftWatch(detector)
        frame = tiny.spotted(TRAY, 100, 40, 24)
        watched = [watch.observe(detector.score(frame, objects=[LEFT, RIGHT])) for _ in range(3)]
        missed = watch.observe(detector.score(frame, objects=[]))
    counts = [(one.drift.frames, one.drift.rejects) for one in [*watched, missed] if one.drift]
    assert counts == [(2, 1), (4, 2), (6, 3), (6, 3)]


def test_each_object_has_looks_of_its_own(detector: Detector) -> None:
    frame = TRAY.copy()
    crop(frame, RIGHT)[:] = 200
    detector.score(frame, objects=[LEFT, RIGHT])
    first, second = detector.scorer.statistics()
    assert first is not None
    assert second is not None
    assert first.brightness < 60 < second.brightness == 200
    assert ModelInput(width=32, height=32, channels=3) == detector.bundle.manifest.input


def test_a_verdict_with_objects_survives_json(detector: Detector) -> None:
    verdict = detector.score(TRAY, objects=[LEFT, RIGHT], captured_at=1.0)
    assert msgspec.json.decode(msgspec.json.encode(verdict), type=Verdict) == verdict
