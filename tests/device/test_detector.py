"""Frames in, verdicts out: three states, and only a good frame is accepted."""

from __future__ import annotations

from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from support import tiny
from support.changed_bundle import spoil_golden
from support.tiny_calibration import calibrate

from edge_ad import Detector, Reason, State
from edge_ad.bundle import Bundle
from edge_ad.bundle.calibrations import conformal_p_value
from edge_ad.bundle.records import Geometry, Resize, Roi, Tiles
from edge_ad.errors import CalibrationError, FrameError, GoldenError, InputError
from edge_ad.geometry import Preprocessor
from edge_ad.scoring.scorer import Scorer

DARK: NDArray[np.uint8] = np.full(tiny.FRAME, 20, np.uint8)


@pytest.mark.parametrize("variant", ["onnx-fp32", "openvino-fp32"])
def test_a_calm_frame_passes_and_a_spot_is_found(tiny_bundle: Path, variant: str) -> None:
    calibrate(tiny_bundle, 0.4, variant=variant)
    with Detector.open(tiny_bundle, variant) as detector:
        calm = detector.score(DARK, frame_id=1, part_id="a", captured_at=5.0)
        spot = detector.score(tiny.spotted(DARK, 32, 24))
    assert (calm.state, calm.accepted, calm.regions) == (State.ACCEPT, True, ())
    assert (calm.frame_id, calm.part_id, calm.captured_at, calm.variant) == (1, "a", 5.0, variant)
    assert calm.p_value == 1
    assert (spot.state, spot.accepted) == (State.REJECT, False)
    assert spot.p_value == 0.25
    (region,) = spot.regions
    assert region.box.x <= 37 < region.box.x + region.box.width
    assert region.box.y <= 29 < region.box.y + region.box.height
    assert spot.latency_ms.total >= spot.latency_ms.engine > 0


def test_a_score_at_the_threshold_passes(tiny_bundle: Path) -> None:
    with Detector.open(tiny_bundle) as detector:
        score = detector.score(DARK).score
    assert score is not None
    calibrate(tiny_bundle, score)
    with Detector.open(tiny_bundle) as detector:
        assert detector.score(DARK).state is State.ACCEPT
    calibrate(tiny_bundle, float(np.nextafter(np.float32(score), np.float32(0))))
    with Detector.open(tiny_bundle) as detector:
        assert detector.score(DARK).state is State.REJECT


def test_without_calibration_there_are_scores_but_no_verdicts(tiny_bundle: Path) -> None:
    with Detector.open(tiny_bundle) as detector:
        verdict = detector.score(DARK)
    assert (verdict.state, verdict.reason) == (State.INVALID, Reason.UNCALIBRATED)
    assert verdict.score is not None
    assert not verdict.accepted


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        pytest.param(DARK.astype(np.uint16), Reason.WRONG_TYPE, id="16-bit"),
        pytest.param(np.zeros((4, 4, 4), np.uint8), Reason.WRONG_SHAPE, id="alpha"),
        pytest.param(np.zeros((0, 4), np.uint8), Reason.WRONG_SHAPE, id="empty"),
    ],
)
def test_a_frame_that_cannot_be_scored_is_invalid_and_the_next_one_is_fine(
    tiny_bundle: Path, frame: NDArray[np.uint8], reason: Reason
) -> None:
    calibrate(tiny_bundle, 0.4)
    with Detector.open(tiny_bundle) as detector:
        bad = detector.score(frame)
        good = detector.score(DARK)
    assert (bad.state, bad.reason, bad.score) == (State.INVALID, reason, None)
    assert bad.detail
    assert good.state is State.ACCEPT


@pytest.mark.parametrize("value", [np.nan, np.inf], ids=["nan", "inf"])
@pytest.mark.parametrize("where", ["score", "map"])
def test_nan_is_never_a_score(tiny_bundle: Path, value: float, where: str) -> None:
    """A model whose weights went bad, played by a scale factor that is not a finite number."""
    from edge_ad.engines import Artefact, open_engine

    model = tiny.model(scale=value, with_map=where == "map")
    engine = open_engine("onnxruntime", Artefact(model.SerializeToString()))
    geometry = Geometry(resize=Resize(width=32, height=32))
    scorer = Scorer(Preprocessor(geometry, tiny.INPUT), engine)
    with pytest.raises(FrameError, match="not a finite number"):
        scorer.measure(DARK)
    calibrate(tiny_bundle, 0.4)
    bundle = Bundle.open(tiny_bundle)
    detector = Detector(bundle, bundle.variant(), scorer, None)
    assert detector.score(DARK).reason is Reason.NOT_FINITE


