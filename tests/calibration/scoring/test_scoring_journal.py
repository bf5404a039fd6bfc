"""Maps kept until an evaluation is done: the same bits again, and nothing that was torn or damaged."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from support.full_disk import disk_of

from edge_ad.bundle.records import FrameSize
from edge_ad.errors import OutputError
from edge_ad.verdict import FrameStatistics
from edge_ad_calibration.scoring import ScoredImage
from edge_ad_calibration.scoring.journal import KEPT_DAYS, MapJournal

JOB, OTHER = b"j" * 32, b"o" * 32
ODD_VALUES = np.array([[-np.inf, -0.0, 1e-45], [np.float32(1 / 3), 3e38, 0.0]], np.float32)


class StoppedError(Exception):
    """Ends a run before it is done."""


def image(number: int, heat: NDArray[np.float32] | None = None) -> ScoredImage:
    return ScoredImage(
        path=Path("a.png"),
        file_sha256=number.to_bytes(32, "big").hex(),
        pixel_sha256="cd" * 32,
        size=FrameSize(width=64, height=48),
        score=number / 7,
        peak=-0.0,
        statistics=FrameStatistics(1 / 3, 0.1, 2.0),
        map=np.full((3, 5), number, np.float32) if heat is None else heat,
    )


@contextmanager
def stopped_run(folder: Path, job: bytes = JOB) -> Iterator[MapJournal]:
    with suppress(StoppedError), MapJournal(folder) as journal:
        journal.begin(job)
        yield journal
        raise StoppedError


def keep(folder: Path, images: list[ScoredImage]) -> Path:
    """What a run that was stopped leaves behind."""
    with stopped_run(folder) as journal:
        for one in images:
            journal.add(one)
    (file,) = folder.glob("maps-1-*.bin")
    return file


def found(folder: Path, images: list[ScoredImage], job: bytes = JOB) -> list[bool]:
    """Which of the images the next run has at hand; those are checked to the last bit."""
    with stopped_run(folder, job) as journal:
        again = [journal.find(one.path, str(one.file_sha256)) for one in images]
    known = [(one, expected) for one, expected in zip(again, images, strict=True) if one is not None]
    for one, expected in known:
        assert replace(one, map=None) == replace(expected, map=None, cached=True)
        assert one.map is not None
        assert expected.map is not None
        assert one.map.dtype == expected.map.dtype
        assert one.map.tobytes() == expected.map.tobytes()
    return [one is not None for one in again]


def test_what_was_added_comes_back_to_the_last_bit(tmp_path: Path) -> None:
    images = [image(0, ODD_VALUES), image(1), image(2, np.zeros((1, 1), np.float32)), image(3, ODD_VALUES.T)]
    keep(tmp_path, images[:2])
    with stopped_run(tmp_path) as journal:
        for one in images[2:]:
            journal.add(one)
    assert found(tmp_path, [*images, image(4)]) == [True, True, True, True, False]


def test_a_map_is_read_where_it_was_put(tmp_path: Path) -> None:
    keep(tmp_path, [image(0), image(1)])
    with stopped_run(tmp_path) as journal:
        known = journal.find(Path("a.png"), str(image(1).file_sha256))
        assert known is not None
        places = {number: journal.add(one) for number, one in ((1, known), (2, image(2)), (3, image(3)))}
        for number, place in places.items():
            np.testing.assert_array_equal(journal.read(place), np.full((3, 5), number, np.float32))


def test_a_record_that_was_torn_anywhere_is_dropped_and_replaced(tmp_path: Path) -> None:
    images = [image(number) for number in range(3)]
    two = keep(tmp_path, images[:2]).stat().st_size
    file = keep(tmp_path, images[2:])
    whole = file.read_bytes()
    for length in range(two, len(whole)):
        file.write_bytes(whole[:length])
        assert found(tmp_path, images) == [True, True, False]
        keep(tmp_path, images[2:])
        assert file.read_bytes() == whole


@pytest.mark.parametrize("place", [60, 85, 100, 150], ids=["hash", "checksum", "score", "map"])
def test_a_damaged_record_is_not_believed(tmp_path: Path, place: int) -> None:
    images = [image(number) for number in range(3)]
    file = keep(tmp_path, images)
    data = bytearray(file.read_bytes())
    data[place] ^= 1
    file.write_bytes(data)
    assert found(tmp_path, images) == [False, True, True]


def test_what_a_power_cut_left_as_zeros_is_dropped(tmp_path: Path) -> None:
    file = keep(tmp_path, [image(0)])
    size = file.stat().st_size
    os.truncate(file, size + 5000)
    assert found(tmp_path, [image(0), image(1)]) == [True, False]
    assert file.stat().st_size == size


def test_a_map_that_the_disk_has_lost_is_an_error(tmp_path: Path) -> None:
    with stopped_run(tmp_path) as journal:
        place = journal.add(image(0))
        (file,) = tmp_path.iterdir()
        os.truncate(file, file.stat().st_size - 1)
        with pytest.raises(OutputError, match=r"maps-1-.*\.bin: a map is damaged on the disk: run again"):
            journal.read(place)


def test_another_job_finds_nothing(tmp_path: Path) -> None:
    file = keep(tmp_path, [image(0)])
    assert found(tmp_path, [image(0)], OTHER) == [False]
    # Of another format or job, though its name says otherwise.
    file.write_bytes(b"something else" * 100)
    assert found(tmp_path, [image(0)]) == [False]


def test_two_sets_of_images_do_not_share_a_file(tmp_path: Path) -> None:
    keep(tmp_path, [image(0)])
    with MapJournal(tmp_path, "other images") as journal:
        journal.begin(JOB)
        assert journal.find(Path("a.png"), str(image(0).file_sha256)) is None
    assert found(tmp_path, [image(0)]) == [True]


def test_a_run_that_is_done_leaves_no_file(tmp_path: Path) -> None:
    keep(tmp_path, [image(0)])
    with MapJournal(tmp_path) as journal:
        journal.begin(JOB)
        journal.add(image(1))
    assert list(tmp_path.iterdir()) == []


def test_without_a_folder_it_works_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with MapJournal(None) as journal:
        journal.begin(JOB)
        np.testing.assert_array_equal(journal.read(journal.add(image(4, ODD_VALUES))), ODD_VALUES)
        assert list(tmp_path.iterdir()) == []


def test_a_second_run_of_the_same_job_does_not_disturb_the_first(tmp_path: Path) -> None:
    with stopped_run(tmp_path) as first:
        place = first.add(image(0))
        with MapJournal(tmp_path) as second:
            second.begin(JOB)
            assert second.find(Path("a.png"), str(image(0).file_sha256)) is None
            np.testing.assert_array_equal(second.read(second.add(image(1))), np.full((3, 5), 1, np.float32))
        np.testing.assert_array_equal(first.read(place), np.zeros((3, 5), np.float32))
    assert found(tmp_path, [image(0), image(1)]) == [True, False]


@pytest.mark.parametrize(("days", "stays"), [(KEPT_DAYS - 1, True), (KEPT_DAYS + 1, False)])
def test_what_nobody_goes_on_with_is_deleted(tmp_path: Path, days: int, stays: bool) -> None:
    file = keep(tmp_path, [image(0)])
    written = file.stat().st_mtime
    with MapJournal(tmp_path, clock=lambda _: written + 86_400 * days) as other:
        other.begin(OTHER)
        assert file.exists() == stays


MAKE: dict[str, Callable[[Path, Path], None]] = {
    "link": lambda place, target: place.symlink_to(target),
    "folder": lambda place, _: place.mkdir(),
    "pipe": lambda place, _: os.mkfifo(place),
}


@pytest.mark.parametrize("kind", MAKE)
def test_what_is_no_regular_file_is_never_deleted(tmp_path: Path, kind: str) -> None:
    precious, place = tmp_path / "precious", tmp_path / "cache/maps-1-0000000000000000.bin"
    precious.touch()
    place.parent.mkdir()
    MAKE[kind](place, precious)
    later = precious.stat().st_mtime + 86_400 * (KEPT_DAYS + 1)
    with MapJournal(place.parent, clock=lambda _: later) as journal:
        journal.begin(OTHER)
    assert os.path.lexists(place)
    assert precious.exists()


@pytest.mark.parametrize("days", [0, KEPT_DAYS + 1])
def test_a_full_disk_is_named(tmp_path: Path, days: int) -> None:
    file = keep(tmp_path, [image(0)])
    file.unlink()
    file.symlink_to("/dev/full")  # its date is when the machine was started
    started = file.stat().st_mtime
    with (
        pytest.raises(OutputError, match=r"maps-1-.*\.bin: cannot be written: the disk is full"),
        MapJournal(tmp_path, clock=lambda _: started + 86_400 * days) as journal,
    ):
        journal.begin(JOB)


def test_what_was_kept_before_the_disk_was_full_stays(tmp_path: Path) -> None:
    size = keep(tmp_path, [image(0)]).stat().st_size
    with suppress(StoppedError), MapJournal(tmp_path) as journal:
        journal.begin(JOB)
        with disk_of(size + 40), pytest.raises(OutputError, match="would be larger than this system allows"):
            journal.add(image(1))
        raise StoppedError
    assert found(tmp_path, [image(0), image(1)]) == [True, False]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(OutputError, match=r"file/cache: cannot be written: a part of its path is a file"),
        MapJournal(tmp_path / "file/cache") as journal,
    ):
        journal.begin(JOB)
