"""GigE Vision cameras through aravis, by its fake camera on loopback."""

from __future__ import annotations

import ctypes
import itertools
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from support.capturing import Driver, camera
from support.loopback import Wire, gige_wire

from edge_ad.cameras import CameraProcess, CameraSettings, CameraState

STREAMING, LOST, REFUSED = CameraState.STREAMING, CameraState.LOST, CameraState.REFUSED
SMALL: dict[str, Any] = {"width": 320, "height": 240, "stale_after_s": 10.0}


@pytest.fixture
def wire() -> Iterator[Wire]:
    with gige_wire() as one:
        yield one


def settings(**changes: Any) -> CameraSettings:
    return CameraSettings(**({"source": "gige:127.0.0.1"} | SMALL | changes))


def causes(driver: Driver) -> str:
    return " ".join(status.detail or "" for status in driver.statuses)


def test_one_frame_for_each_trigger_with_what_the_camera_says_of_it(wire: Wire) -> None:
    wire.plug()
    with camera(settings(trigger="software", exposure_us=5000)) as driver:
        answers = [driver.trigger(number) for number in range(20)]
        assert [frame.trigger for frame in answers] == list(range(20))
        assert {pixels.shape for pixels in driver.pixels} == {(240, 320)}
        assert {frame.exposure_us for frame in answers} == {5000.0}
        assert {frame.damaged for frame in answers} == {None}
        found = driver.statuses[0].settings
        assert (found["pixel_format"], found["width"], found["trigger"]) == ("Mono8", 320, "software")
        stamps = [frame.camera_time_ns or 0 for frame in answers]
        assert stamps == sorted(set(stamps))


def test_lost_packets_make_damaged_frames_or_gaps_and_no_whole_frame_of_other_bytes(wire: Wire) -> None:
    wire.plug("-r", "30")
    with camera(settings(width=512, height=512)) as driver:
        driver.until(lambda: sum(frame.damaged is not None for frame in driver.frames) >= 3)
        said = {frame.damaged for frame in driver.frames} - {None}
        assert {str(one).partition(":")[0] for one in said} == {"the frame did not arrive whole"}


def test_it_is_lost_when_it_is_unplugged_and_back_when_it_is_there(wire: Wire) -> None:
    wire.plug()
    with camera(settings(stale_after_s=6.0)) as driver:
        driver.until(lambda: len(driver.frames) >= 3)
        wire.unplug()
        driver.until_state(LOST)
        wire.plug()
        before = len(driver.frames)
        driver.until(lambda: len(driver.frames) >= before + 3)
        assert [status.state for status in driver.statuses][:2] == [STREAMING, LOST]
        assert driver.camera.state is STREAMING


def test_an_unplugged_camera_that_waits_for_its_line_is_noticed(wire: Wire) -> None:
    wire.plug()
    with camera(settings(trigger="hardware", trigger_line="Line0")) as driver:
        driver.until_state(STREAMING)
        assert driver.statuses[0].settings["trigger"] == "hardware"
        wire.unplug()
        driver.until_state(LOST)
        assert "does not answer" in causes(driver)


def test_a_killed_capture_process_is_followed_by_one_that_works(wire: Wire) -> None:
    wire.plug()
    numbers = itertools.count(1)
    with camera(settings(trigger="software", stale_after_s=6.0)) as driver:
        driver.trigger(0)
        assert driver.camera.pid is not None
        os.kill(driver.camera.pid, signal.SIGKILL)
        driver.until_state(LOST)
        # The camera may stop once more, when it misses the heartbeat of the killed process: triggers are lost then.
        driver.until(lambda: driver.camera.trigger(next(numbers)) and len(driver.frames) > 5)
        assert {frame.damaged for frame in driver.frames} == {None}


def test_a_camera_that_another_program_controls_is_refused(wire: Wire) -> None:
    wire.plug()
    with camera(settings()) as first:
        first.until(lambda: first.frames)
        second = Driver(CameraProcess("second", settings()))
        try:
            second.until_state(REFUSED)
        finally:
            second.camera.close()
        assert "another program controls it" in causes(second)
        before = len(first.frames)
        first.until(lambda: len(first.frames) >= before + 3)


@pytest.mark.parametrize(
    ("changes", "state", "said"),
    [
        pytest.param({"source": "gige:127.0.0.7"}, LOST, "Can't connect to device", id="other"),
        pytest.param({"gain": 2.0}, REFUSED, "gain: expected 2.0, but a camera of this kind cannot", id="gain"),
        pytest.param({"pixel_format": "BGR8"}, REFUSED, "pixel_format: the camera does not take BGR8", id="format"),
    ],
)
def test_what_cannot_be_done_is_said(wire: Wire, changes: dict[str, Any], state: CameraState, said: str) -> None:
    wire.plug()
    with camera(settings(**changes)) as driver:
        driver.until_state(state)
        assert said in causes(driver)


def test_without_the_library_the_command_that_installs_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    from edge_ad.capture.backends import aravis
    from edge_ad.capture.backends.protocol import CameraRefusedError

    def nothing(name: str) -> None:
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", nothing)
    with pytest.raises(CameraRefusedError, match=r"apt-get install libaravis-0\.8-0"):
        aravis.AravisCamera("127.0.0.1")