def test_stations_have_their_own_thresholds(tiny_bundle: Path) -> None:
    calibrate(tiny_bundle, 0.01)
    calibrate(tiny_bundle, 0.9, station="line-2")
    with Detector.open(tiny_bundle) as strict, Detector.open(tiny_bundle, station="line-2") as mild:
        assert strict.score(DARK).state is State.REJECT
        verdict = mild.score(DARK)
    assert (verdict.state, verdict.station) == (State.ACCEPT, "line-2")
    with pytest.raises(CalibrationError, match="calibrated are default, line-2"):
        Detector.open(tiny_bundle, station="line-3")


def test_a_station_of_an_uncalibrated_bundle_is_refused(tiny_bundle: Path) -> None:
    with pytest.raises(InputError, match="not calibrated"):
        Detector.open(tiny_bundle, station="line-1")


def test_a_device_that_scores_differently_does_not_inspect(tiny_bundle: Path, tmp_path: Path) -> None:
    """Another model under the hash of the first: what a broken instruction set would look like."""
    import onnx

    from edge_ad.bundle import BundleWriter

    old = Bundle.open(tiny_bundle)
    with BundleWriter(tmp_path / "other") as writer:
        for name in old.manifest.files:
            (writer.root / name).parent.mkdir(parents=True, exist_ok=True)
            (writer.root / name).write_bytes(old.read(name))
        onnx.save(tiny.model(scale=1 / 250), writer.root / "variants/onnx-fp32/model.onnx")
        writer.commit(old.manifest)
    with pytest.raises(GoldenError, match=r"golden/0.png: score 0\.\d+, expected 0\.\d+ ± 0.0001"):
        Detector.open(tmp_path / "other")
    Detector.open(tmp_path / "other", "openvino-fp32").close()


def test_a_verdict_survives_json(tiny_bundle: Path) -> None:
    calibrate(tiny_bundle, 0.4)
    with Detector.open(tiny_bundle) as detector:
        verdict = detector.score(tiny.spotted(DARK, 10, 10))
    assert msgspec.json.decode(msgspec.json.encode(verdict), type=type(verdict)) == verdict


def bundle_with(tmp_path: Path, geometry: Geometry) -> Path:
    return tiny.write_bundle(tmp_path / "made", geometry)


