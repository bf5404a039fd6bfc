"""Previews: drawn only while somebody looks, small, whole, and never in the way of scoring."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray
from support import tiny
from support.tiny_calibration import calibrate
from support.videos import wait_for

from edge_ad import Detector
from edge_ad.page.pictures import Size, shown_frame
from edge_ad.page.previews import read_preview
from edge_ad.station.evidence import EvidenceRecord
from edge_ad.station.preview_writer import PreviewChoice, PreviewWriter, want_previews
from edge_ad.verdict import State


@pytest.fixture
def detector(tiny_bundle: Path) -> Iterator[Detector]:
    calibrate(tiny_bundle, 0.5)
    with Detector.open(tiny_bundle) as opened:
        yield opened


def observe(writer: PreviewWriter, detector: Detector, frame: NDArray[np.uint8], part_id: str) -> None:
    scored = detector.score_with_map(frame, captured_at=1000.0)
    writer.observe(scored.verdict, part_id, frame, scored.map)
    writer.draw()


def test_a_preview_has_picture_map_and_verdict(detector: Detector, tmp_path: Path) -> None:
    folder = tmp_path / "preview"
    writer = PreviewWriter(PreviewChoice(folder=str(folder), side_px=160), "top", detector)
    want_previews(folder)
    frame = tiny.spotted(cv2.resize(tiny.frames(1)[0], (640, 480), interpolation=cv2.INTER_NEAREST), 20, 20)
    observe(writer, detector, frame, "A-1")
    writer.close()
    preview = read_preview(folder, "top")
    assert preview is not None
    head = preview.head
    assert (head.part_id, head.height, head.width, head.verdict.threshold) == ("A-1", 480, 640, 0.5)
    rest = preview.data.partition(b"\n")[2]
    picture = np.asarray(cv2.imdecode(np.frombuffer(rest[: head.picture], np.uint8), cv2.IMREAD_COLOR))
    assert picture.shape == (120, 160, 3)
    shown = np.asarray(cv2.imdecode(np.frombuffer(rest[head.picture :], np.uint8), cv2.IMREAD_UNCHANGED))
    assert shown.shape[2] == 4
    assert (shown.shape[1] / shown.shape[0]) == pytest.approx(4 / 3, rel=0.02)


@pytest.mark.slow
def test_a_picture_of_20_megapixels_is_shrunk_wherever_it_is_shown(detector: Detector, tmp_path: Path) -> None:
    frame = np.random.default_rng(0).integers(20, 60, (3648, 5472, 3), np.uint8)
    frame[1000:2000, 1000:2000] = 255
    writer = PreviewWriter(PreviewChoice(folder=str(tmp_path)), "top", detector)
    want_previews(tmp_path)
    observe(writer, detector, frame, "A-1")
    assert wait_for(lambda: read_preview(tmp_path, "top") is not None, 60)
    writer.close()
    preview = read_preview(tmp_path, "top")
    assert preview is not None
    picture = preview.data.partition(b"\n")[2][: preview.head.picture]
    assert np.asarray(cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)).shape[:2] == (640, 960)
    assert len(preview.data) < 1_000_000
    record = EvidenceRecord(
        why="reject", station="line1", inspection="top", camera="top", recipe="a", part_id="A-1", frame="1.png",
        frame_sha256="0" * 64, map=None, artefact_sha256="a" * 64, verdict=preview.head.verdict,
    )  # fmt: skip
    png = cv2.imencode(".png", frame, [cv2.IMWRITE_PNG_COMPRESSION, 0])[1].tobytes()
    sizes: tuple[tuple[Size, int], ...] = (("small", 240), ("large", 1600))
    for size, width in sizes:
        shown = shown_frame(png, msgspec.json.encode(record), size)
        assert shown is not None
        assert np.asarray(cv2.imdecode(np.frombuffer(shown, np.uint8), cv2.IMREAD_COLOR)).shape[1] == width


def test_nothing_is_drawn_while_nobody_looks(detector: Detector, tmp_path: Path) -> None:
    folder = tmp_path / "preview"
    want_previews(folder)
    writer = PreviewWriter(PreviewChoice(folder=str(folder)), "top", detector)
    observe(writer, detector, tiny.frames(1)[0], "A-1")
    writer.close()
    assert [one.name for one in folder.iterdir()] == ["wanted"]


def test_frames_that_come_too_fast_are_left_out_and_a_reject_comes_sooner(detector: Detector, tmp_path: Path) -> None:
    now = [100.0]
    writer = PreviewWriter(PreviewChoice(folder=str(tmp_path), per_s=1.0), "top", detector, clock=lambda: now[0])
    want_previews(tmp_path)

    def shown() -> str | None:
        preview = read_preview(tmp_path, "top")
        return None if preview is None else preview.head.part_id

    frame = tiny.frames(1)[0]
    observe(writer, detector, frame, "first")
    assert wait_for(lambda: shown() == "first", 60)
    observe(writer, detector, frame, "too soon")
    now[0] += 1000.0
    os.utime(tmp_path / "wanted", (2e9, 2e9))  # touched again, whatever the clock of that machine says
    observe(writer, detector, tiny.spotted(frame, 20, 20), "rejected")
    writer.close()
    preview = read_preview(tmp_path, "top")
    assert preview is not None
    assert (preview.head.part_id, preview.head.verdict.state) == ("rejected", State.REJECT)


def test_a_folder_that_cannot_be_written_shows_and_costs_nothing_else(detector: Detector, tmp_path: Path) -> None:
    folder = tmp_path / "preview"
    folder.mkdir()
    writer = PreviewWriter(PreviewChoice(folder=str(folder)), "top", detector)
    want_previews(folder)
    (folder / ".top.preview.part").mkdir()
    observe(writer, detector, tiny.frames(1)[0], "A-1")
    writer.close()
    assert writer.error is not None
    assert "Is a directory" in writer.error
