"""Which files the user's words name."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import tiny

from edge_ad.errors import InputError
from edge_ad_calibration.normals.selection import Thinning, list_normals


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny.write_images(tmp_path / "images", tiny.frames(7))


def test_every_so_manyth_image_of_each_source(folder: Path) -> None:
    found = list_normals([folder, folder / "000[0-3].png"], Thinning(every=3))
    assert [path.name for path in found] == ["0000.png", "0003.png", "0006.png", "0000.png", "0003.png"]


def test_a_table_names_images_and_some_of_its_rows(folder: Path) -> None:
    table = folder.parent / "roles.csv"
    table.write_text("path,role\nimages/0002.png,train\nimages/0001.png,calibration\nimages/0005.png,calibration\n")
    assert [path.name for path in list_normals([table])] == ["0002.png", "0001.png", "0005.png"]
    chosen = list_normals([f"{table}:role=calibration"])
    assert [path.name for path in chosen] == ["0001.png", "0005.png"]
    assert all(path.is_file() for path in chosen)


def test_a_video_comes_whole(tmp_path: Path) -> None:
    (tmp_path / "line.AVI").touch()
    assert list_normals([tmp_path / "line.AVI"], Thinning(every=5)) == [tmp_path / "line.AVI"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("absent", "no such file or folder", id="missing"),
        pytest.param("", "no image in this folder", id="empty folder"),
        pytest.param("*.png", "matches 0 files", id="glob without a match"),
        pytest.param("absent.avi", "no such file or folder", id="missing video"),
        pytest.param("roles.csv:role=lost", "no row has 'lost' as its role: found are a, b", id="no such value"),
        pytest.param("roles.csv:lot=1", "has no column 'lot'", id="no such column"),
        pytest.param("lost.csv", "cannot be read", id="missing table"),
    ],
)
def test_sources_without_images_are_refused(tmp_path: Path, name: str, expected: str) -> None:
    (tmp_path / "roles.csv").write_text("path,role\nx.png,b\ny.png,a\n")
    with pytest.raises(InputError, match=expected):
        list_normals([tmp_path / name])


def test_no_source_is_refused() -> None:
    with pytest.raises(InputError, match="no images were given"):
        list_normals([])


def test_images_have_no_seconds(folder: Path) -> None:
    with pytest.raises(InputError, match="images have no frame rate, so --gap cannot be used: use --every"):
        list_normals([folder], Thinning(gap_s=2.0))


def test_seconds_become_frames_where_the_rate_is_known() -> None:
    assert Thinning(gap_s=0.5).step("clip.avi", 25.0) == 12
    assert Thinning(gap_s=0.001).step("clip.avi", 25.0) == 1
    assert Thinning(every=4).step("clip.avi", None) == 4
    with pytest.raises(InputError, match=r"clip\.avi: its frame rate is unknown"):
        Thinning(gap_s=0.5).step("clip.avi", None)


@pytest.mark.parametrize(
    ("every", "gap_s", "expected"),
    [
        pytest.param(0, None, "found 0", id="every 0"),
        pytest.param(1, 0.0, "more than 0, found 0", id="no gap"),
        pytest.param(1, float("nan"), "more than 0, found nan", id="gap of nan"),
        pytest.param(2, 1.0, "give only one of them", id="both"),
    ],
)
def test_thinning_that_makes_no_sense_is_refused(every: int, gap_s: float | None, expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        Thinning(every=every, gap_s=gap_s)
