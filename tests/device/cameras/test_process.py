"""A camera's capture process from the station's side: frames, triggers, ends and deaths."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from support import videos
from support.capturing import Driver, camera

from edge_ad.cameras import CameraProcess, CameraSettings, CameraState, FrameRing
from edge_ad.errors import InputError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve pictures, whose gray value is ten times their number."""
    for index in range(12):
        cv2.imwrite(str(tmp_path / f"part-{index}.png"), np.full((48, 64, 3), 10 * index, np.uint8))
    return tmp_path


def files(source: Path, **more: Any) -> CameraSettings:
    """A camera that reads files, with a capture process that is waited for also on a machine under load."""
    return CameraSettings(source=str(source), stale_after_s=60.0, hang_after_s=60.0, **more)


def grays(driver: Driver) -> list[int]:
    return [int(pixels[0, 0].max()) for pixels in driver.pixels]


def test_a_folder_gives_every_picture_in_order_and_ends(folder: Path) -> None:
    with camera(files(folder, pace="fast", slots=2)) as driver:
        driver.until(lambda: driver.ended)
        assert grays(driver) == [10 * index for index in range(12)]
        assert [frame.sequence for frame in driver.frames] == list(range(12))
        assert {frame.lost_before for frame in driver.frames} == {0}
        assert driver.frames[10].name == str(folder / "part-10.png")
        assert [status.state for status in driver.statuses] == [CameraState.STREAMING]
        assert driver.statuses[0].settings == {"pictures": 12}
        assert "all 12 pictures" in str(driver.ended)
        driver.until(lambda: driver.camera.fileno() is None and driver.camera.pid is None)


def test_each_trigger_gets_the_next_picture(folder: Path) -> None:
    with camera(files(folder, trigger="software")) as driver:
        answers = [driver.trigger(number) for number in (7, 8, 9)]
        assert [(frame.trigger, frame.sequence) for frame in answers] == [(7, 0), (8, 1), (9, 2)]
        assert grays(driver) == [0, 10, 20]


def test_triggers_that_come_together_are_answered_one_by_one(folder: Path) -> None:
    with camera(files(folder, trigger="software", slots=2)) as driver:
        driver.until_state(CameraState.STREAMING)
        assert all(driver.camera.trigger(number) for number in range(6))
        driver.until(lambda: len(driver.frames) >= 6)
        assert [frame.trigger for frame in driver.frames] == list(range(6))


def test_without_a_free_slot_a_live_pace_drops_frames_and_counts_them(folder: Path) -> None:
    with camera(files(folder, fps=200, slots=2, loop=True)) as driver:
        driver.releases = False
        driver.until(lambda: len(driver.frames) >= 2)
        held, ring = driver.frames[:], driver.camera.ring
        before = [ring.view(frame).copy() for frame in held]
        for _ in range(10):
            driver.step()
        assert [ring.view(frame).tolist() for frame in held] == [pixels.tolist() for pixels in before]
        driver.releases = True
        for frame in held:
            driver.camera.release(frame.slot, ring)
        driver.until(lambda: len(driver.frames) >= 4)
        lost = sum(frame.lost_before for frame in driver.frames)
        assert lost > 0
        assert driver.frames[-1].sequence == len(driver.frames) - 1 + lost


def test_latest_gives_the_newest_frame_only_and_counts_the_others(folder: Path) -> None:
    with camera(files(folder, pace="fast", slots=8, queue="latest")) as driver:
        driver.until(lambda: driver.ended)
        assert grays(driver)[-1] == 110
        assert len(driver.frames) + sum(frame.lost_before for frame in driver.frames) == 12


def test_a_video_is_decoded_into_the_ring(tmp_path: Path) -> None:
    path = videos.write_video(tmp_path / "clip.avi", 20)
    with camera(files(path, pace="fast")) as driver:
        driver.until(lambda: driver.ended)
        assert [round(float(pixels[32:, 32:].mean()) / videos.STEP) for pixels in driver.pixels] == list(range(20))
        assert driver.statuses[0].settings == {"width": videos.WIDTH, "height": videos.HEIGHT}
        assert driver.frames[3].name == f"{path}#3"


def test_a_video_that_loops_begins_again(tmp_path: Path) -> None:
    path = videos.write_video(tmp_path / "clip.avi", 5)
    with camera(files(path, pace="fast", loop=True)) as driver:
        driver.until(lambda: len(driver.frames) >= 12)
        numbers = [round(float(pixels[32:, 32:].mean()) / videos.STEP) for pixels in driver.pixels]
        assert numbers[:12] == [index % 5 for index in range(12)]


