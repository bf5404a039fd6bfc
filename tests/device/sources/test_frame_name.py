"""Names of frames and objects: they come apart as they were put together."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_ad.sources.frame_name import FrameName
from edge_ad.verdict import Box

BOX = st.none() | st.builds(Box, *[st.integers(0, 65_535)] * 4)
STREAM = st.sampled_from(
    ["clip.avi", "a#3/b.mp4", "line.npy", "camera 0", "rtsp://***@host/live?a=1", "http://h/a.jpg"]
)


@given(STREAM, st.integers(0, 10**9), BOX)
def test_a_streams_frame_comes_apart_as_it_was_put_together(file: str, index: int, box: Box | None) -> None:
    assert FrameName.parse(str(FrameName(file, index, box))) == FrameName(file, index, box)


@given(st.text(max_size=30), BOX)
def test_an_image_comes_apart_as_it_was_put_together(name: str, box: Box | None) -> None:
    assert FrameName.parse(str(FrameName(f"{name}.png", None, box))) == FrameName(f"{name}.png", None, box)


@given(st.text(max_size=40))
def test_any_text_is_some_name(text: str) -> None:
    name = FrameName.parse(text)
    assert text.startswith(name.file)
    assert FrameName.parse(str(name)) == name


@pytest.mark.parametrize(
    ("text", "file", "fragment"),
    [
        pytest.param("d/a.png#xywh=1,2,3,4", "d/a.png", "#xywh=1,2,3,4", id="object-of-image"),
        pytest.param("clip.avi#12#xywh=1,2,3,4", "clip.avi", "#12#xywh=1,2,3,4", id="object-of-video"),
        pytest.param("clip.avi#012", "clip.avi", "#12", id="zeros"),
        pytest.param("clip.avi", "clip.avi", "", id="video"),
        pytest.param("odd.png#12", "odd.png#12", "", id="image-with-a-number"),
        pytest.param("a.png#xywh=1,2,3", "a.png#xywh=1,2,3", "", id="three-numbers"),
        pytest.param("camera 0#12", "camera 0", "#12", id="camera"),
    ],
)
def test_a_name_comes_apart(text: str, file: str, fragment: str) -> None:
    name = FrameName.parse(text)
    assert (name.file, name.fragment, name.frame.box) == (file, fragment, None)


def test_a_frame_of_a_folder(tmp_path: Path) -> None:
    """A folder is a clip; a file beside it that has the whole name is an image."""
    (tmp_path / "clip").mkdir()
    (tmp_path / "clip#4").touch()

    assert FrameName.parse(f"{tmp_path / 'clip'}#3") == FrameName(str(tmp_path / "clip"), 3)
    assert FrameName.parse(f"{tmp_path / 'clip'}#4") == FrameName(f"{tmp_path / 'clip'}#4")
