"""What a file is by its first bytes, and how much of it its edit list shows."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.field_media import show_part, write_line

from edge_ad.sources.edit_list import shown_share
from edge_ad.sources.signatures import holds_picture, holds_video


@pytest.mark.parametrize(
    ("made_as", "codec"),
    [("a.avi", "MJPG"), ("a.mp4", "mp4v"), ("a.mkv", "MJPG"), ("a.ts", "mp4v"), ("a.mpg", "PIM1"), ("a.wmv", "WMV2")],
)
def test_a_recording_is_known_whatever_its_name(tmp_path: Path, made_as: str, codec: str) -> None:
    path = write_line(tmp_path / made_as, codec, 5).rename(tmp_path / "recording.0001")
    assert holds_video(path)
    assert not holds_picture(path)


@pytest.mark.parametrize("head", [b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"II*\0", b"P5\n", b"\0\0\0\x18ftypheic"])
def test_a_picture_is_no_recording(tmp_path: Path, head: bytes) -> None:
    (tmp_path / "a").write_bytes(head + bytes(100))
    assert holds_picture(tmp_path / "a")
    assert not holds_video(tmp_path / "a")


@pytest.mark.parametrize(("first", "share"), [(0.0, 1.0), (0.0, 0.5), (0.5, 0.5), (0.25, 0.25)])
def test_the_share_that_an_edit_list_shows(tmp_path: Path, first: float, share: float) -> None:
    path = show_part(write_line(tmp_path / "a.mp4", "mp4v"), first, share)
    assert shown_share(path) == pytest.approx(share, abs=0.001)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), rest=st.binary(max_size=200))
def test_garbage_in_the_index_ends_in_no_error(tmp_path: Path, place: float, rest: bytes) -> None:
    if not (tmp_path / "a.mp4").exists():
        write_line(tmp_path / "a.mp4", "mp4v", 5)
    data = (tmp_path / "a.mp4").read_bytes()
    start = data.index(b"moov") - 4
    start += int((len(data) - start) * place)
    (tmp_path / "b.mp4").write_bytes(data[:start] + rest + data[start + len(rest) :])
    assert 0 <= shown_share(tmp_path / "b.mp4") <= 1
    holds_video(tmp_path / "b.mp4")
