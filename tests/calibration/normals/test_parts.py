"""What is one observation: frames, or parts that several frames show."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.calibrating import normals_of

from edge_ad.errors import InputError
from edge_ad_calibration.normals.parts import file_of, group_parts, parse_part_by


def test_without_parts_every_image_is_one() -> None:
    observations = group_parts(normals_of([0.3, 0.1], [3.0, 1.0]), None)
    assert (observations.kind, observations.scores.tolist(), observations.names) == (
        "frame",
        [0.3, 0.1],
        ("0000.png", "0001.png"),
    )
    assert observations.part.tolist() == [0, 1]


def test_a_part_scores_its_largest_frame() -> None:
    names = ["day1/p7_top.png", "day1/p8_top.png", "day1/p7_side.png", "day1/p8_side.png"]
    observations = group_parts(normals_of([0.3, 0.1, 0.2, 0.9], [3.0, 8.0, 5.0, 1.0], names), parse_part_by(r"p(\d+)_"))
    assert (observations.kind, observations.names) == ("part", ("7", "8"))
    assert observations.scores.tolist() == [0.3, 0.9]
    assert observations.peaks is not None
    assert observations.peaks.tolist() == [5.0, 8.0]
    assert observations.part.tolist() == [0, 1, 0, 1]


def test_folders_are_parts() -> None:
    names = ["a/1.png", "a/2.png", "b/1.png"]
    assert group_parts(normals_of([1.0, 2.0, 3.0], names=names), parse_part_by("folder")).names == ("a", "b")


def test_frames_of_a_video_belong_to_it() -> None:
    assert file_of("clips/a.avi#12") == Path("clips/a.avi")
    assert file_of("odd#12.png") == Path("odd#12.png")
    assert file_of("odd.png#12") == Path("odd.png#12")
    by = parse_part_by(r"(.+)\.avi#")
    assert group_parts(normals_of([1.0, 2.0], names=["x/a.avi#0", "x/a.avi#5"]), by).names == ("a",)


def test_a_table_says_what_is_one_part(tmp_path: Path) -> None:
    table = tmp_path / "parts.csv"
    table.write_text("path,serial\nin/a.png,17\nin/b.png,17\nin/c.png,18\n")
    names = [str(tmp_path / "in" / name) for name in ("c.png", "a.png", "b.png")]
    observations = group_parts(normals_of([3.0, 1.0, 2.0], names=names), parse_part_by(f"{table}:serial"))
    assert observations.names == ("18", "17")
    assert observations.scores.tolist() == [3.0, 2.0]


@given(st.lists(st.tuples(st.integers(0, 5), st.floats(-1e6, 1e6)), min_size=1, max_size=60))
def test_parts_are_rejected_as_their_frames_are(frames: list[tuple[int, float]]) -> None:
    names = [f"p{part}_{index}.png" for index, (part, _) in enumerate(frames)]
    observations = group_parts(normals_of([score for _, score in frames], names=names), parse_part_by(r"^p(\d)_"))
    for limit in {score for _, score in frames}:
        by_frame = {part for part, score in frames if score > limit}
        by_part = {
            int(name) for name, score in zip(observations.names, observations.scores, strict=True) if score > limit
        }
        assert by_frame == by_part


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("p(", "not a regular expression", id="no pattern"),
        pytest.param("p[0-9]+", "has 0 groups", id="no group"),
        pytest.param("(a)(b)", "has 2 groups", id="two groups"),
    ],
)
def test_what_says_no_part_is_refused(text: str, expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        parse_part_by(text)


def test_names_without_a_part_are_named() -> None:
    names = [f"odd{index}.png" for index in range(5)]
    with pytest.raises(InputError, match=r"finds no part in 5 of 5 names: odd0\.png, .*and 2 more"):
        group_parts(normals_of(np.arange(5.0), names=names), parse_part_by(r"part(\d+)"))


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        pytest.param("path,serial\na.png,1\n", "gives no serial for 1 of 2 images: .*b.png", id="missing row"),
        pytest.param("path,serial\na.png,1\nb.png,\n", "gives no serial for 1 of 2", id="empty cell"),
        pytest.param("path,lot\na.png,1\nb.png,1\n", "has no column 'serial': expected one of path, lot", id="column"),
        pytest.param("path,serial\na.png,1\na.png,2\nb.png,1\n", "its serial is 1 and 2", id="contradiction"),
        pytest.param("file,serial\na.png,1\n", "expected a header line with a column 'path'", id="no path"),
        pytest.param("path,serial\na.png\n", "line 2 does not fit the header", id="short row"),
        pytest.param("path,serial\n", "has a header but no rows", id="no rows"),
        pytest.param("", "found nothing", id="empty file"),
    ],
)
def test_tables_that_do_not_say_it_are_refused(tmp_path: Path, rows: str, expected: str) -> None:
    table = tmp_path / "parts.csv"
    table.write_text(rows)
    names = [str(tmp_path / "a.png"), str(tmp_path / "b.png")]
    with pytest.raises(InputError, match=expected):
        group_parts(normals_of([1.0, 2.0], names=names), parse_part_by(f"{table}:serial"))


def test_a_table_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "latin.csv").write_bytes(b"path,part\n\xff\xfe,1\n")
    with pytest.raises(InputError, match="is no CSV file in UTF-8"):
        group_parts(normals_of([1.0]), parse_part_by(f"{tmp_path / 'latin.csv'}:part"))
    with pytest.raises(InputError, match="cannot be read: No such file"):
        group_parts(normals_of([1.0]), parse_part_by("absent.csv:part"))
