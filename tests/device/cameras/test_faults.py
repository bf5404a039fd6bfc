"""Each fault of a camera, brought about on purpose: what the station hears of it, and that it heals by itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from support import videos
from support.capturing import Driver, camera, open_files

from edge_ad.cameras import CameraSettings, CameraState, FrameChecks, process
from edge_ad.cameras.messages import Failed, encode
from edge_ad.capture import FakeCamera
from edge_ad.verdict import Reason

CONNECTING, STREAMING, LOST, REFUSED = CameraState


def settings(fake: FakeCamera, **changes: Any) -> CameraSettings:
    """Quick enough for a test, and slow enough for a machine under load."""
    return CameraSettings(
        source=fake.source, **({"stale_after_s": 5.0, "hang_after_s": 6.0, "open_timeout_s": 60} | changes)
    )


def states(driver: Driver) -> list[CameraState]:
    return [status.state for status in driver.statuses]


def causes(driver: Driver) -> list[str | None]:
    return [status.detail for status in driver.statuses if status.detail]


def until_it_works_again(driver: Driver) -> None:
    """Returns after some new frames."""
    before = len(driver.frames)
    driver.until(lambda: driver.camera.state is STREAMING and len(driver.frames) >= before + 3)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        pytest.param({"behaviour": "unplugged"}, "was unplugged", id="unplugged"),
        pytest.param({"behaviour": "crash"}, "ended by SIGSEGV", id="driver-crashes"),
        pytest.param({"behaviour": "silent"}, "no frame for 5 s", id="silent"),
        pytest.param({"behaviour": "hang"}, "no frame for 5 s", id="read-hangs"),
    ],
)
def test_a_camera_is_lost_and_back_again(tmp_path: Path, fault: dict[str, Any], said: str) -> None:
    fake = FakeCamera(tmp_path)
    is_silent = fault["behaviour"] in ("silent", "hang")
    with camera(settings(fake, stale_after_s=5.0 if is_silent else 60.0)) as driver:
        until_it_works_again(driver)
        first = driver.camera.pid
        fake.does(**fault)
        driver.until_state(LOST)
        fake.does(behaviour="good")
        until_it_works_again(driver)
        assert states(driver) == [STREAMING, LOST, STREAMING]
        assert said in str(causes(driver))
        assert driver.camera.pid != first


def test_a_read_that_hangs_is_noticed_without_any_frame_being_due(tmp_path: Path) -> None:
    fake = FakeCamera(tmp_path)
    with camera(settings(fake, trigger="software", hang_after_s=5.0, stale_after_s=60.0)) as driver:
        driver.trigger(0)
        fake.does(behaviour="hang")
        assert driver.camera.trigger(1)
        driver.until_state(LOST)
        assert "its loop did not come round for 5 s" in str(causes(driver))
        fake.does(behaviour="good")
        assert driver.trigger(2).trigger == 2
        assert [frame.trigger for frame in driver.frames] == [0, 2]


def test_a_trigger_without_an_answer_loses_the_camera(tmp_path: Path) -> None:
    fake = FakeCamera(tmp_path)
    with camera(settings(fake, trigger="software")) as driver:
        driver.trigger(0)
        fake.does(behaviour="silent")
        assert driver.camera.trigger(1)
        driver.until_state(LOST)
        assert "no frame within 5 s of a trigger" in str(causes(driver))


def test_opening_that_hangs_is_ended(tmp_path: Path) -> None:
    fake = FakeCamera(tmp_path, opens_for_s=3600)
    with camera(settings(fake, open_timeout_s=5)) as driver:
        driver.until_state(LOST)
        assert causes(driver) == ["the camera did not open within 5 s"]
        fake.does(opens_for_s=0)
        driver.until_state(STREAMING)


def test_a_refusal_is_told_once_however_often_it_is_tried(tmp_path: Path) -> None:
    fake = FakeCamera(tmp_path, refuses="another program has the camera")
    with camera(settings(fake)) as driver:
        driver.until_state(REFUSED)
        for _ in range(3):
            driver.until(lambda: driver.camera.pid is None)
            driver.camera.tick(time.monotonic_ns() + 100 * 10**9)  # the wait of 5 s and more is over at once
            assert driver.camera.pid is not None
        driver.until(lambda: driver.camera.pid is None)
        assert len(driver.pids) == 4
        assert causes(driver) == ["another program has the camera"]


def test_settings_are_set_again_and_read_back_after_a_loss(tmp_path: Path) -> None:
    fake = FakeCamera(tmp_path)
    wanted = {"exposure_us": 5000.0, "gain": 2.0, "pixel_format": "BGR8"}
    with camera(settings(fake, **wanted)) as driver:
        until_it_works_again(driver)
        fake.does(behaviour="unplugged")
        driver.until_state(LOST)
        fake.does(behaviour="good")
        until_it_works_again(driver)
        opened = [call for call in fake.calls if call.name == "open"]
        assert [call.settings for call in opened] == [wanted | {"trigger": "free"}] * 2
        assert len({call.pid for call in opened}) == 2
        assert driver.statuses[-1].settings == wanted | {"trigger": "free"}
        assert {(frame.exposure_us, frame.gain) for frame in driver.frames} == {(5000.0, 2.0)}


def test_a_camera_that_does_not_take_a_setting_is_refused(tmp_path: Path) -> None:
    fake = FakeCamera(tmp_path, ignores=("exposure_us",))
    with camera(settings(fake, exposure_us=5000.0)) as driver:
        driver.until_state(REFUSED)
        assert causes(driver) == ["exposure_us: expected 5000.0, but the camera says 0: ask for what it can do"]
        assert driver.frames == []


@pytest.mark.parametrize("behaviour", ["garbage", "torn"])
def test_what_is_no_whole_picture_is_marked(tmp_path: Path, behaviour: str) -> None:
    fake = FakeCamera(tmp_path, behaviour=behaviour, after=3)
    with camera(settings(fake)) as driver:
        driver.until(lambda: len(driver.frames) >= 6)
        assert [frame.damaged is None for frame in driver.frames[:6]] == [True, True, False, False, False, False]
        fake.does(behaviour="good")
        driver.until(lambda: driver.frames[-1].damaged is None)  # those on their way come first
        assert states(driver) == [STREAMING]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        pytest.param("frozen", Reason.FROZEN, id="frozen"),
        pytest.param("wrong_size", Reason.WRONG_SHAPE, id="wrong-size"),
        pytest.param("garbage", Reason.UNREADABLE, id="garbage"),
        pytest.param("torn", Reason.UNREADABLE, id="torn"),
    ],
)
def test_frames_that_look_like_others_are_told_apart(tmp_path: Path, fault: str, reason: Reason) -> None:
    wanted = CameraSettings(source=FakeCamera(tmp_path, behaviour=fault, after=4).source, stale_after_s=30)
    checks = FrameChecks(wanted)
    with camera(wanted) as driver:
        driver.until(lambda: len(driver.frames) >= 8)
        faults = [checks.check(frame, frame.captured_ns) for frame in driver.frames[:8]]
        assert [fault.reason if fault else None for fault in faults[:3]] == [None] * 3
        assert [fault.reason if fault else None for fault in faults[4:]] == [reason] * 4


def test_a_frame_that_waited_too_long_is_stale(tmp_path: Path) -> None:
    wanted = CameraSettings(source=FakeCamera(tmp_path).source, stale_after_s=30)
    checks = FrameChecks(wanted)
    with camera(wanted) as driver:
        driver.until(lambda: driver.frames)
        frame = driver.frames[0]
        assert checks.check(frame, frame.captured_ns + 30 * 10**9) is None
        late = FrameChecks(wanted).check(frame, frame.captured_ns + 31 * 10**9)
        assert late is not None
        assert late.reason is Reason.STALE


def test_a_capture_process_that_is_stopped_counts_as_hung(tmp_path: Path) -> None:
    fake = FakeCamera(tmp_path)
    with camera(settings(fake, trigger="software", hang_after_s=5.0, stale_after_s=60.0)) as driver:
        driver.trigger(0)
        assert driver.camera.pid is not None
        os.kill(driver.camera.pid, signal.SIGSTOP)
        driver.until_state(LOST)
        assert "hangs" in str(causes(driver))
        assert driver.trigger(1).trigger == 1


def test_another_size_arrives_as_it_is(tmp_path: Path) -> None:
    fake = FakeCamera(tmp_path, behaviour="wrong_size", after=3)
    with camera(settings(fake)) as driver:
        driver.until(lambda: len(driver.frames) >= 4)
        assert [pixels.shape for pixels in driver.pixels[:4]] == [(48, 64, 3)] * 2 + [(48, 32, 3)] * 2


def test_lost_frames_are_counted_over_the_wrap_of_the_counter(tmp_path: Path) -> None:
    fake = FakeCamera(tmp_path, counter=65_530, loses=2)
    with camera(settings(fake)) as driver:
        driver.until(lambda: len(driver.frames) >= 4)
        counters = [frame.camera_counter for frame in driver.frames[:4]]
        assert counters == [65_532, 65_535, 3, 6]
        assert [frame.lost_before for frame in driver.frames[:4]] == [0, 2, 2, 2]


@pytest.mark.shared
def test_a_decoder_that_crashes_ends_its_process_alone(shared: Path) -> None:
    """What it writes where it must not kills it sooner or later: so it decodes the file again and again."""
    crashing = str(shared / "data" / "video" / "crash.avi")
    with camera(CameraSettings(source=crashing, pace="fast", loop=True)) as driver:
        driver.until_state(LOST)
        assert "the capture process was ended by SIG" in str(causes(driver))


def test_a_capture_process_may_be_killed_at_any_moment(tmp_path: Path) -> None:
    fake = FakeCamera(tmp_path, fps=500)
    random = np.random.default_rng(0)
    with camera(settings(fake)) as driver:
        for _ in range(8):
            for _ in range(random.integers(0, 40)):
                driver.step()
            if driver.camera.pid is not None:
                os.kill(driver.camera.pid, signal.SIGKILL)
        until_it_works_again(driver)
        assert len(driver.pids) > 3


def test_files_and_memory_stay_bounded_over_many_restarts(tmp_path: Path) -> None:
    fake = FakeCamera(tmp_path)
    with camera(settings(fake)) as driver:
        until_it_works_again(driver)
        before = open_files()
        for _ in range(5):
            assert driver.camera.pid is not None
            os.kill(driver.camera.pid, signal.SIGKILL)
            driver.until_state(LOST)
            until_it_works_again(driver)
        assert open_files() <= before


STATION = """
import sys, time
from edge_ad.cameras import CameraProcess, CameraSettings
camera = CameraProcess("top", CameraSettings(source=sys.argv[1]))
while True:
    camera.tick(time.monotonic_ns())
    for event in camera.receive():
        print(camera.pid, flush=True)
    time.sleep(0.01)
