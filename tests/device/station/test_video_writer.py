"""Annotated videos of a station: complete files, by time and size, within a limit, and never in the way."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray
from support import tiny
from support.station_files import station_file
from support.tiny_calibration import calibrate

from edge_ad import Detector
from edge_ad.errors import InputError
from edge_ad.station.running import run_station
from edge_ad.station.station_file import read_station_file
from edge_ad.station.video_writer import VideoChoice, VideoWriter
from edge_ad.verdict import State

HOUR_S = 3600.0


@pytest.fixture
def detector(tiny_bundle: Path) -> Iterator[Detector]:
    calibrate(tiny_bundle, 0.5)
    with Detector.open(tiny_bundle) as opened:
        yield opened


def choice(folder: Path, **changes: Any) -> VideoChoice:
    usual = {"file_s": HOUR_S, "file_bytes": 10_000_000, "limit_bytes": 100_000_000, "queue": 1000}
    return VideoChoice(name="film", folder=str(folder), fps=10.0, **{**usual, **changes})


def shown(video: Path) -> list[NDArray[np.uint8]]:
    capture, frames = cv2.VideoCapture(str(video)), list[NDArray[np.uint8]]()
    while True:
        is_there, frame = capture.read()
        if not is_there:
            return frames
        frames.append(frame)


def write(writer: VideoWriter, detector: Detector, frames: list[NDArray[np.uint8]]) -> None:
    for number, frame in enumerate(frames):
        scored = detector.score_with_map(frame, captured_at=1000.0 + number)
        writer.observe(scored.verdict, frame, scored.map)
    writer.close()


def test_every_frame_is_in_the_video_with_the_colour_of_its_verdict(detector: Detector, tmp_path: Path) -> None:
    frames = tiny.frames(4)
    frames[2] = tiny.spotted(frames[2], 20, 20)
    writer = VideoWriter(choice(tmp_path), "top", detector)
    write(writer, detector, frames)
    (video,) = (tmp_path / "top").iterdir()
    assert video.name == "19700101T001640.000000Z.avi"
    border = [one[1, 1] for one in shown(video)]
    assert ["green" if one[1] > one[2] else "red" for one in border] == ["green", "green", "red", "green"]
    assert writer.state == "ok, 0 dropped"


def test_what_lies_over_the_pixel_threshold_is_outlined(detector: Detector, tmp_path: Path) -> None:
    frame = tiny.spotted(tiny.frames(1)[0], 20, 20)
    scored = detector.score_with_map(frame)
    assert scored.verdict.state is State.REJECT
    assert scored.map is not None
    threshold = float(np.median(scored.map[np.isfinite(scored.map)]))
    verdict = msgspec.structs.replace(scored.verdict, pixel_threshold=threshold)
    writer = VideoWriter(choice(tmp_path), "top", detector)
    drawn = writer._outlined(frame.copy(), scored.map, verdict)
    writer.close()
    changed = (drawn != frame).any(axis=2)
    assert 0 < changed.sum() < frame.shape[0] * frame.shape[1] / 2
    assert (drawn[changed] == 245).all()


@pytest.mark.parametrize("by", ["time", "size"])
def test_a_new_file_begins_after_its_time_or_size(detector: Detector, tmp_path: Path, by: str) -> None:
    seconds = iter(range(0, 100_000, 1000))
    changes = {"file_bytes": 1} if by == "size" else {}
    writer = VideoWriter(
        choice(tmp_path, **changes), "top", detector, clock=(lambda: next(seconds)) if by == "time" else lambda: 0.0
    )
    write(writer, detector, tiny.frames(40))
    videos = sorted((tmp_path / "top").iterdir())
    assert len(videos) > 1
    assert sum(len(shown(one)) for one in videos) == 40


def test_the_oldest_videos_go_first(detector: Detector, tmp_path: Path) -> None:
    old = tmp_path / "top" / "19690101T000000.000000Z.avi"
    old.parent.mkdir()
    old.write_bytes(b"x" * 1000)
    other = old.with_name("notes.avi")
    other.write_bytes(b"x" * 1000)
    write(VideoWriter(choice(tmp_path, file_bytes=500, limit_bytes=1000), "top", detector), detector, tiny.frames(1))
    assert not old.exists()
    assert other.exists()


def test_frames_that_come_too_fast_are_left_out_and_counted(detector: Detector, tmp_path: Path) -> None:
    go_on = threading.Event()

    class Slow(VideoWriter):
        def _begin(self, at: float) -> None:
            go_on.wait(60)
            super()._begin(at)

    writer = Slow(choice(tmp_path, queue=1), "top", detector)
    frame = tiny.frames(1)[0]
    scored = detector.score_with_map(frame)
    for _ in range(10):
        writer.observe(scored.verdict, frame, scored.map)
    assert writer.dropped >= 8
    go_on.set()
    writer.close()


def test_a_folder_that_cannot_be_made_shows_and_is_tried_again(detector: Detector, tmp_path: Path) -> None:
    (tmp_path / "top").write_text("")
    writer = VideoWriter(choice(tmp_path), "top", detector)
    write(writer, detector, tiny.frames(2))
    assert writer.state.startswith("failing: ")
    assert writer.dropped == 2


def test_a_station_writes_a_video_of_each_inspection(tiny_bundle: Path, tmp_path: Path) -> None:
    calibrate(tiny_bundle, 0.5)
    images = tiny.write_images(tmp_path / "images", tiny.frames(5))
    tables = {
        "station": {"name": "trial", "deadline_ms": 60_000},
        "camera": {"top": {"source": str(images), "pace": "fast", "allow_repeats": True}},
        "inspect": {name: {"camera": "top", "bundle": str(tiny_bundle)} for name in ("one", "two")},
        "output": {"film": {"kind": "video", "path": str(tmp_path / "film"), "queue": 100}},
    }
    loop = run_station(station_file(**tables))
    videos = {one.parent.name: one for one in (tmp_path / "film").rglob("*.avi")}
    assert {name: len(shown(one)) for name, one in videos.items()} == {"one": 5, "two": 5}
    assert loop.core.counters.parts["ACCEPT"] == 5


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "output.film.path is missing"),
        ('path = "x"\nsignal = "accept"', "output.film.signal does not belong to kind"),
        ('path = "x"\nlimit_mb = 100', "expected limit_mb >= file_mb, found 100 < 200"),
        ('path = "x"\nfps = 0', "output.film.fps"),
    ],
    ids=["no-path", "foreign", "limit", "fps"],
)
def test_what_is_wrong_with_the_table_is_named(tmp_path: Path, text: str, expected: str) -> None:
    file = tmp_path / "station.toml"
    file.write_text(
        '[station]\nname = "s"\n[camera.top]\nsource = "0"\n[inspect.top]\ncamera = "top"\nbundle = "b"\n'
        f'[output.film]\nkind = "video"\n{text}\n'
    )
    with pytest.raises(InputError, match=expected):
        read_station_file(file)
