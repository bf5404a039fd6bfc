"""One call: normals in, a sealed calibration in the bundle out, or the bundle as it was."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray
from support import tiny
from support.calibrating import ranked

from edge_ad.bundle import Bundle, pack
from edge_ad.bundle.seal import sealed_json
from edge_ad.detector import Detector
from edge_ad.errors import (
    BundleError,
    CalibrationError,
    GoldenError,
    InputError,
    NotEnoughNormalsError,
    OutputError,
)
from edge_ad.verdict import State
from edge_ad_calibration import CalibrationRequest, calibrate_bundle
from edge_ad_calibration.request import CalibrationOutputs

pytestmark = pytest.mark.usefixtures("undrawn")

REQUEST = CalibrationRequest(alpha=0.1, confidence=0.95)
RECORD = "variants/onnx-fp32/calibration.json"
PICTURE = "variants/onnx-fp32/calibration.png"


@pytest.fixture
def normals(tmp_path: Path, frames: list[NDArray[np.uint8]]) -> Path:
    return tiny.write_images(tmp_path / "normals", frames)


def calibrated(path: Path, station: str | None = None) -> Detector:
    return Detector.open(path, station=station)


def test_the_rank_is_exact_and_the_detector_decides_by_it(
    tiny_bundle: Path, normals: Path, frames: list[NDArray[np.uint8]]
) -> None:
    result = calibrate_bundle(Bundle.open(tiny_bundle), [normals], REQUEST)
    # P(Bin(60, 0.1) >= 3) = 0.947, >= 2) = 0.986
    assert (ranked(result.image).rank, result.image.n) == (2, 60)
    assert result.confidence_reached == pytest.approx(0.98622, abs=1e-5)
    with calibrated(tiny_bundle) as detector:
        states = [detector.score(frame).state for frame in frames]
        defect = detector.score(tiny.spotted(frames[0], 10, 10))
    assert states.count(State.REJECT) == 1
    assert states.count(State.ACCEPT) == 59
    assert defect.state is State.REJECT
    assert defect.regions != ()


def test_at_most_rank_minus_one_normals_show_a_region(
    tiny_bundle: Path, normals: Path, frames: list[NDArray[np.uint8]]
) -> None:
    result = calibrate_bundle(Bundle.open(tiny_bundle), [normals], REQUEST)
    assert result.pixel is not None
    with calibrated(tiny_bundle) as detector:
        marked = sum(detector.score(frame).regions != () for frame in frames)
    assert marked == ranked(result.pixel).rank - 1


def test_the_record_holds_what_a_later_reader_needs(tiny_bundle: Path, normals: Path) -> None:
    bundle = Bundle.open(tiny_bundle)
    result = calibrate_bundle(bundle, [normals], REQUEST)
    record = bundle.calibration(bundle.variant())
    assert record is not None
    assert record.artefact_sha256 == bundle.artefact_sha256(bundle.variant())
    made = record.stations["default"]
    assert made.scores == tuple(sorted(made.scores))
    assert len(made.scores) == made.image.n == 60
    assert made.scores[-ranked(made.image).rank] == made.image.threshold == result.image.threshold
    assert (made.alpha, made.confidence, made.observation) == (0.1, 0.95, "frame")


def test_the_same_normals_give_the_same_thresholds(tiny_bundle: Path, normals: Path) -> None:
    bundle = Bundle.open(tiny_bundle)
    first, second = (calibrate_bundle(bundle, [normals], REQUEST) for _ in range(2))
    assert msgspec.structs.replace(second, replaced=None) == first
    assert second.replaced == 1


def test_stations_and_variants_are_calibrated_one_by_one(tiny_bundle: Path, normals: Path, tmp_path: Path) -> None:
    bundle = Bundle.open(tiny_bundle)
    brighter = tiny.write_images(tmp_path / "brighter", [frame + 60 for frame in tiny.frames(60, seed=1)])
    first = calibrate_bundle(bundle, [normals], REQUEST)
    line2 = calibrate_bundle(bundle, [brighter], CalibrationRequest(alpha=0.1, confidence=0.95, station="line2"))
    assert first.uncalibrated == ("openvino-fp32",)
    assert Path(line2.plot).name == "calibration-line2.png"
    with calibrated(tiny_bundle) as default, calibrated(tiny_bundle, "line2") as other:
        assert default.calibration is not None
        assert other.calibration is not None
        assert default.calibration.image == first.image
        assert other.calibration.image == line2.image
    second = calibrate_bundle(
        bundle, [normals], CalibrationRequest(alpha=0.1, confidence=0.95, variant="openvino-fp32")
    )
    assert second.uncalibrated == ()
    assert second.image.threshold == pytest.approx(first.image.threshold, rel=1e-4)


def test_a_calibration_of_another_artefact_is_replaced(tiny_bundle: Path, normals: Path) -> None:
    bundle = Bundle.open(tiny_bundle)
    calibrate_bundle(bundle, [normals], CalibrationRequest(alpha=0.1, confidence=0.95, variant="openvino-fp32"))
    stale = (tiny_bundle / "variants/openvino-fp32/calibration.json").read_bytes()
    (tiny_bundle / RECORD).write_bytes(stale)
    with pytest.raises(CalibrationError, match="made for another variant"):
        calibrated(tiny_bundle)
    calibrate_bundle(bundle, [normals], REQUEST)
    with calibrated(tiny_bundle) as detector:
        assert detector.calibration is not None


def test_too_few_normals_are_refused_before_any_is_read(tiny_bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    for index in range(14):
        (folder / f"{index}.png").touch()
    with pytest.raises(NotEnoughNormalsError, match=r"14 normals were given; .* needs at least 2,995"):
        calibrate_bundle(Bundle.open(tiny_bundle), [folder], CalibrationRequest(alpha=0.001, confidence=0.95))


def test_copies_do_not_help_to_reach_the_number(tiny_bundle: Path, tmp_path: Path) -> None:
    twice = tiny.write_images(tmp_path / "twice", tiny.frames(20) * 2)
    with pytest.raises(NotEnoughNormalsError, match=r"^20 normals were given; .* needs at least 29"):
        calibrate_bundle(Bundle.open(tiny_bundle), [twice], REQUEST)


def test_constant_scores_are_refused(tiny_bundle: Path, tmp_path: Path) -> None:
    black = [np.zeros((48, 64 + index, 3), np.uint8) for index in range(30)]  # thirty sizes: no copies
    folder = tiny.write_images(tmp_path / "black", black)
    with pytest.raises(InputError, match="the score of all 30 normals is 0"):
        calibrate_bundle(Bundle.open(tiny_bundle), [folder], REQUEST)


def test_a_packed_bundle_is_refused(tiny_bundle: Path, normals: Path, tmp_path: Path) -> None:
    packed = pack(Bundle.open(tiny_bundle), tmp_path / "tiny.zip")
    with pytest.raises(InputError, match="is packed: run  edge-ad unpack"):
        calibrate_bundle(Bundle.open(packed), [normals], REQUEST)


def test_a_machine_that_scores_otherwise_calibrates_nothing(tmp_path: Path, normals: Path) -> None:
    path = tiny.write_bundle(tmp_path / "other")
    manifest = Bundle.open(path).manifest
    swapped = msgspec.structs.replace(manifest.golden, frames=manifest.golden.frames[::-1])
    (path / "manifest.json").write_bytes(sealed_json(msgspec.structs.replace(manifest, golden=swapped)))
    with pytest.raises(GoldenError, match="gives other scores on this device"):
        calibrate_bundle(Bundle.open(path), [normals], REQUEST)
    assert not (path / RECORD).exists()


def test_a_changed_model_file_is_refused(tiny_bundle: Path, normals: Path) -> None:
    model = tiny_bundle / "variants/onnx-fp32/model.onnx"
    model.write_bytes(model.read_bytes()[:-1] + b"?")
    with pytest.raises(BundleError, match=r"model\.onnx .* was changed"):
        calibrate_bundle(Bundle.open(tiny_bundle), [normals], REQUEST)


@pytest.mark.parametrize("victim", [PICTURE, RECORD])
def test_a_full_disk_leaves_the_previous_calibration(
    tiny_bundle: Path, normals: Path, monkeypatch: pytest.MonkeyPatch, victim: str
) -> None:
    bundle = Bundle.open(tiny_bundle)
    calibrate_bundle(bundle, [normals], REQUEST)
    before = (tiny_bundle / RECORD).read_bytes()
    files = sorted(tiny_bundle.rglob("*"))
    replace = os.replace

    def full(source: str | Path, target: str | Path) -> None:
        if Path(target) == tiny_bundle / victim:
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OutputError, match="the disk is full"):
        calibrate_bundle(bundle, [normals], CalibrationRequest(alpha=0.2, confidence=0.95))
    assert (tiny_bundle / RECORD).read_bytes() == before
    assert sorted(tiny_bundle.rglob("*")) == files


def test_ctrl_c_leaves_the_previous_calibration(tiny_bundle: Path, normals: Path) -> None:
    bundle = Bundle.open(tiny_bundle)
    calibrate_bundle(bundle, [normals], REQUEST)
    before = (tiny_bundle / RECORD).read_bytes()

    @contextmanager
    def pressed(total: int) -> Iterator[Callable[[int], object]]:
        done = 0

        def advance(count: int) -> None:
            nonlocal done
            done += count
            if done == 40:
                raise KeyboardInterrupt

        yield advance

    with pytest.raises(KeyboardInterrupt):
        calibrate_bundle(bundle, [normals], CalibrationRequest(alpha=0.2, confidence=0.95), progress=pressed)
    assert (tiny_bundle / RECORD).read_bytes() == before


def test_a_picture_without_a_folder_is_refused_before_scoring(tiny_bundle: Path, normals: Path) -> None:
    request = CalibrationRequest(
        alpha=0.1, confidence=0.95, outputs=CalibrationOutputs(plot=tiny_bundle / "absent/plot.png")
    )
    with pytest.raises(InputError, match="its folder does not exist"):
        calibrate_bundle(Bundle.open(tiny_bundle), [normals], request)


@pytest.mark.parametrize(
    ("alpha", "confidence", "station", "expected"),
    [
        pytest.param(1.0, 0.95, "a", "false-reject rate must be a fraction", id="percent as the rate"),
        pytest.param(0.01, 95.0, "a", "confidence must be a fraction", id="percent as the confidence"),
        pytest.param(0.01, 0.05, "a", r"promises nothing: .* did you mean 0\.95\?", id="risk as the confidence"),
        pytest.param(0.01, 0.95, "line 2", "'line 2' cannot name a group", id="space in a station"),
        pytest.param(0.01, 0.95, "../x", "cannot name a group", id="path as a station"),
        pytest.param(0.01, 0.95, "", "cannot name a group", id="empty station"),
    ],
)
def test_requests_that_make_no_sense_are_refused(alpha: float, confidence: float, station: str, expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        CalibrationRequest(alpha=alpha, confidence=confidence, station=station)


@pytest.mark.shared
def test_real_photographs_with_the_figures_of_the_readme(tiny_bundle: Path, shared: Path) -> None:
    cookies = shared / "data/cookies/test/good"
    bundle = Bundle.open(tiny_bundle)
    result = calibrate_bundle(bundle, [cookies], CalibrationRequest(alpha=0.2, confidence=0.9))
    assert (ranked(result.image).rank, result.image.n) == (1, 14)
    with pytest.raises(NotEnoughNormalsError, match="2,995"):
        calibrate_bundle(bundle, [cookies], CalibrationRequest(alpha=0.001, confidence=0.95))
