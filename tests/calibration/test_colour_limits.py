"""Limits of colour: a gray frame where the normals are in colour, and the other way round, is no picture of a part."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from support import tiny

from edge_ad import Bundle, Detector, Reason, Verdict
from edge_ad.bundle import FrameLimits, write_calibrations
from edge_ad.cli import main

pytestmark = pytest.mark.usefixtures("undrawn")

PROMISE = ("--fpr", 0.1, "--confidence", 0.95)

Picture = NDArray[np.uint8]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(one) for one in arguments])


def gradient(level: float) -> Picture:
    """A part with some shading and texture in colour; its brightness is about ``level``."""
    texture = np.random.default_rng(round(level * 100)).integers(-60, 61, (48, 64, 3))
    shading = np.linspace(0.7, 1.3, 64)[None, :, None]
    return np.clip(level * shading + texture, 0, 255).astype(np.uint8)


NORMALS = [gradient(level) for level in np.random.default_rng(0).permutation(np.linspace(95, 125, 60))]


@pytest.fixture
def normals(tmp_path: Path) -> Path:
    return tiny.write_images(tmp_path / "normals", NORMALS)


def limits_of(bundle: Path) -> FrameLimits:
    opened = Bundle.open(bundle)
    record = opened.calibration(opened.variant())
    assert record is not None
    limits = record.stations["default"].frame_limits
    assert limits is not None
    return limits


def score(bundle: Path, *frames: Picture) -> list[Verdict]:
    with Detector.open(bundle) as detector:
        return [detector.score(frame) for frame in frames]


def as_gray(picture: Picture) -> Picture:
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), np.uint8)


def stored_in_three(gray: Picture) -> Picture:
    return np.asarray(cv2.cvtColor(gray, cv2.COLOR_GRAY2BGR), np.uint8)


def of_a_gray_video(gray: Picture, folder: Path) -> Picture:
    """What comes out of a Motion JPEG recording of it: the decoder leaves the channels some levels apart."""
    path = folder / "gray.avi"
    height, width = gray.shape
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (width, height))
    writer.write(stored_in_three(gray))
    writer.release()
    _, frame = cv2.VideoCapture(str(path)).read()
    return np.asarray(frame, np.uint8)


@pytest.mark.parametrize("n", [60, 30], ids=["quartiles", "median"])
def test_a_gray_frame_among_normals_in_colour_is_invalid(tiny_bundle: Path, tmp_path: Path, n: int) -> None:
    normals = tiny.write_images(tmp_path / "normals", NORMALS[:n])
    assert run("calibrate", tiny_bundle, "--normal", normals, *PROMISE).exit_code == 0
    gray = as_gray(NORMALS[3])
    verdicts = score(tiny_bundle, gray, stored_in_three(gray), of_a_gray_video(gray, tmp_path))
    assert [verdict.reason for verdict in verdicts] == [Reason.OUT_OF_RANGE] * 3
    for verdict in verdicts:
        assert str(verdict.detail).startswith("expected a frame in colour, found a gray one (a colour of ")
    (kept,) = score(tiny_bundle, NORMALS[3])
    assert kept.reason is None


@pytest.mark.parametrize("stored", [as_gray, lambda part: stored_in_three(as_gray(part))], ids=["one", "three"])
def test_a_frame_in_colour_among_gray_normals_is_invalid(
    tiny_bundle: Path, tmp_path: Path, stored: Callable[[Picture], Picture]
) -> None:
    normals = tiny.write_images(tmp_path / "normals", [stored(part) for part in NORMALS])
    assert run("calibrate", tiny_bundle, "--normal", normals, *PROMISE).exit_code == 0
    gray = as_gray(NORMALS[3])
    colour, *taken = score(tiny_bundle, NORMALS[3], gray, stored_in_three(gray), of_a_gray_video(gray, tmp_path))
    assert (colour.reason, colour.score) == (Reason.OUT_OF_RANGE, None)
    assert str(colour.detail).startswith("expected a gray frame, found one in colour (a colour of ")
    assert [verdict.reason for verdict in taken] == [None] * 3


def half_gray(parts: list[Picture]) -> list[Picture]:
    return [part if k % 2 else as_gray(part) for k, part in enumerate(parts)]


def test_few_normals_of_both_kinds_are_refused_in_words(tiny_bundle: Path, tmp_path: Path) -> None:
    normals = tiny.write_images(tmp_path / "normals", half_gray(NORMALS))
    done = run("calibrate", tiny_bundle, "--normal", normals, *PROMISE)
    assert done.exit_code == 2
    assert "so few normal images differ too much in colour for limits of it (normal images: 0 to 0." in done.output
    assert "--no-frame-limits colour" in done.output


def test_normals_of_both_kinds_allow_both(tiny_bundle: Path, tmp_path: Path) -> None:
    parts = [gradient(95 + k / 5) for k in range(160)]
    normals = tiny.write_images(tmp_path / "normals", half_gray(parts))
    done = run("calibrate", tiny_bundle, "--normal", normals, *PROMISE)
    assert done.exit_code == 0, done.output
    assert [verdict.reason for verdict in score(tiny_bundle, NORMALS[3], as_gray(NORMALS[3]))] == [None] * 2


def test_a_few_gray_normals_among_many_in_colour_are_named(tiny_bundle: Path, tmp_path: Path) -> None:
    odd = [stored_in_three(as_gray(part)) for part in NORMALS[:3]]
    normals = tiny.write_images(tmp_path / "normals", [*odd, *NORMALS[3:]])
    done = run("calibrate", tiny_bundle, "--normal", normals, *PROMISE)
    assert done.exit_code == 2
    assert "3 with a colour outside" in done.output
    assert "0000.png" in done.output
    assert "--no-frame-limits colour" in done.output
    switched_off = run("calibrate", tiny_bundle, "--normal", normals, *PROMISE, "--no-frame-limits", "colour")
    assert switched_off.exit_code == 0, switched_off.output


def test_a_darker_lamp_leaves_the_colour(tiny_bundle: Path, normals: Path) -> None:
    assert run("calibrate", tiny_bundle, "--normal", normals, *PROMISE).exit_code == 0
    (verdict,) = score(tiny_bundle, (NORMALS[0] // 2).astype(np.uint8))
    assert verdict.reason is None


def test_an_older_calibration_says_that_it_has_no_limits_of_colour(tiny_bundle: Path, normals: Path) -> None:
    assert run("calibrate", tiny_bundle, "--normal", normals, *PROMISE).exit_code == 0
    bundle = Bundle.open(tiny_bundle)
    record = bundle.calibration(bundle.variant())
    assert record is not None
    limits = limits_of(tiny_bundle)
    kept = {name: limit for name, limit in limits.values.items() if name != "colour"}
    older = msgspec.structs.replace(limits, values=kept)
    changed = msgspec.structs.replace(record.stations["default"], frame_limits=older)
    write_calibrations(bundle, bundle.variant(), {"default": changed})
    (verdict,) = score(tiny_bundle, as_gray(NORMALS[3]))
    assert verdict.reason is None
    told = "made by an earlier version and has no limits of colour"
    assert told in run("info", tiny_bundle).output
    assert run("score", tiny_bundle, normals).stderr.count(told) == 1
