"""Limits of frames: learned with the thresholds, kept by the device, counted into the promise."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from support import tiny, tiny_clips

from edge_ad import Bundle, Detector, Reason, State, Verdict
from edge_ad.bundle import FrameLimit, FrameLimits, write_calibrations
from edge_ad.bundle.records import Clip, FrameSize, Geometry, Resize
from edge_ad.cli import main
from edge_ad.errors import InputError
from edge_ad.thresholds.frame_limits import LIMIT_NAMES
from edge_ad.thresholds.order_statistic import attained_confidence
from edge_ad_calibration import CalibrationRequest

pytestmark = pytest.mark.usefixtures("undrawn")

PROMISE = ("--fpr", 0.1, "--confidence", 0.95)

Picture = NDArray[np.uint8]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(one) for one in arguments])


def gradient(level: float) -> Picture:
    """A part with some shading and texture; its brightness is about ``level``."""
    texture = np.random.default_rng(round(level * 100)).integers(-60, 61, (48, 64, 3))
    shading = np.linspace(0.7, 1.3, 64)[None, :, None]
    return np.clip(level * shading + texture, 0, 255).astype(np.uint8)


NORMALS = [gradient(level) for level in np.random.default_rng(0).permutation(np.linspace(95, 125, 60))]
BLACK, WHITE, GRAY = (np.full((48, 64, 3), value, np.uint8) for value in (0, 255, 110))
DARK_NOISE = np.random.default_rng(0).integers(0, 5, (48, 64, 3), np.uint8)
# With the brightness and the shading of a part, but not one edge.
BLURRED = np.asarray(cv2.GaussianBlur(gradient(110), (0, 0), 6), np.uint8)


@pytest.fixture
def normals(tmp_path: Path) -> Path:
    return tiny.write_images(tmp_path / "normals", NORMALS)


@pytest.fixture
def any_size(tmp_path: Path) -> Path:
    """A bundle that takes frames of any size."""
    return tiny.write_bundle(tmp_path / "any", Geometry(resize=Resize(width=tiny.SIZE, height=tiny.SIZE)))


def limits_of(bundle: Path) -> FrameLimits:
    opened = Bundle.open(bundle)
    record = opened.calibration(opened.variant())
    assert record is not None
    limits = record.stations["default"].frame_limits
    assert limits is not None
    return limits


def score(bundle: Path, *frames: Picture, limits: FrameLimits | None = None) -> list[Verdict]:
    with Detector.open(bundle, frame_limits=limits) as detector:
        return [detector.score(frame) for frame in frames]


@pytest.mark.parametrize(
    ("frame", "value"),
    [
        pytest.param(BLACK, "brightness", id="lamp off"),
        pytest.param(DARK_NOISE, "brightness", id="noise of a sensor"),
        pytest.param(WHITE, "brightness", id="white"),
        pytest.param(GRAY, "contrast", id="gray"),
        pytest.param(BLURRED, "sharpness", id="out of focus"),
    ],
)
def test_a_frame_that_is_no_picture_of_a_part_is_invalid(
    tiny_bundle: Path, normals: Path, frame: Picture, value: str
) -> None:
    assert run("calibrate", tiny_bundle, "--normal", normals, *PROMISE).exit_code == 0
    (verdict,) = score(tiny_bundle, frame)
    limit = limits_of(tiny_bundle).values[value]  # type: ignore[index]
    assert (verdict.state, verdict.reason, verdict.score) == (State.INVALID, Reason.OUT_OF_RANGE, None)
    assert verdict.detail is not None
    assert verdict.detail.startswith(f"expected a {value} of {limit.text}, found ")
    assert not verdict.accepted


def test_normals_are_within_the_limits(tiny_bundle: Path, normals: Path) -> None:
    assert run("calibrate", tiny_bundle, "--normal", normals, *PROMISE).exit_code == 0
    states = [verdict.state for verdict in score(tiny_bundle, *NORMALS)]
    assert State.INVALID not in states
    limits = limits_of(tiny_bundle)
    brightness = limits.values["brightness"]
    assert brightness.seen_lowest == pytest.approx(95, abs=2)
    assert brightness.seen_highest == pytest.approx(125, abs=2)
    assert brightness.lowest is not None
    assert brightness.highest is not None
    assert 5 < brightness.lowest < 40
    assert 190 < brightness.highest < 245


def test_size_has_no_limits_where_the_bundle_fixes_it(tmp_path: Path, normals: Path) -> None:
    geometry = Geometry(frame=FrameSize(width=64, height=48), resize=Resize(width=tiny.SIZE, height=tiny.SIZE))
    bundle = tiny.write_bundle(tmp_path / "fixed", geometry)
    assert run("calibrate", bundle, "--normal", normals, *PROMISE).exit_code == 0
    assert set(limits_of(bundle).values) == {"brightness", "contrast", "sharpness", "colour"}


def test_the_engine_does_not_run_for_a_refused_frame(
    tiny_bundle: Path, normals: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("calibrate", tiny_bundle, "--normal", normals, *PROMISE).exit_code == 0
    with Detector.open(tiny_bundle) as detector:
        ran: list[str] = []
        original = detector.scorer.engine.run

        def counted() -> object:
            ran.append("run")
            return original()

        monkeypatch.setattr(detector.scorer.engine, "run", counted)
        detector.score(BLACK)
        assert ran == []
        detector.score(NORMALS[0])
        assert ran == ["run"]


@pytest.mark.parametrize(("width", "height"), [(2, 2), (248, 1), (640, 480)])
def test_sizes_far_from_those_seen_are_invalid(any_size: Path, normals: Path, width: int, height: int) -> None:
    assert run("calibrate", any_size, "--normal", normals, *PROMISE).exit_code == 0
    resized = np.asarray(cv2.resize(NORMALS[3], (width, height)), np.uint8)
    (verdict,) = score(any_size, resized)
    assert verdict.reason is Reason.OUT_OF_RANGE
    assert " pixels, found " in str(verdict.detail)


def test_sizes_near_those_seen_are_taken(any_size: Path, normals: Path) -> None:
    assert run("calibrate", any_size, "--normal", normals, *PROMISE).exit_code == 0
    resized = np.asarray(cv2.resize(NORMALS[3], (90, 60)), np.uint8)
    (verdict,) = score(any_size, resized)
    assert verdict.reason is None
    width = limits_of(any_size).values["width"]
    assert (width.seen_lowest, width.seen_highest) == (64, 64)


@pytest.mark.parametrize("name", [*LIMIT_NAMES, "all"])
def test_limits_are_switched_off_by_name_and_that_is_said(
    any_size: Path, normals: Path, name: str, tmp_path: Path
) -> None:
    done = run("calibrate", any_size, "--normal", normals, *PROMISE, "--no-frame-limits", name)
    assert done.exit_code == 0, done.output
    off = {"size": {"width", "height"}, "all": {"brightness", "contrast", "sharpness", "colour", "width", "height"}}
    limits = limits_of(any_size)
    assert set(limits.off) == off.get(name, {name})
    assert set(limits.off.values()) == {"switched off"}
    assert not set(limits.off) & set(limits.values)
    picture = tiny.write_images(tmp_path / "one", NORMALS[:1])
    for said in (done.output, run("info", any_size).output, run("score", any_size, picture).stderr):
        assert "(switched off)" in said


def test_without_brightness_a_black_frame_falls_to_contrast(tiny_bundle: Path, normals: Path) -> None:
    names = ("brightness", "contrast", "sharpness", "colour")
    asked = [text for name in names for text in ("--no-frame-limits", name)]
    assert run("calibrate", tiny_bundle, "--normal", normals, *PROMISE, *asked).exit_code == 0
    (verdict,) = score(tiny_bundle, BLACK)
    assert verdict.state is State.ACCEPT


def test_an_older_calibration_opens_and_says_that_it_has_none(tiny_bundle: Path, normals: Path) -> None:
    assert run("calibrate", tiny_bundle, "--normal", normals, *PROMISE).exit_code == 0
    bundle = Bundle.open(tiny_bundle)
    record = bundle.calibration(bundle.variant())
    assert record is not None
    older = msgspec.structs.replace(record.stations["default"], frame_limits=None)
    write_calibrations(bundle, bundle.variant(), {"default": older})
    (verdict,) = score(tiny_bundle, BLACK)
    assert verdict.state is State.ACCEPT
    told = "made by an earlier version and has no limits of frames"
    assert told in run("info", tiny_bundle).output
    scored = run("score", tiny_bundle, normals)
    assert scored.stderr.count(told) == 1


def test_info_shows_them(any_size: Path, normals: Path) -> None:
    assert run("calibrate", any_size, "--normal", normals, *PROMISE).exit_code == 0
    text = run("info", any_size).output
    assert "limits of frames:" in text
    assert f"  brightness {limits_of(any_size).values['brightness'].text} (normal images: 9" in text
    answer = json.loads(run("info", any_size, "--json").output)
    found = answer["calibrations"]["onnx-fp32"]["default"]["frame_limits"]["values"]
    assert set(found) == {"brightness", "contrast", "sharpness", "colour", "width", "height"}
    assert set(found["contrast"]) == {"lowest", "highest", "seen_lowest", "seen_highest"}


def test_the_page_has_a_table_of_them(any_size: Path, normals: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    asked = ("--report", page, "--no-frame-limits", "sharpness")
    assert run("calibrate", any_size, "--normal", normals, *PROMISE, *asked).exit_code == 0
    text = page.read_text()
    assert "Limits of frames" in text
    assert limits_of(any_size).values["contrast"].text in text
    assert "none: switched off" in text


def test_a_few_odd_normals_count_as_rejected(tiny_bundle: Path, tmp_path: Path) -> None:
    # P(Bin(60, 0.1) >= r) >= 0.95 holds up to r = 2: one of the normals may be rejected.
    normals = tiny.write_images(tmp_path / "normals", [*NORMALS[1:], BLACK])
    done = run("calibrate", tiny_bundle, "--normal", normals, *PROMISE)
    assert done.exit_code == 0, done.output
    assert "normals outside the limits of frames are counted as rejected: 1 with a brightness outside" in done.output
    assert limits_of(tiny_bundle).outside == 1
    # That one is used up: the highest score is the threshold, and every other normal passes.
    states = [verdict.state for verdict in score(tiny_bundle, *NORMALS[1:])]
    assert states.count(State.ACCEPT) == 59


def test_too_many_odd_normals_are_refused_with_their_names(tiny_bundle: Path, tmp_path: Path) -> None:
    normals = tiny.write_images(tmp_path / "normals", [*NORMALS[2:], BLACK, WHITE])
    done = run("calibrate", tiny_bundle, "--normal", normals, *PROMISE)
    assert done.exit_code == 2
    assert "2 of 60 normal frames lie outside the limits that frames would get" in done.output
    assert "0058.png" in done.output
    assert "--no-frame-limits brightness --no-frame-limits contrast" in done.output
    assert not (tiny_bundle / "variants/onnx-fp32/calibration.json").exists()


def test_too_few_normals_for_limits_is_said(tiny_bundle: Path, tmp_path: Path) -> None:
    normals = tiny.write_images(tmp_path / "normals", NORMALS[::4])
    done = run("calibrate", tiny_bundle, "--normal", normals, "--fpr", 0.2, "--confidence", 0.95)
    assert done.exit_code == 0, done.output
    assert (
        "no limits of brightness, contrast, sharpness, colour, width and height (too few normals: 22 are needed)"
        in done.output
    )
    assert limits_of(tiny_bundle).values == {}


def test_the_confidence_that_is_said_pays_for_the_limits(tiny_bundle: Path, normals: Path) -> None:
    done = run("calibrate", tiny_bundle, "--normal", normals, *PROMISE, "--json")
    answer = json.loads(done.stdout)
    bundle = Bundle.open(tiny_bundle)
    record = bundle.calibration(bundle.variant())
    assert record is not None
    reached = attained_confidence(record.stations["default"].image, 0.1)  # type: ignore[arg-type]
    risk = limits_of(tiny_bundle).risk
    assert risk == pytest.approx(1e-4 * 0.05)
    assert answer["confidence_reached"] == reached - risk
    assert answer["confidence_reached"] >= 0.95
    assert any("this counts as a reject" in sentence for sentence in answer["statements"])


def test_limits_of_ones_own_take_their_place(tiny_bundle: Path, normals: Path) -> None:
    assert run("calibrate", tiny_bundle, "--normal", normals, *PROMISE).exit_code == 0
    own = FrameLimits(values={"brightness": FrameLimit(lowest=105.0)})
    dim, bright = score(tiny_bundle, gradient(97), gradient(115), limits=own)
    assert dim.reason is Reason.OUT_OF_RANGE
    assert bright.reason is None


def test_a_clip_with_a_dark_frame_is_not_scored(tmp_path: Path) -> None:
    bundle = tiny_clips.write_bundle(tmp_path / "clips", "predict", Clip(length=3, covers="last"))
    calm = tiny_clips.calm(60)
    video = tiny_clips.write_video(tmp_path / "a.avi", calm)
    done = run("calibrate", bundle, "--normal", video, "--fpr", 0.2, "--confidence", 0.8)
    assert done.exit_code == 0, done.output
    frames = [*calm[:10], np.zeros_like(calm[0]), *calm[10:14]]
    reasons = [verdict.reason for verdict in score(bundle, *frames)]
    assert reasons[10] is Reason.OUT_OF_RANGE
    assert reasons[11:13] == [Reason.INCOMPLETE_CLIP] * 2
    assert reasons[13] is None


def test_objects_have_limits_of_their_own(tmp_path: Path) -> None:
    geometry = Geometry(resize=Resize(width=tiny.SIZE, height=tiny.SIZE), level="object")
    bundle = tiny.write_bundle(tmp_path / "objects", geometry)
    normals = tiny.write_images(tmp_path / "normals", NORMALS)
    assert run("calibrate", bundle, "--normal", normals, *PROMISE).exit_code == 0
    (dark,) = score_objects(bundle, np.hstack([NORMALS[0], BLACK]))
    assert dark.reason is Reason.OUT_OF_RANGE
    assert str(dark.detail).startswith("object 2 of 2, 64x48 at (64, 0): expected a brightness of ")


def score_objects(bundle: Path, frame: Picture) -> list[Verdict]:
    from edge_ad import Box

    with Detector.open(bundle) as detector:
        return [detector.score(frame, objects=[Box(0, 0, 64, 48), Box(64, 0, 64, 48)])]


def test_an_evaluation_counts_refused_images_as_rejected(tiny_bundle: Path, normals: Path, tmp_path: Path) -> None:
    assert run("calibrate", tiny_bundle, "--normal", normals, *PROMISE).exit_code == 0
    # The model scores brightness: a black part scores lower than any normal one.
    tiny.write_images(tmp_path / "data/good", [*NORMALS[:9], BLACK])
    tiny.write_images(tmp_path / "data/dark", [BLACK + 1, DARK_NOISE])
    done = run("evaluate", tiny_bundle, "--data", tmp_path / "data", "--json")
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    confusion = answer["calibrated"]["confusion"]
    assert (confusion["true_positives"], confusion["false_negatives"]) == (2, 0)
    assert confusion["false_positives"] >= 1
    assert answer["types"][0]["recall"]["value"] == 1.0
    assert any("3 of 12 images are outside the calibration's limits of frames" in note for note in answer["notes"])


def test_a_name_that_has_no_limits_is_refused() -> None:
    with pytest.raises(InputError, match="no limits of 'hue' to go without: expected brightness, contrast, "):
        CalibrationRequest(no_limits=("hue",))
