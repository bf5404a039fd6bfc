"""Good parts that are taught: which count, what is made of them, and what is refused."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner
from support import tiny
from support.changed_bundle import change, spoil_golden
from support.taught import begin, order_of, taught_verdict, teach, teach_parts
from support.tiny_calibration import calibrate

from edge_ad.bundle import Bundle
from edge_ad.bundle.records import FixedCalibration, RankCalibration
from edge_ad.cli import main
from edge_ad.detector import Detector
from edge_ad.engines.processor import Processor
from edge_ad.errors import GoldenError, InputError
from edge_ad.teaching import (
    ChangedError,
    ExcludedPart,
    Proposal,
    RefusedCalibration,
    Regions,
    TeachingFolder,
    TeachingSettings,
    TeachingWriter,
    ThresholdOrder,
    calibrate_taught,
    is_version_of,
    normals_above,
    set_threshold,
)
from edge_ad.update import open_for_station
from edge_ad.verdict import Reason, State

VNNI = Processor("x86_64", frozenset({"avx2", "avx512_vnni"}))
WHOLE = Regions(width=64, height=48)


def changed(taught: TeachingFolder, **values: object) -> None:
    taught.change(taught.session().version, "anna", lambda one: msgspec.structs.replace(one, **values))


def proposed(bundle: Path, folder: Path) -> Proposal:
    told = calibrate_taught(order_of(bundle, folder))
    assert isinstance(told, Proposal), told
    return told


def test_a_bundle_without_a_calibration_accepts_nothing(tiny_bundle: Path) -> None:
    bundle = Bundle.open(tiny_bundle)
    with pytest.raises(InputError, match="is not calibrated"):
        open_for_station(bundle, None, None, "CPU", 1)
    with open_for_station(bundle, None, None, "CPU", 1, may_teach=True) as detector:
        verdicts = [detector.score(one) for one in tiny.frames(5)]
    assert {(one.state, one.reason) for one in verdicts} == {(State.INVALID, Reason.UNCALIBRATED)}


def test_a_group_without_thresholds_accepts_nothing(tiny_bundle: Path) -> None:
    calibrate(tiny_bundle, 10.0)
    with open_for_station(Bundle.open(tiny_bundle), None, "other", "CPU", 1, may_teach=True) as detector:
        assert detector.score(tiny.frames(1)[0]).reason is Reason.UNCALIBRATED


def test_what_was_taught_becomes_a_guarded_threshold(tiny_bundle: Path, tmp_path: Path) -> None:
    taught = teach_parts(tmp_path, 40)
    told = proposed(tiny_bundle, tmp_path)
    assert (told.parts, told.rank, told.rejected, told.before) == (40, 2, 1, None)
    made = Bundle.open(taught.proposed).calibration(Bundle.open(taught.proposed).variant())
    assert made is not None
    calibration = made.stations["default"]
    assert isinstance(calibration, RankCalibration)
    assert calibration.image.threshold == sorted(calibration.scores)[-2] == told.threshold
    with Detector.open(taught.proposed) as detector:
        good, bad = tiny.frames(1, seed=99)[0], tiny.spotted(tiny.frames(1, seed=98)[0], 20, 20)
        assert [detector.score(one).state for one in (good, bad)] == [State.ACCEPT, State.REJECT]


@pytest.mark.parametrize(
    ("targets", "processor"),
    [
        pytest.param(msgspec.UNSET, None, id="one-kind-of-cpu"),
        pytest.param({"x86-vnni": ("onnx-fp32", "openvino-fp32")}, VNNI, id="several-kinds"),
    ],
)
def test_the_variant_is_taught_that_scores_on_this_device(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, targets: object, processor: Processor | None
) -> None:
    monkeypatch.setattr("edge_ad.bundle.reader.this_processor", lambda: processor)
    taught = teach_parts(tmp_path, 24)
    spoil_golden(change(tiny_bundle, targets=targets), "onnx-fp32")
    with pytest.raises(GoldenError):  # nothing is calibrated that could take its place
        calibrate_taught(order_of(tiny_bundle, tmp_path))
    for variant in ("onnx-fp32", "openvino-fp32"):
        calibrate(tiny_bundle, 10.0, variant=variant)

    def teach_and_score() -> tuple[str, float, float | None]:
        told = proposed(tiny_bundle, tmp_path)
        with open_for_station(Bundle.open(taught.proposed), None, None, "CPU", 1) as detector:
            return detector.variant.id, told.threshold, detector.score(tiny.frames(1)[0]).threshold

    with ThreadPoolExecutor(1) as apart:  # OpenVINO flushes denormal numbers in the thread that opens it
        scores, taught_threshold, threshold = apart.submit(teach_and_score).result()
    assert (scores, threshold) == ("openvino-fp32", taught_threshold)
    assert taught_threshold < 10.0


@pytest.mark.slow
def test_the_same_numbers_as_on_the_workstation(tiny_bundle: Path, tmp_path: Path) -> None:
    from edge_ad_calibration import CalibrationRequest, calibrate_bundle

    teach_parts(tmp_path / "taught", 40)
    told = proposed(tiny_bundle, tmp_path / "taught")
    images = tiny.write_images(tmp_path / "images", tiny.frames(40, seed=3))
    result = calibrate_bundle(Bundle.open(tiny_bundle), [images], CalibrationRequest(alpha=0.1, confidence=0.9))
    assert result.image.threshold == told.threshold
    assert result.pixel is not None
    assert result.pixel.threshold == told.pixel_threshold
    assert result.frame_limits is not None
    assert tuple(result.frame_limits.lines) == told.limits


def test_too_few_parts_say_how_many_and_what_they_are_enough_for(tiny_bundle: Path, tmp_path: Path) -> None:
    taught = teach_parts(tmp_path, 15)
    told = calibrate_taught(order_of(tiny_bundle, tmp_path))
    assert isinstance(told, RefusedCalibration)
    assert (told.reason, told.parts, told.needed, told.rate) == ("too_few", 15, 22, 0.15)
    assert not taught.proposed.exists()


def test_every_good_part_counts_whatever_the_verdict_and_no_frame_that_is_no_picture_of_it(tmp_path: Path) -> None:
    taught = begin(tmp_path, 10)
    writer = TeachingWriter(TeachingSettings(folder=str(tmp_path)), "top", "a")
    picture = tiny.frames(1)[0]
    verdicts = {
        "accepted": taught_verdict(State.ACCEPT, None),
        "rejected": taught_verdict(State.REJECT, None),
        "too dark": taught_verdict(State.INVALID, Reason.OUT_OF_RANGE),
        "old": taught_verdict(State.INVALID, Reason.STALE),
        "frozen": taught_verdict(State.INVALID, Reason.FROZEN),
    }
    for part, verdict in verdicts.items():
        writer.observe(verdict, part, picture)
    writer.close()
    assert list(taught.parts()) == ["accepted", "rejected", "too dark"]


def test_teaching_goes_on_after_a_restart_and_ends_at_its_number(tmp_path: Path) -> None:
    taught = begin(tmp_path, 6)
    pictures = [(f"P-{number}", one) for number, one in enumerate(tiny.frames(10))]
    teach(tmp_path, pictures[:4])
    teach(tmp_path, pictures[4:])
    assert list(taught.parts()) == [f"P-{number}" for number in range(6)]


def test_frames_of_one_part_are_one_observation(tiny_bundle: Path, tmp_path: Path) -> None:
    begin(tmp_path, 25)
    teach(tmp_path, ((f"P-{number // 2}", one) for number, one in enumerate(tiny.frames(60))), frames_each=2)
    told = proposed(tiny_bundle, tmp_path)
    assert (told.parts, told.frames) == (25, 50)


def test_a_part_whose_frame_was_not_kept_does_not_count(tmp_path: Path) -> None:
    taught = begin(tmp_path, 10)
    big = np.random.default_rng(0).integers(0, 255, (700, 700, 3)).astype(np.uint8)
    writer = TeachingWriter(TeachingSettings(folder=str(tmp_path), limit_mb=1), "top", "a")
    writer.observe(taught_verdict(), "large", big)
    writer.close()
    assert taught.parts() == {}
    assert writer.error is not None
    assert "teaching.limit_mb = 1" in writer.error


@pytest.mark.slow
def test_parts_that_score_like_their_neighbours_show_no_guarantee(tiny_bundle: Path, tmp_path: Path) -> None:
    begin(tmp_path, 60)
    ramp = [np.full(tiny.FRAME, 20 + number, np.uint8) for number in range(60)]
    noise = np.random.default_rng(0).integers(0, 9, (60, *tiny.FRAME)).astype(np.uint8)
    teach(tmp_path, ((f"P-{number}", one + noise[number]) for number, one in enumerate(ramp)))
    told = proposed(tiny_bundle, tmp_path)
    assert told.reached is None
    assert told.doubt is not None
    assert "neighbouring parts score alike" in told.doubt


def test_a_part_that_was_taken_out_stands_in_the_record(tiny_bundle: Path, tmp_path: Path) -> None:
    taught = teach_parts(tmp_path, 24)
    worst = proposed(tiny_bundle, tmp_path).highest[0]
    changed(taught, excluded=(ExcludedPart(part=worst.part, reason="it is dirty", who="anna"),))
    told = proposed(tiny_bundle, tmp_path)
    assert told.parts == 23
    assert worst.part not in {one.part for one in told.highest}
    assert "If they were all good, the confidence is" in told.statements[-1]
    record = Bundle.open(taught.proposed).calibration(Bundle.open(taught.proposed).variant())
    assert record is not None
    assert record.stations["default"].exclusions[0].reason == "it is dirty (anna)"


def test_whoever_comes_second_is_told_who_was_first(tmp_path: Path) -> None:
    taught = begin(tmp_path, 10)
    with pytest.raises(ChangedError, match=r"anna changed this at .*: look at it again"):
        taught.change(0, "ben", lambda one: one)


def test_an_ignored_area_is_not_inspected_any_more(tiny_bundle: Path, tmp_path: Path) -> None:
    taught = teach_parts(tmp_path, 24)
    area = ((8, 8), (48, 8), (48, 40), (8, 40))
    changed(taught, regions=msgspec.structs.replace(WHOLE, ignored=(area,)))
    told = proposed(tiny_bundle, tmp_path)
    assert told.before is None  # scores of other regions cannot be compared
    bundle = Bundle.open(taught.proposed)
    assert bundle.manifest.version.startswith("1+")
    with Detector.open(bundle) as detector:
        plain = tiny.frames(1, seed=99)[0]
        hidden, seen = tiny.spotted(plain, 20, 16), tiny.spotted(plain, 52, 36)
        assert [detector.score(one).state for one in (plain, hidden, seen)] == [
            State.ACCEPT,
            State.ACCEPT,
            State.REJECT,
        ]


def test_a_region_of_interest_is_all_that_is_inspected(tiny_bundle: Path, tmp_path: Path) -> None:
    taught = teach_parts(tmp_path, 24)
    changed(taught, regions=msgspec.structs.replace(WHOLE, roi=(0, 0, 32, 48)))
    proposed(tiny_bundle, tmp_path)
    with Detector.open(taught.proposed) as detector:
        plain = tiny.frames(1, seed=99)[0]
        outside = tiny.spotted(plain, 50, 20)
        assert detector.score(outside).score == detector.score(plain).score
    version = Bundle.open(taught.proposed).manifest.version
    assert is_version_of(version, msgspec.structs.replace(WHOLE, roi=(0, 0, 32, 48)))
    assert not is_version_of(version, WHOLE)
    assert not is_version_of("1", WHOLE)


def test_regions_of_another_camera_are_refused(tiny_bundle: Path, tmp_path: Path) -> None:
    taught = teach_parts(tmp_path, 24)
    changed(taught, regions=Regions(width=640, height=480))
    with pytest.raises(InputError, match="drawn on 640x480 pixels, and frames have 64x48"):
        calibrate_taught(order_of(tiny_bundle, tmp_path))


def test_a_station_of_signed_bundles_takes_no_other_regions(tiny_bundle: Path, tmp_path: Path) -> None:
    changed(teach_parts(tmp_path, 24), regions=WHOLE)
    with pytest.raises(InputError, match="signed bundles only"):
        calibrate_taught(msgspec.structs.replace(order_of(tiny_bundle, tmp_path), is_signed=True))


def test_a_threshold_by_hand_promises_nothing(tiny_bundle: Path, tmp_path: Path) -> None:
    taught = teach_parts(tmp_path, 24)
    told = proposed(tiny_bundle, tmp_path)
    order = ThresholdOrder(
        bundle=str(taught.proposed), variant=None, calibration=None, target=str(tmp_path / "by-hand"),
        value=told.scores[20], reason="fewer escapes", who="anna",
    )  # fmt: skip
    copy = set_threshold(order)
    record = copy.calibration(copy.variant())
    assert record is not None
    made = record.stations["default"]
    assert isinstance(made, FixedCalibration)
    assert (made.image.threshold, made.image.above) == (told.scores[20], 3)
    assert made.doubt == "The threshold was set by hand by anna: fewer escapes"
    assert made.statements[0].startswith("Nothing is promised.")
    assert normals_above(made, told.threshold) == 0
    said = CliRunner().invoke(main, ["info", str(copy.path)]).output
    assert "nothing is promised: The threshold was set by hand by anna: fewer escapes" in said


def test_there_is_no_threshold_by_hand_without_a_calibration(tiny_bundle: Path, tmp_path: Path) -> None:
    order = ThresholdOrder(
        bundle=str(tiny_bundle), variant=None, calibration=None, target=str(tmp_path / "x"), value=1.0, reason="why",
        who="anna",
    )  # fmt: skip
    with pytest.raises(InputError, match="has no threshold to change"):
        set_threshold(order)
