"""Images are split once between the quantizer and the judge, whole parts each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import tiny

from edge_ad.errors import InputError
from edge_ad_export.samples.clips import ClipSet, Frames
from edge_ad_export.samples.images import ImageSet
from edge_ad_export.samples.split import ImageSplit, judge_with_all, parse_part_by, split_images


def written(folder: Path, names: list[str]) -> ImageSet:
    paths = tuple(folder / name for name in names)
    for number, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(f"picture {number}".encode())
    return ImageSet(paths, len(paths))


def clips(count: int, *, every: int, frames: int, stride: int = 1) -> ClipSet:
    reach = (frames - 1) * stride
    ends = tuple(reach + place * every for place in range(count))
    return ClipSet(tuple(Path(f"v#{end}") for end in ends), count, Frames("v"), ends, frames, stride)


@pytest.mark.parametrize(
    ("count", "fitting"),
    [
        pytest.param(6, 2, id="fewest"),
        pytest.param(30, 12, id="30"),
        pytest.param(100, 40, id="100"),
        pytest.param(400, 75, id="no-more-than-the-quantizer-looks-at"),
    ],
)
def test_two_fifths_are_for_the_quantizer(tmp_path: Path, count: int, fitting: int) -> None:
    images = written(tmp_path, [f"{i:03d}.png" for i in range(count)])

    split = split_images(images)

    assert (len(split.fitting), len(split.judging), split.shared) == (fitting, count - fitting, False)
    assert sorted([*split.fitting.paths, *split.judging.paths]) == sorted(images.paths)
    assert len(set(split.groups)) == count - fitting


def test_too_few_images_are_not_split(tmp_path: Path) -> None:
    images = written(tmp_path, [f"{i}.png" for i in range(5)])

    split = split_images(images)

    assert (split.fitting, split.judging, split.shared) == (images, images, True)
    assert "too few to split" in split.remark
    assert "give 60 or more" in split.remark


def test_enough_images_need_no_warning(tmp_path: Path) -> None:
    split = split_images(written(tmp_path, [f"{i}.png" for i in range(60)]))

    assert split.remark == "24 images are for the quantizer, 36 others judge"


@given(st.lists(st.integers(0, 8), min_size=6, max_size=60), st.data())
@settings(max_examples=60, deadline=None)
def test_a_part_is_never_split(tmp_path_factory: pytest.TempPathFactory, parts: list[int], data: st.DataObject) -> None:
    folder = data.draw(st.just(tmp_path_factory.getbasetemp()))
    images = ImageSet(tuple(folder / f"part{part}_{i}.png" for i, part in enumerate(parts)), len(parts))
    try:
        split = split_images(images, r"part(\d+)_")
    except InputError as error:
        assert "expected at least 3 parts, so that 2 with 3 images or more judge" in str(error)  # noqa: PT017
        return

    sides = [{path.name.split("_")[0] for path in side.paths} for side in (split.fitting, split.judging)]
    assert sides[0].isdisjoint(sides[1])
    assert len(set(split.groups)) == len(sides[1]) >= 2


def test_five_folders_are_parts_and_equal_files_stay_together(tmp_path: Path) -> None:
    folders = split_images(written(tmp_path / "a", [f"lot{lot}/{i}.png" for lot in range(5) for i in range(4)]))
    copies = written(tmp_path / "b", [f"{i:02d}.png" for i in range(12)])
    for path in copies.paths[::2]:
        path.write_bytes(b"the same")

    equal = split_images(copies)

    assert folders.by == "folders"
    assert folders.names(folders.fitting) == ("lot0/0.png", "lot0/1.png", "lot0/2.png", "lot0/3.png", "lot2/0.png",
                                              "lot2/1.png", "lot2/2.png", "lot2/3.png")  # fmt: skip
    assert len({side for side in ("f", "j") for path in getattr(equal, {"f": "fitting", "j": "judging"}[side]).paths
                if path.read_bytes() == b"the same"}) == 1  # fmt: skip


@pytest.mark.parametrize(
    ("part_by", "message"),
    [
        pytest.param("folder", "found 1 part in 6 images, 6 of them in one; expected at least 3 parts", id="one-part"),
        pytest.param(r"lot(\d)", "finds no part in 6 of 6 names", id="no-match"),
    ],
)
def test_parts_that_cannot_be_split_are_a_line(tmp_path: Path, part_by: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        split_images(written(tmp_path, [f"{i}.png" for i in range(6)]), part_by)


def test_a_single_part_never_judges_alone(tmp_path: Path) -> None:
    images = written(tmp_path, [f"lot{lot}/{i}.png" for lot in range(2) for i in range(9)])

    with pytest.raises(InputError, match="found 2 parts in 18 images, 9 of them in one; expected at least 3 parts"):
        split_images(images, "folder")


def test_copies_of_one_image_are_a_line(tmp_path: Path) -> None:
    images = written(tmp_path, [f"{i}.png" for i in range(8)])
    for path in images.paths:
        path.write_bytes(b"the same")

    with pytest.raises(InputError, match="copies of one image count as one part: found 1 part in 8 images"):
        split_images(images)


def test_where_all_judge_images_of_one_part_are_still_one(tmp_path: Path) -> None:
    images = written(tmp_path, [f"part{i // 3}_{i}.png" for i in range(9)])

    split = judge_with_all(images, r"part(\d)_")

    assert (len(split.fitting), split.judging) == (0, images)
    assert split.groups == (0, 0, 0, 1, 1, 1, 2, 2, 2)
    with pytest.raises(InputError, match="finds no part in 9 of 9 names"):
        judge_with_all(images, r"lot(\d)")
    with pytest.raises(InputError, match="found 1 part in 9 images, 9 of them in one; expected at least 2 parts"):
        judge_with_all(images, r"(part)")


@pytest.mark.parametrize(
    "split", [pytest.param(split_images, id="too-few-to-split"), pytest.param(judge_with_all, id="all")]
)
def test_a_single_part_never_judges_where_all_images_do(tmp_path: Path, split: Callable[..., ImageSplit]) -> None:
    images = written(tmp_path, [f"{i}.png" for i in range(5)])
    expected = "found 1 part in 5 images, 5 of them in one; expected at least 2 parts"

    assert split(images).groups == (0, 1, 2, 3, 4)
    with pytest.raises(InputError, match=expected):
        split(images, "folder")
    for path in images.paths:
        path.write_bytes(b"the same")
    with pytest.raises(InputError, match=f"copies of one image count as one part: {expected}"):
        split(images)


@pytest.mark.parametrize("text", [pytest.param("(", id="no-expression"), pytest.param("part", id="no-group")])
def test_a_wrong_part_by(text: str) -> None:
    with pytest.raises(ValueError, match="expected folder"):
        parse_part_by(text)


def test_clips_are_split_in_time_and_share_no_frame() -> None:
    split = split_images(clips(40, every=2, frames=5, stride=2))

    assert isinstance(split.fitting, ClipSet)
    assert isinstance(split.judging, ClipSet)
    assert split.fitting.ends[-1] < split.judging.ends[0] - 8
    assert (len(split.fitting), len(split.judging)) == (16, 20)
    assert list(split.groups) == sorted(split.groups)
    assert len(set(split.groups)) < len(split.groups)


def test_clips_that_overlap_all_are_not_split() -> None:
    assert split_images(clips(8, every=1, frames=12)).shared


def test_clips_have_no_parts() -> None:
    with pytest.raises(InputError, match="clips are split in time"):
        split_images(clips(8, every=20, frames=2), "folder")


def test_real_images_of_the_tests_are_all_different(tmp_path: Path) -> None:
    folder = tiny.write_images(tmp_path / "n", tiny.frames(10))
    assert np.ptp(split_images(ImageSet(tuple(sorted(folder.iterdir())), 10)).groups) > 0