def test_tiles_see_small_things_where_they_are(tmp_path: Path) -> None:
    frame = np.full((96, 160, 3), 20, np.uint8)
    path = tmp_path / "tiled"
    geometry = Geometry(resize=Resize(width=160, height=96), tiles=Tiles(overlap=8))
    calibrate(tiny.write_bundle(path, geometry), 0.4)
    with Detector.open(path) as detector:
        for x, y in ((0, 0), (72, 40), (152, 88)):
            found = detector.score_with_map(tiny.spotted(frame, x, y, 8))
            assert found.map is not None
            assert found.map.shape == (12, 20)
            (region,) = found.verdict.regions
            assert (region.box.x // 8, region.box.y // 8) == (x // 8, y // 8)
            assert found.verdict.score == found.map.max()
        assert detector.score(frame).state is State.ACCEPT


def test_what_is_under_the_ignore_mask_does_not_count(tmp_path: Path) -> None:
    from edge_ad.bundle import BundleWriter

    old = Bundle.open(bundle_with(tmp_path, Geometry(resize=Resize(width=32, height=32))))
    mask = np.zeros((48, 64), np.uint8)
    mask[:24, :32] = 255
    with BundleWriter(tmp_path / "masked") as writer:
        for name in old.manifest.files:
            (writer.root / name).parent.mkdir(parents=True, exist_ok=True)
            (writer.root / name).write_bytes(old.read(name))
        assert cv2.imwrite(str(writer.root / "ignore.png"), mask)
        geometry = msgspec.structs.replace(old.manifest.geometry, ignore="ignore.png")
        writer.commit(msgspec.structs.replace(old.manifest, geometry=geometry))
    calibrate(tmp_path / "masked", 0.4)
    with Detector.open(tmp_path / "masked", self_test=False) as detector:
        hidden = detector.score(tiny.spotted(DARK, 8, 8))
        seen = detector.score(tiny.spotted(DARK, 48, 24))
        anomaly_map = detector.score_with_map(DARK).map
        assert anomaly_map is not None
        picture = detector.map_in_camera_pixels(anomaly_map, DARK)
    assert (hidden.state, hidden.regions) == (State.ACCEPT, ())
    assert (seen.state, len(seen.regions)) == (State.REJECT, 1)
    assert np.isnan(picture[:20, :28]).all()
    assert np.isfinite(picture[28:, :]).all()


def test_a_region_of_interest_hides_what_lies_outside(tmp_path: Path) -> None:
    geometry = Geometry(roi=Roi(x=32, y=0, width=32, height=48), resize=Resize(width=32, height=32))
    path = bundle_with(tmp_path, geometry)
    calibrate(path, 0.4)
    with Detector.open(path) as detector:
        assert detector.score(tiny.spotted(DARK, 8, 20)).state is State.ACCEPT
        (region,) = detector.score(tiny.spotted(DARK, 44, 20)).regions
    assert region.box.x >= 32


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=30), st.integers(-6, 6))
def test_p_values_follow_their_definition(normals: list[int], score: int) -> None:
    ordered = tuple(float(n) for n in sorted(normals))
    expected = (1 + sum(n >= score for n in normals)) / (len(normals) + 1)
    assert conformal_p_value(ordered, float(score)) == expected


def test_a_picture_that_could_not_be_read_is_invalid(tiny_bundle: Path) -> None:
    with Detector.open(tiny_bundle, self_test=False) as detector:
        verdict = detector.score(None, frame_id=7)
    assert (verdict.state, verdict.reason, verdict.frame_id) == (State.INVALID, Reason.UNREADABLE, 7)


@pytest.mark.parametrize("variant", ["onnx-fp32", "openvino-fp32"])
def test_a_closed_detector_says_so(tiny_bundle: Path, variant: str) -> None:
    detector = Detector.open(tiny_bundle, variant, self_test=False)
    detector.close()
    detector.close()
    with pytest.raises(InputError, match="is closed: open it again"):
        detector.score(np.zeros((48, 64, 3), np.uint8))


@pytest.fixture
def differing_default(tiny_bundle: Path) -> Path:
    """A bundle whose default variant, onnx-fp32, gives other scores here than were written down for it."""
    spoil_golden(tiny_bundle, "onnx-fp32")
    return tiny_bundle


def test_another_calibrated_variant_takes_the_place_of_one_that_scores_differently_here(
    differing_default: Path,
) -> None:
    calibrate(differing_default, 0.4)
    calibrate(differing_default, 0.3, variant="openvino-fp32")
    with Detector.open(differing_default) as detector:
        verdict = detector.score(DARK)
    assert (verdict.variant, verdict.threshold, verdict.accepted) == ("openvino-fp32", 0.3, True)
    (why,) = detector.passed_over
    assert why.startswith("onnx-fp32 is not used: ")
    assert "gives other scores on this device" in why
    with pytest.raises(GoldenError):
        Detector.open(differing_default, "onnx-fp32")


def test_a_variant_that_is_not_calibrated_for_the_group_takes_no_place(differing_default: Path) -> None:
    calibrate(differing_default, 0.4, station="left")
    calibrate(differing_default, 0.3, station="right", variant="openvino-fp32")
    with pytest.raises(GoldenError):
        Detector.open(differing_default, station="left")
    calibrate(differing_default, 0.3, station="left", variant="openvino-fp32")
    with Detector.open(differing_default, station="left") as detector:
        assert detector.variant.id == "openvino-fp32"


def test_nothing_takes_the_place_of_a_variant_that_is_not_calibrated(differing_default: Path) -> None:
    calibrate(differing_default, 0.3, variant="openvino-fp32")
    with pytest.raises(GoldenError):
        Detector.open(differing_default)
    assert [one.id for one in Bundle.open(differing_default).choices()] == ["onnx-fp32"]
