"""Streams of the network, served on loopback: RTSP by GStreamer, and JPEG pictures over HTTP."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support import mjpeg_server
from support.capturing import Driver, camera
from support.loopback import CODINGS, rtsp_stream
from support.mjpeg_server import HEIGHT, WIDTH, MjpegCamera

from edge_ad.cameras import CameraSettings, CameraState

STREAMING, LOST, REFUSED = CameraState.STREAMING, CameraState.LOST, CameraState.REFUSED


def causes(driver: Driver) -> str:
    return " ".join(status.detail or "" for status in driver.statuses)


@pytest.fixture
def mjpeg() -> Iterator[MjpegCamera]:
    with mjpeg_server.serve(MjpegCamera()) as one:
        yield one


def test_pictures_over_http_arrive_and_come_back_after_a_loss(mjpeg: MjpegCamera) -> None:
    with camera(CameraSettings(source=mjpeg.url, stale_after_s=5)) as driver:
        driver.until(lambda: len(driver.frames) >= 5)
        assert {pixels.shape for pixels in driver.pixels} == {(HEIGHT, WIDTH, 3)}
        mjpeg.is_off = True
        driver.until_state(LOST)
        mjpeg.is_off = False
        before = len(driver.frames)
        driver.until(lambda: len(driver.frames) >= before + 3)
        states = [status.state for status in driver.statuses]
        assert (states[:2], states[-1]) == ([STREAMING, LOST], STREAMING)


def test_a_stream_that_falls_silent_is_lost(mjpeg: MjpegCamera) -> None:
    with camera(CameraSettings(source=mjpeg.url, stale_after_s=4)) as driver:
        driver.until(lambda: len(driver.frames) >= 3)
        mjpeg.is_silent = True
        driver.until_state(LOST)
        assert "no frame for 4 s" in causes(driver)


def test_garbage_among_the_bytes_of_a_picture_is_noticed(mjpeg: MjpegCamera) -> None:
    mjpeg.damages = True
    with camera(CameraSettings(source=mjpeg.url, stale_after_s=5)) as driver:
        # Which pictures arrive depends on how fast they are read: every third of those that are sent is damaged.
        driver.until(lambda: sum(frame.damaged is not None for frame in driver.frames) >= 3)
        driver.until(lambda: sum(frame.damaged is None for frame in driver.frames) >= 6)


@pytest.mark.parametrize(
    ("is_on", "state", "said"),
    [
        pytest.param(True, REFUSED, "401", id="password"),
        pytest.param(False, LOST, "refused", id="nobody-listens"),
    ],
)
def test_a_camera_that_says_no_and_one_that_is_not_there(
    mjpeg: MjpegCamera, is_on: bool, state: CameraState, said: str
) -> None:
    mjpeg.password = is_on
    url = mjpeg.url if is_on else "rtsp://user:secret@127.0.0.1:9/live"
    with camera(CameraSettings(source=url)) as driver:
        driver.until_state(state)
        assert said in causes(driver)
        assert "***@127.0.0.1" in causes(driver)
        assert "secret" not in causes(driver)


def test_a_stream_cannot_be_told_its_exposure(mjpeg: MjpegCamera) -> None:
    with camera(CameraSettings(source=mjpeg.url, exposure_us=5000)) as driver:
        driver.until_state(REFUSED)
        assert "exposure_us: expected 5000.0, but a camera of this kind cannot be set to it" in causes(driver)


@pytest.fixture
def rtsp(request: pytest.FixtureRequest) -> Iterator[str]:
    """A ball that moves, in the coding that the test asks for."""
    with rtsp_stream(request.param) as address:
        yield address


@pytest.mark.parametrize("rtsp", CODINGS, indirect=True)
@pytest.mark.parametrize("trigger", ["free", "software"])
def test_a_stream_of_rtsp_gives_frames(rtsp: str, trigger: str) -> None:
    settings = CameraSettings(source=f"{rtsp}/live", trigger=trigger, stale_after_s=10, open_timeout_s=60)  # type: ignore[arg-type]
    with camera(settings) as driver:
        wanted: list[int | None] = [None] * 5
        if trigger == "software":
            wanted = [driver.trigger(number).trigger for number in range(5)]
        driver.until(lambda: len(driver.frames) >= 5)
        assert [frame.trigger for frame in driver.frames[:5]] == wanted
        assert {pixels.shape for pixels in driver.pixels} == {(240, 320, 3)}
        assert {frame.damaged for frame in driver.frames} == {None}
        assert [int(pixels.max()) > 200 for pixels in driver.pixels[:5]] == [True] * 5


@pytest.mark.parametrize("rtsp", ["jpeg"], indirect=True)
def test_a_stream_that_the_server_does_not_have_is_refused(rtsp: str) -> None:
    with camera(CameraSettings(source=f"{rtsp}/other")) as driver:
        driver.until_state(REFUSED)
        assert "404 (Not Found)" in causes(driver)


def test_a_pipeline_needs_an_opencv_with_gstreamer() -> None:
    import cv2

    if cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER):
        pytest.skip("this OpenCV has GStreamer")
    with camera(CameraSettings(source="gst:videotestsrc ! videoconvert ! appsink")) as driver:
        driver.until_state(REFUSED)
        assert "built without GStreamer" in causes(driver)


def test_a_device_that_is_not_there_is_lost_and_not_refused() -> None:
    with camera(CameraSettings(source="/dev/video99")) as driver:
        driver.until_state(LOST)
        assert "/dev/video99: no such camera" in causes(driver)
