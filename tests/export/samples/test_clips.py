"""The frames of which clips are made: read once where they fit into memory, and the same either way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import videos

from edge_ad.errors import FrameError, InputError
from edge_ad.sources import open_source
from edge_ad_export.samples import clips
from edge_ad_export.samples.clips import Frames


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The sources that are opened, one entry each time."""
    names: list[str] = []

    def count(source: str) -> Any:
        names.append(source)
        return open_source(source)

    monkeypatch.setattr(clips, "open_source", count)
    return names


@pytest.fixture
def video(tmp_path: Path) -> str:
    return str(videos.write_video(tmp_path / "line.avi", 12))


def test_a_short_video_is_decoded_once(video: str, opened: list[str]) -> None:
    frames = Frames(video)
    first, second = list(frames), list(frames)
    np.testing.assert_array_equal(first, second)
    assert (len(first), opened) == (12, [video])


def test_what_is_too_large_for_memory_is_decoded_again(
    video: str, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = list(Frames(video))
    monkeypatch.setattr(clips, "_KEPT_BYTES", sum(frame.nbytes for frame in expected) - 1)
    frames = Frames(video)
    for _ in range(2):
        np.testing.assert_array_equal(list(frames), expected)
    assert opened == [video] * 3


def test_what_was_not_read_to_its_end_is_read_from_its_start(video: str, opened: list[str]) -> None:
    frames = Frames(video)
    next(iter(frames))
    assert (len(list(frames)), opened) == (12, [video] * 2)


def test_a_frame_that_cannot_be_read_is_named_each_time(tmp_path: Path) -> None:
    (tmp_path / "0.png").write_bytes(b"no picture")
    frames = Frames(str(tmp_path))
    for _ in range(2):
        with pytest.raises(FrameError, match=r"0\.png"):
            list(frames)


def test_pictures_are_no_vectors(video: str) -> None:
    with pytest.raises(InputError, match=r"this model takes an \.npy file of vectors"):
        list(Frames(video, vectors=True))