"""


@pytest.mark.parametrize("behaviour", ["good", "hang"])
def test_no_capture_process_outlives_a_station_that_was_killed(tmp_path: Path, behaviour: str) -> None:
    fake = FakeCamera(tmp_path, behaviour=behaviour, after=2)
    station = subprocess.Popen([sys.executable, "-c", STATION, fake.source], stdout=subprocess.PIPE, text=True)
    assert station.stdout is not None
    try:
        child = int(station.stdout.readline())
        assert not videos.is_gone(child)
    finally:
        station.kill()
        station.wait()
        station.stdout.close()
    assert videos.wait_for(lambda: videos.is_gone(child))


LAST_WORD = """
import os, sys
os.write(int(sys.argv[1]), bytes.fromhex(sys.argv[4]))
"""


def test_the_last_word_is_heard_of_a_process_that_did_not_read_its_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A socket that is closed with unread messages first gives an error to the other end, and then what was sent."""
    word = encode(Failed(detail="the last word", is_refusal=False)).hex()
    monkeypatch.setattr(process, "WORKER", ("-c", LAST_WORD.replace("sys.argv[4]", repr(word))))
    with camera(CameraSettings(source=f"fake:{tmp_path}")) as driver:
        driver.until_state(LOST)
        assert causes(driver) == ["the last word"]


BABBLER = """
import os, sys, time
for _ in range(100):
    os.write(int(sys.argv[1]), os.urandom(60))
time.sleep(3600)
"""


@pytest.mark.parametrize(
    ("message", "said"),
    [
        pytest.param(None, "not understood", id="random-bytes"),
        pytest.param({"slot": 99}, "expected a frame in one of 4 slots", id="no-such-slot"),
        pytest.param({"height": 1 << 40}, "expected a frame in one of 4 slots", id="larger-than-a-slot"),
    ],
)
def test_a_capture_process_that_talks_nonsense_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, message: dict[str, int] | None, said: str
) -> None:
    frame = {"type": "frame", "slot": 0, "height": 4, "width": 4, "channels": 3, "sequence": 0}
    line = msgspec.msgpack.encode(frame | {"captured_at": 0.0, "captured_ns": 0} | (message or {}))
    words = BABBLER if message is None else BABBLER.replace("os.urandom(60)", repr(line))
    monkeypatch.setattr(process, "WORKER", ("-c", words))
    with camera(CameraSettings(source=f"fake:{tmp_path}")) as driver:
        driver.until_state(LOST)
        assert said in str(causes(driver))
        assert driver.frames == []
