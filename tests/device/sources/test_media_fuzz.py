"""Pictures and recordings with faults at random places: what is wrong is noticed where the format lets it be known."""

from __future__ import annotations

import pytest
from support.media_fuzz import FORMATS, Count, count_damage, has_encoder, judged

# The share of the files with a wrong frame of which each wrong frame is refused, as measured, less a margin. Formats
# that carry checksums leave nothing out. Several others cannot know; docs/sources.md names them.
CAUGHT = {
    "PNG": 1.0,
    "TIFF, deflate": 1.0,
    "AVIF": 0.95,
    "FFV1 in Matroska": 0.95,
    "JPEG, progressive": 0.85,
    "TIFF, LZW": 0.75,
    "MPEG-4 (Xvid) in AVI": 0.85,
    "MPEG-4 in MP4": 0.85,
    "MPEG-4 in Matroska": 0.8,
    "MPEG-2": 0.9,
    "H.264 in MP4": 0.8,
    "H.264 in a transport stream": 0.7,
    "H.264 in Matroska": 0.7,
    "JPEG, baseline": 0.65,
    "Motion JPEG in AVI": 0.65,
    "Motion JPEG in Matroska": 0.75,
    "Motion JPEG without container": 0.75,
}


def share(count: Count) -> float:
    return count.caught / (count.caught + count.silent)


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("PNG", 18),
        ("TIFF, deflate", 18),
        ("JPEG, progressive", 18),
        ("MPEG-4 (Xvid) in AVI", 5),
        ("Motion JPEG in AVI", 24),
    ],
)
def test_a_few_damaged_files(name: str, files: int) -> None:
    count = count_damage(name, range(files))
    assert count.damaged == files
    assert count.false_alarms == 0
    assert share(count) >= CAUGHT[name] - 0.15


def test_a_file_counts_as_caught_only_when_each_wrong_frame_is_refused() -> None:
    assert judged([True, True, False], [True, False, False]) == Count(
        damaged=1, silent=1, frames_caught=1, frames_silent=1
    )
    assert judged([True, False], [True, True]) == Count(damaged=1, caught=1, frames_caught=1)
    assert judged([False, False], [False, False]) == Count(damaged=1, unharmed=1)


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_many_damaged_files(name: str) -> None:
    if not has_encoder(name):
        pytest.skip("needs the program ffmpeg, which makes the recordings")
    count = count_damage(name, range(80))
    assert count.damaged == 80
    assert count.false_alarms == 0
    assert share(count) >= CAUGHT.get(name, 0.0)
