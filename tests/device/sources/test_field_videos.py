"""Faults from the field, kind 8: recordings with damaged frames, by other names, and with edit lists."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from support.field_cli import Done, edge_ad
from support.field_media import LINE_FRAMES, damage_jpeg, damage_mpeg4, decode, line, show_part, write_line
from support.tiny_calibration import calibrate


@pytest.fixture
def bundle(tiny_bundle: Path) -> Path:
    """Calibrated, so that what cannot be read is INVALID; nothing is rejected."""
    calibrate(tiny_bundle, 2.0)
    return tiny_bundle


def score(bundle: Path, video: Path) -> Done:
    return edge_ad("score", bundle, video, "--json", "--no-self-test")


def invalid(records: list[dict[str, Any]]) -> list[int]:
    return [index for index, one in enumerate(records) if (one["state"], one["reason"]) == ("INVALID", "unreadable")]


@pytest.mark.parametrize(
    ("name", "damaged"),
    [
        pytest.param("line.avi", 30, id="avi"),
        pytest.param("line.mkv", 30, id="matroska"),
        pytest.param("line.mov", 30, id="quicktime"),
        pytest.param("line.avi", 0, id="the-first"),
        pytest.param("line.mkv", LINE_FRAMES - 1, id="the-last"),
    ],
)
def test_a_damaged_jpeg_is_an_invalid_frame(tmp_path: Path, bundle: Path, name: str, damaged: int) -> None:
    video = damage_jpeg(write_line(tmp_path / name, "MJPG"), damaged)
    records = score(bundle, video).records
    assert len(records) == LINE_FRAMES
    assert invalid(records) == [damaged]


def test_several_damaged_jpegs_are_invalid_frames(tmp_path: Path, bundle: Path) -> None:
    video = write_line(tmp_path / "line.avi", "MJPG")
    for index in (7, 8, 40):
        damage_jpeg(video, index)
    assert invalid(score(bundle, video).records) == [7, 8, 40]


@pytest.mark.parametrize(
    ("name", "codec", "damaged"),
    [
        pytest.param("line.avi", "XVID", 30, id="xvid-in-avi"),
        pytest.param("line.avi", "XVID", 3, id="xvid-early"),
        pytest.param("line.mp4", "mp4v", 30, id="mpeg4-in-mp4"),
        pytest.param("line.mkv", "XVID", 20, id="xvid-in-matroska"),
    ],
)
def test_a_damaged_packet_spoils_what_depends_on_it(
    tmp_path: Path, bundle: Path, name: str, codec: str, damaged: int
) -> None:
    video, next_key = damage_mpeg4(write_line(tmp_path / name, codec), damaged)
    records = score(bundle, video).records
    assert len(records) == LINE_FRAMES
    assert invalid(records) == list(range(damaged, next_key))


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        pytest.param("line.avi", "MJPG", id="mjpeg"),
        pytest.param("line.avi", "XVID", id="xvid"),
        pytest.param("line.mp4", "mp4v", id="mp4"),
        pytest.param("line.mkv", "FFV1", id="ffv1"),
    ],
)
def test_a_whole_recording_has_no_invalid_frame(tmp_path: Path, bundle: Path, name: str, codec: str) -> None:
    records = score(bundle, write_line(tmp_path / name, codec)).records
    assert len(records) == LINE_FRAMES
    assert [one for one in records if one["state"] == "INVALID"] == []


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("line.mjpeg", id="mjpeg"),
        pytest.param("line.mjpg", id="mjpg"),
        pytest.param("LINE.MJPG", id="capitals"),
        pytest.param("line.mjpe", id="mjpe"),
    ],
)
def test_jpegs_one_after_the_other_all_count_or_none(tmp_path: Path, bundle: Path, name: str) -> None:
    pictures = [cv2.imencode(".jpg", line(index))[1].tobytes() for index in range(20)]
    (tmp_path / name).write_bytes(b"".join(pictures))
    done = score(bundle, tmp_path / name)
    if done.code:
        assert done.refused(name)
    else:
        assert len(done.records) == 20


@pytest.mark.parametrize(
    ("name", "made_as", "codec"),
    [
        pytest.param("line.wmv", "line.wmv", "WMV2", id="control-wmv"),
        pytest.param("line.asf", "line.wmv", "WMV2", id="asf"),
        pytest.param("line.m2ts", "line.ts", "mp4v", id="m2ts"),
        pytest.param("line.mts", "line.ts", "mp4v", id="mts"),
        pytest.param("line.3gp", "line.mp4", "mp4v", id="3gp"),
        pytest.param("line.divx", "line.avi", "XVID", id="divx"),
        pytest.param("line.m2v", "line.mpg", "PIM1", id="m2v"),
        pytest.param("line.vob", "line.mpg", "PIM1", id="vob"),
        pytest.param(
            "line.mxf",
            "line.mkv",
            "MJPG",
            id="mxf-that-is-matroska",
        ),
        pytest.param("LINE.ASF", "line.wmv", "WMV2", id="asf-in-capitals"),
    ],
)
def test_a_recording_is_known_by_more_names(tmp_path: Path, bundle: Path, name: str, made_as: str, codec: str) -> None:
    write_line(tmp_path / made_as, codec).rename(tmp_path / name)
    records = score(bundle, tmp_path / name).records
    assert abs(len(records) - LINE_FRAMES) <= 2
    assert [one for one in records if one["state"] == "INVALID"] == []


@pytest.mark.parametrize(
    ("first", "share"),
    [
        pytest.param(0.0, 0.5, id="the-first-half"),
        pytest.param(0.5, 0.5, id="the-second-half"),
        pytest.param(0.0, 0.25, id="a-quarter"),
        pytest.param(0.25, 0.5, id="the-middle"),
    ],
)
def test_an_edit_list_is_followed(tmp_path: Path, bundle: Path, first: float, share: float) -> None:
    video = show_part(write_line(tmp_path / "line.mp4", "mp4v"), first, share)
    records = score(bundle, video).records
    assert abs(len(records) - round(LINE_FRAMES * share)) <= 1
    assert [one for one in records if one["state"] == "INVALID"] == []


@pytest.mark.parametrize(("name", "codec"), [pytest.param("line.avi", "MJPG", id="avi"),
                                             pytest.param("line.mkv", "MJPG", id="matroska")])  # fmt: skip
def test_a_recording_that_is_cut_off_is_found_out(tmp_path: Path, bundle: Path, name: str, codec: str) -> None:
    video = write_line(tmp_path / name, codec)
    video.write_bytes(video.read_bytes()[: video.stat().st_size // 2])
    done = score(bundle, video)
    assert done.refused(name)


def test_the_frames_are_those_that_were_written(tmp_path: Path) -> None:
    frames = decode(write_line(tmp_path / "line.avi", "MJPG", 5))
    assert [float(np.abs(frame.astype(int) - line(index)).mean()) < 12 for index, frame in enumerate(frames)] == [
        True
    ] * 5
