"""Labelled clips as public data sets lay them out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat
from support.field_datasets import mask, normal, put, ucsd

from edge_ad.errors import InputError
from edge_ad_metrics.datasets.frame_labels import read_frame_labels
from edge_ad_metrics.datasets.layouts import read_dataset

FLAGS = [0, 1, 1, 0]


def frames(folder: Path, count: int = len(FLAGS)) -> None:
    for index in range(count):
        put(folder / f"{index:03d}.jpg", normal(index))


def saved(file: Path, values: object) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    np.save(file, np.array(values, np.int8))


def pixel_masks() -> list[list[list[int]]]:
    return [[[flag, 0], [0, 0]] for flag in FLAGS]


def shanghaitech(root: Path) -> Path:
    for clip in ("01_0014", "01_0015"):
        frames(root / "testing/frames" / clip)
        saved(root / f"testing/test_frame_mask/{clip}.npy", FLAGS)
        saved(root / f"testing/test_pixel_mask/{clip}.npy", pixel_masks())
    frames(root / "training/frames/01_001")
    return root


def pixel_masks_alone(root: Path) -> Path:
    for clip in ("01", "02"):
        frames(root / "frames" / clip)
        saved(root / f"test_pixel_mask/{clip}.npy", pixel_masks())
    return root


def avenue(root: Path) -> Path:
    cells = np.empty((1, len(FLAGS)), object)
    for index, flag in enumerate(FLAGS):
        cells[0, index] = mask(255 if flag else 0)
    for number in (1, 2):
        video, labels = root / f"testing_videos/0{number}.avi", root / "ground_truth_demo/testing_label_mask"
        video.parent.mkdir(parents=True, exist_ok=True)
        video.touch()
        labels.mkdir(parents=True, exist_ok=True)
        savemat(labels / f"{number}_label.mat", {"volLabel": cells})
    return root


def with_a_word_more(root: Path) -> Path:
    for clip in ("a", "b"):
        frames(root / clip)
        (root / f"{clip}_labels.txt").write_text("".join(f"{flag}\n" for flag in FLAGS))
    return root


def with_a_folder_of_masks(root: Path) -> Path:
    for clip in ("a", "b"):
        frames(root / clip)
        for index, flag in enumerate(FLAGS):
            put(root / f"ground_truth/{clip}/{index:03d}.png", mask(flag))
    return root


def vectors(root: Path) -> Path:
    for clip in ("a", "b"):
        saved(root / f"{clip}.npy", [[0, 1]] * len(FLAGS))
        saved(root / f"{clip}_label.npy", FLAGS)
    return root


@pytest.mark.parametrize(
    ("make", "given"),
    [
        pytest.param(shanghaitech, "", id="shanghaitech"),
        pytest.param(shanghaitech, "testing", id="shanghaitech-testing"),
        pytest.param(shanghaitech, "testing/frames", id="shanghaitech-frames"),
        pytest.param(pixel_masks_alone, "", id="pixel-masks"),
        pytest.param(avenue, "", id="avenue"),
        pytest.param(avenue, "testing_videos", id="avenue-videos"),
        pytest.param(with_a_word_more, "", id="a-word-more"),
        pytest.param(with_a_folder_of_masks, "", id="a-folder-of-masks"),
        pytest.param(vectors, "", id="vectors"),
    ],
)
def test_clips_and_their_labels_are_found(tmp_path: Path, make: Callable[[Path], Path], given: str) -> None:
    found = read_dataset(make(tmp_path / "data") / given)
    assert found.layout == "video"
    assert len(found.clips) == 2
    for clip in found.clips:
        assert read_frame_labels(clip.labels, len(FLAGS)).tolist() == [bool(flag) for flag in FLAGS]


@pytest.mark.parametrize("given", ["", "Test"])
def test_the_tests_of_ucsd_are_found_beside_its_training(tmp_path: Path, given: str) -> None:
    ucsd(tmp_path / "Test", texts=False)
    frames(tmp_path / "Train/Train001")
    found = read_dataset(tmp_path / given)
    labels = {clip.path.name: int(read_frame_labels(clip.labels, 6).sum()) for clip in found.clips}
    assert labels == {"Test001": 2, "Test002": 0}


def test_clips_without_masks_are_named(tmp_path: Path) -> None:
    """As in UCSD Ped1, which has masks of ten clips of 36."""
    frames(ucsd(tmp_path, texts=False) / "Test003")
    with pytest.raises(InputError, match=r"no frame labels for Test003: .*_gt"):
        read_dataset(tmp_path)


def test_videos_without_labels_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.avi").touch()
    with pytest.raises(InputError, match=r"videos: a\.avi; expected frame labels beside them, such as a\.txt"):
        read_dataset(tmp_path)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(b"no such thing", "no MATLAB file that can be opened", id="damaged"),
        pytest.param(None, "expected volLabel", id="another variable"),
    ],
)
def test_a_matlab_file_that_is_wrong(tmp_path: Path, data: bytes | None, expected: str) -> None:
    file = tmp_path / "1_label.mat"
    savemat(file, {"x": [1]})
    file.write_bytes(data or file.read_bytes())
    with pytest.raises(InputError, match=expected):
        read_frame_labels(file, 4)


def test_a_mask_for_some_of_the_frames_only(tmp_path: Path) -> None:
    found = read_dataset(ucsd(tmp_path, texts=False))
    with pytest.raises(InputError, match="a label for each of the clip's 7 frames, found 6"):
        read_frame_labels(found.clips[0].labels, 7)
