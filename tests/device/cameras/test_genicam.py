"""GenICam cameras through harvesters, by the producer of simulated cameras in the package genicam."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from support.capturing import Driver, camera

from edge_ad.cameras import CameraSettings, CameraState

pytest.importorskip("harvesters", reason="needs the extra genicam")


def producer() -> Path:
    found = importlib.util.find_spec("genicam")
    folders = found.submodule_search_locations if found else None
    path = Path(folders[0] if folders else "genicam") / "viky.cti"
    if not path.exists():
        pytest.skip("needs a genicam package with the producer viky.cti, 1.5 or newer")
    return path


def settings(serial: str = "#1", **changes: Any) -> CameraSettings:
    known: dict[str, Any] = {"source": f"genicam:{producer()}{serial}", "stale_after_s": 10.0}
    return CameraSettings(**(known | changes))


def causes(driver: Driver) -> str:
    return " ".join(status.detail or "" for status in driver.statuses)


@pytest.mark.parametrize("trigger", ["free", "software"])
@pytest.mark.parametrize("serial", ["#0", "#1", "#2"])
def test_each_of_the_three_cameras_gives_frames(serial: str, trigger: str) -> None:
    with camera(settings(serial, trigger=trigger)) as driver:
        numbers: list[int | None] = [None] * 4
        if trigger == "software":
            numbers = [driver.trigger(number).trigger for number in range(4)]
        driver.until(lambda: len(driver.frames) >= 4)
        assert [frame.trigger for frame in driver.frames[:4]] == numbers
        assert {pixels.shape for pixels in driver.pixels} == {(400, 400, 3)}
        found = driver.statuses[0].settings
        assert (found["serial"], found["pixel_format"], found["trigger"]) == (serial[1:], "RGBa8", "free")


def test_alpha_is_dropped_and_the_order_is_blue_green_red() -> None:
    """The ball of camera 2 is blue, on white."""
    with camera(settings("#2")) as driver:
        driver.until(lambda: driver.frames)
        blue, green, red = (int(driver.pixels[0][..., channel].min()) for channel in range(3))
        assert blue > max(green, red)


@pytest.mark.parametrize(
    ("serial", "changes", "state", "said"),
    [
        pytest.param("", {}, CameraState.REFUSED, "expected one camera, but the producer knows 0, 1, 2", id="which"),
        pytest.param("#7", {}, CameraState.LOST, "no GenICam camera 7", id="other"),
        pytest.param("#1", {"trigger": "hardware"}, CameraState.REFUSED, "the camera says free", id="no-line"),
        pytest.param("#1", {"gain": 2.0}, CameraState.REFUSED, "gain: expected 2.0, but a camera", id="gain"),
        pytest.param("#1", {"source": "genicam:no.cti"}, CameraState.REFUSED, "no.cti: expected", id="file"),
    ],
)
def test_what_cannot_be_done_is_said(serial: str, changes: dict[str, Any], state: CameraState, said: str) -> None:
    with camera(settings(serial, **changes)) as driver:
        driver.until_state(state)
        assert said in causes(driver)


def test_a_producer_that_does_not_load_is_refused(tmp_path: Path) -> None:
    (tmp_path / "broken.cti").write_bytes(b"no library")
    with camera(CameraSettings(source=f"genicam:{tmp_path / 'broken.cti'}")) as driver:
        driver.until_state(CameraState.REFUSED)
        assert "broken.cti: " in causes(driver)
