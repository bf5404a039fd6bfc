"""Basler cameras, by pylon's emulator, which needs no camera."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.capturing import Driver, camera

from edge_ad.cameras import CameraSettings, CameraState
from edge_ad.sources import read_image

pytest.importorskip("pypylon", reason="needs the extra basler")


@pytest.fixture(autouse=True)
def emulator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYLON_CAMEMU", "1")


def settings(**changes: Any) -> CameraSettings:
    known: dict[str, Any] = {"source": "basler:", "stale_after_s": 10.0}
    return CameraSettings(**(known | changes))


def causes(driver: Driver) -> str:
    return " ".join(status.detail or "" for status in driver.statuses)


@pytest.mark.parametrize(
    ("pixel_format", "channels"),
    [("Mono8", 1), ("Mono12", 1), ("BayerRG8", 3), ("BGR8", 3)],
)
@pytest.mark.parametrize("trigger", ["free", "software"])
def test_every_format_in_both_modes(pixel_format: str, channels: int, trigger: str) -> None:
    wanted = {"pixel_format": pixel_format, "trigger": trigger, "width": 320, "height": 240, "exposure_us": 5000.0}
    with camera(settings(**wanted, fps=20.0)) as driver:
        numbers: list[int | None] = [None] * 4
        if trigger == "software":
            numbers = [driver.trigger(number).trigger for number in range(10, 14)]
        driver.until(lambda: len(driver.frames) >= 4)
        assert [frame.trigger for frame in driver.frames[:4]] == numbers
        assert {(frame.height, frame.width, frame.channels) for frame in driver.frames} == {(240, 320, channels)}
        assert {frame.exposure_us for frame in driver.frames} == {5000.0}
        assert {frame.damaged for frame in driver.frames} == {None}
        found = driver.statuses[0].settings
        assert {name: found[name] for name in wanted} == wanted
        counters = [frame.camera_counter or 0 for frame in driver.frames[:4]]
        lost = [frame.lost_before for frame in driver.frames[:4]]
        assert np.diff(counters).tolist() == [1 + one for one in lost[1:]]


def test_buffers_that_fail_are_damaged_frames() -> None:
    failing = {"ForceFailedBufferCount": 3, "ForceFailedBuffer": True}
    with camera(settings(trigger="software", features=failing)) as driver:
        answers = [driver.trigger(number) for number in range(5)]
        said = "the frame did not arrive whole: The buffer was incompletely grabbed."
        assert [frame.damaged for frame in answers] == [said] * 3 + [None] * 2
        assert [frame.trigger for frame in answers] == list(range(5))


@pytest.mark.shared
def test_the_pictures_of_files_arrive_to_the_pixel(tmp_path: Path, shared: Path) -> None:
    files = sorted((shared / "data" / "cookies" / "train" / "good").iterdir())[:4]
    for file in files:
        (tmp_path / file.name).symlink_to(file)
    pictures = {"TestImageSelector": "Off", "ImageFileMode": "On", "ImageFilename": str(tmp_path)}
    wanted = settings(trigger="software", pixel_format="BGR8", width=576, height=768, features=pictures)
    expected = [read_image(file) for file in files]
    with camera(wanted) as driver:
        for number in range(4):
            driver.trigger(number)
        assert [np.array_equal(*pair) for pair in zip(driver.pixels, expected, strict=True)] == [True] * 4


@pytest.mark.parametrize(
    ("changes", "state", "said"),
    [
        pytest.param({"source": "basler:99"}, CameraState.LOST, "no Basler camera 99: there are 0815-", id="other"),
        pytest.param({"exposure_us": 1e12}, CameraState.REFUSED, "does not take 1000000000000.0", id="exposure"),
        pytest.param({"features": {"NoSuch": 1}}, CameraState.REFUSED, "does not take 1 for NoSuch", id="feature"),
    ],
)
def test_what_cannot_be_done_is_said(changes: dict[str, Any], state: CameraState, said: str) -> None:
    with camera(settings(**changes)) as driver:
        driver.until_state(state)
        assert said in causes(driver)


def test_of_several_cameras_one_must_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYLON_CAMEMU", "2")
    with camera(settings()) as driver:
        driver.until_state(CameraState.REFUSED)
        assert "0815-0000, 0815-0001: add a serial number" in causes(driver)
    with camera(settings(source="basler:0815-0001")) as driver:
        driver.until(lambda: driver.frames)
        assert driver.statuses[0].settings["serial"] == "0815-0001"


@pytest.mark.shared
def test_no_trigger_is_lost_that_follows_a_frame_at_once(shared: Path) -> None:
    pictures = str(shared / "data" / "cookies" / "train" / "good")
    features = {"TestImageSelector": "Off", "ImageFileMode": "On", "ImageFilename": pictures}
    wanted = settings(trigger="software", pixel_format="BGR8", width=576, height=768, features=features)
    with camera(wanted) as driver:
        assert [driver.trigger(number).trigger for number in range(50)] == list(range(50))