def test_damaged_frames_are_marked(tmp_path: Path, folder: Path) -> None:
    (folder / "part-3.png").write_bytes(b"no picture")
    with camera(files(folder, pace="fast")) as driver:
        driver.until(lambda: driver.ended)
        damaged = [frame for frame in driver.frames if frame.damaged]
        assert [(frame.sequence, frame.slot, frame.height) for frame in damaged] == [(3, -1, 0)]
        assert "part-3.png: damaged" in str(damaged[0].damaged)
        assert len(driver.pixels) == 11


def test_a_folder_goes_on_where_it_was_after_its_process_was_killed(folder: Path) -> None:
    with camera(files(folder, trigger="software")) as driver:
        driver.trigger(0)
        driver.trigger(1)
        first, ring = driver.camera.pid, driver.camera.ring
        assert first is not None
        os.kill(first, signal.SIGKILL)
        driver.until_state(CameraState.LOST)
        assert not driver.camera.trigger(2)
        assert "ended by SIGKILL after 2 frames" in str(driver.statuses[-1].detail)
        assert driver.trigger(2).sequence == 2
        assert grays(driver) == [0, 10, 20]
        assert driver.camera.pid != first
        assert driver.camera.ring is not ring
        del ring
        assert [status.state for status in driver.statuses] == [
            CameraState.STREAMING,
            CameraState.LOST,
            CameraState.STREAMING,
        ]


def test_a_slot_of_a_former_ring_is_passed_over(folder: Path) -> None:
    with camera(files(folder, trigger="software")) as driver:
        driver.releases = False
        old = driver.trigger(0)
        ring, pid = driver.camera.ring, driver.camera.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        driver.until(lambda: driver.camera.pid not in (pid, None))
        assert ring.view(old).max() == 0
        new = driver.trigger(1)
        assert new.slot == old.slot
        driver.camera.release(old.slot, ring)
        assert [driver.trigger(number).slot for number in (2, 3, 4)] == [1, 2, 3]
        del ring


@pytest.mark.parametrize(
    ("source", "said"),
    [
        pytest.param("nowhere", "nowhere: no such file or folder", id="missing-folder"),
        pytest.param("text.mp4", "text.mp4: is no video", id="no-video"),
    ],
)
def test_a_source_that_cannot_be_opened_is_refused_with_one_line(tmp_path: Path, source: str, said: str) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    with camera(files(tmp_path / source, pace="fast")) as driver:
        driver.until_state(CameraState.REFUSED)
        assert said in str(driver.statuses[-1].detail)
        assert "\n" not in str(driver.statuses[-1].detail)


def test_a_frame_that_is_larger_than_a_slot_says_which_setting_helps(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "large.png"), np.zeros((800, 800, 3), np.uint8))
    with camera(files(tmp_path, pace="fast", max_frame_mib=1)) as driver:
        driver.until(lambda: driver.ended)
        assert "set max_frame_mib to 2" in str(driver.frames[0].damaged)


def test_frames_that_are_handed_in_are_not_captured() -> None:
    with pytest.raises(InputError, match="handed in"):
        CameraProcess("top", CameraSettings(source="link"))


def test_a_camera_may_be_closed_twice_and_before_it_was_started(folder: Path) -> None:
    process = CameraProcess("top", CameraSettings(source=str(folder)))
    process.close()
    process.close()
    assert process.tick(0) is None
    assert isinstance(process.ring, FrameRing)


DECODED_IN_PLACE = """
import sys
import numpy as np
from edge_ad.sources.damage import DamageWatch
from edge_ad.sources.ffmpeg import WatchedStream, open_stream
stream = WatchedStream(open_stream(sys.argv[1]), DamageWatch())
slot = np.zeros(1 << 20, np.uint8)
while stream.grab():
    image = stream.fetch(stream.target(slot))
    print(image.ctypes.data == slot.ctypes.data, slot[:image.size].max() > 0)
"""


def test_a_frame_of_a_video_is_decoded_where_it_is_to_lie(tmp_path: Path) -> None:
    path = videos.write_video(tmp_path / "clip.avi", 4)
    done = subprocess.run(
        [sys.executable, "-c", DECODED_IN_PLACE, str(path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["True True"] * 4
