"""Annotated pictures and videos on disk: names, sizes, and what happens when they cannot be written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge_ad.errors import FrameError, InputError, OutputError
from edge_ad.outputs import PictureSink, VideoSink
from edge_ad.sources import Frame
from edge_ad.verdict import Reason, State, Verdict

ACCEPT = Verdict(
    state=State.ACCEPT, score=1.0, threshold=2.0, pixel_threshold=2.0, captured_at=0.0, bundle="b", variant="v"
)
INVALID = Verdict(
    state=State.INVALID, reason=Reason.SOURCE_FAILED, detail="gone", captured_at=0.0, bundle="b", variant="v"
)
IMAGE = np.full((361, 401, 3), 90, np.uint8)
ANOMALY_MAP = np.full((361, 401), 1.5, np.float32)


def frame(source: str = "a.png", image: NDArray[np.uint8] = IMAGE) -> Frame:
    return Frame(image, source, 0, 0.0)


def failed(source: str = "line.avi#7") -> Frame:
    return Frame(None, source, 7, 0.0, FrameError(Reason.SOURCE_FAILED, "gone"))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        pytest.param(["x/a.png"], ["a.verdict.jpg"], id="image"),
        pytest.param(
            ["x/a.png", "y/a.png", "y/A.jpg"], ["A.3.verdict.jpg", "a.2.verdict.jpg", "a.verdict.jpg"], id="same"
        ),
        pytest.param(["line.avi#7"], ["line_000007.verdict.jpg"], id="video"),
        pytest.param(["camera 0#12"], ["camera_0_000012.verdict.jpg"], id="camera"),
        pytest.param(["rtsp://***@host:554/live?a=1#3"], ["live_a_1_000003.verdict.jpg"], id="url"),
        pytest.param(["x/../..png"], ["frame.verdict.jpg"], id="dots"),
        pytest.param(["größe\udcff.png"], ["größe_.verdict.jpg"], id="other-encoding"),
        pytest.param(["n" * 240 + ".png"], ["n" * 60 + ".verdict.jpg"], id="long"),
    ],
)
def test_each_source_has_a_picture_of_its_own(tmp_path: Path, sources: list[str], expected: list[str]) -> None:
    folder = tmp_path / "new" / "folder"
    sink = PictureSink(folder)
    for source in sources:
        sink.write(frame(source), ACCEPT, ANOMALY_MAP)
    sink.close()
    assert names(folder) == expected


def test_an_image_is_never_replaced_by_its_picture(tmp_path: Path) -> None:
    original = tmp_path / "a.jpg"
    original.write_bytes(b"the only copy")
    PictureSink(tmp_path).write(frame(str(original)), ACCEPT, None)
    assert original.read_bytes() == b"the only copy"
    assert names(tmp_path) == ["a.jpg", "a.verdict.jpg"]


def test_a_frame_without_a_picture_gets_one_that_says_so(tmp_path: Path) -> None:
    PictureSink(tmp_path).write(failed(), INVALID, None)
    picture = cv2.imread(str(tmp_path / "line_000007.verdict.jpg"))
    assert picture is not None
    blue, green, red = picture[1, 1].astype(int)
    assert red > green > blue + 60


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="file/pictures: cannot be written: a part of its path is a file"):
        PictureSink(tmp_path / "file" / "pictures")


def test_a_picture_that_jpeg_cannot_hold_is_named(tmp_path: Path) -> None:
    sink = PictureSink(tmp_path)
    with pytest.raises(OutputError, match=r"wide.verdict.jpg: a picture of 66\d+ x \d+ pixels is too large for JPEG"):
        sink.write(frame("wide.png", np.zeros((2, 66_000), np.uint8)), ACCEPT, None)
    assert names(tmp_path) == []


def read_video(path: Path) -> list[NDArray[np.uint8]]:
    capture = cv2.VideoCapture(str(path))
    frames: list[NDArray[np.uint8]] = []
    while True:
        done, image = capture.read()
        if not done:
            return frames
        frames.append(image)


@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".MP4"])
def test_a_video_holds_every_frame_whole(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    sink = VideoSink(path, fps=12.5)
    for value in range(0, 250, 10):
        sink.write(frame(image=np.full_like(IMAGE, value)), ACCEPT, ANOMALY_MAP)
    assert not path.exists()
    sink.close()
    sink.close()
    assert names(tmp_path) == [path.name]
    assert cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FPS) == pytest.approx(12.5)
    frames = read_video(path)
    assert len(frames) == 25
    assert {size % 2 for size in frames[0].shape[:2]} == {0}
    centres = [float(image[100:200, 100:200].mean()) for image in frames]
    assert centres == sorted(centres)


def test_a_frame_without_a_picture_takes_its_place_in_the_video(tmp_path: Path) -> None:
    sink = VideoSink(tmp_path / "out.avi")
    for item, verdict in ((failed(), INVALID), (frame(), ACCEPT), (failed(), INVALID), (frame(), ACCEPT)):
        sink.write(item, verdict, None)
    sink.close()
    assert len(read_video(tmp_path / "out.avi")) == 3


def test_frames_of_another_size_are_scaled_to_the_first(tmp_path: Path) -> None:
    sink = VideoSink(tmp_path / "out.avi")
    for size in ((400, 600), (800, 400), (50, 50)):
        sink.write(frame(image=np.zeros(size, np.uint8)), ACCEPT, None)
    sink.close()
    (shape,) = {image.shape for image in read_video(tmp_path / "out.avi")}
    assert shape[1] > shape[0]


def test_no_frame_no_video(tmp_path: Path) -> None:
    sink = VideoSink(tmp_path / "out.mp4")
    sink.write(failed(), INVALID, None)
    sink.close()
    assert names(tmp_path) == []


def test_a_suffix_without_a_codec_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected a name that ends with .mp4 or .avi, found '.mkv'"):
        VideoSink(tmp_path / "out.mkv")


def test_a_video_in_no_folder_is_named(tmp_path: Path) -> None:
    sink = VideoSink(tmp_path / "absent" / "out.mp4")
    with pytest.raises(OutputError, match=r"absent/out.mp4: cannot be written: its folder does not exist"):
        sink.write(frame(), ACCEPT, None)
    sink.close()


@pytest.mark.parametrize("suffix", [".mp4", ".avi"])
def test_a_disk_that_fills_up_leaves_the_video_of_the_run_before(tmp_path: Path, suffix: str) -> None:
    script = """
import resource, sys
from pathlib import Path
import numpy as np
from edge_ad.errors import OutputError
from edge_ad.outputs import VideoSink
from edge_ad.sources import Frame
from edge_ad.verdict import State, Verdict
verdict = Verdict(state=State.ACCEPT, score=1.0, captured_at=0.0, bundle="b", variant="v")
random = np.random.default_rng(0)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
sink = VideoSink(Path(sys.argv[1]))
for index in range(30):
    sink.write(Frame(random.integers(0, 256, (360, 360), np.uint8), "a", index, 0.0), verdict, None)
try:
    sink.close()
except OutputError as error:
    print(error)
"""
    path = tmp_path / f"out{suffix}"
    path.write_bytes(b"old")
    done = subprocess.run(
        [sys.executable, "-B", "-c", script, str(path)], capture_output=True, text=True, check=True, timeout=600
    )
    assert f"{path}: not all of 30 frames could be written: is the disk full?" in done.stdout
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == [path.name]
