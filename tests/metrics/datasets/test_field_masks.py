"""Faults from the field, kind 9: masks, the same for ``export --labelled`` and ``evaluate``."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from support.field_cli import edge_ad
from support.field_datasets import Counts, Pixels, Trained, check_counts, defective, mask, mvtec, normal, put, squares


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return Trained.make(tmp_path_factory.mktemp("brightness"))


MASK_NAMES = [
    "{:03d}_mask.PNG", "{:03d}_gt.png", "{:03d}_GT.png", "{:03d}.TIF", "{:03d}_Mask.png", "{:03d}_seg.png",
    "{:03d}-mask.png", "{:03d}_label.png", "mask_{:03d}.png",
]  # fmt: skip


@pytest.mark.parametrize("name", MASK_NAMES)
@pytest.mark.parametrize("command", ["evaluate", "export"])
def test_masks_by_other_names_are_taken(tmp_path: Path, trained: Trained, name: str, command: str) -> None:
    data = mvtec(tmp_path / "data", name=name)
    check_counts(command, trained.read(command, data, tmp_path / "out" / "b"), Counts())


@pytest.mark.parametrize("command", ["evaluate", "export"])
def test_a_mask_that_is_missing_is_named_by_both(tmp_path: Path, trained: Trained, command: str) -> None:
    data = mvtec(tmp_path / "data")
    (data / "ground_truth/crack/001_mask.png").unlink()
    done = trained.read(command, data, tmp_path / "out" / "b")
    assert done.refused("test/crack/001.png")


@pytest.mark.parametrize("command", ["evaluate", "export", "compare"])
def test_masks_that_mark_nothing_are_counted_by_all(tmp_path: Path, trained: Trained, command: str) -> None:
    data = mvtec(tmp_path / "data", pixels=mask(0))
    done = trained.read(command, data, tmp_path / "out" / "b")
    said = " ".join(done.json["notes"]) if command == "evaluate" else done.stderr
    assert "the masks of 2 anomalous images mark no pixel" in said


def test_without_pixels_no_mask_is_missing(tmp_path: Path, trained: Trained) -> None:
    data = mvtec(tmp_path / "data")
    (data / "ground_truth/crack/001_mask.png").unlink()
    (data / "ground_truth/crack/000_mask.png").write_bytes(b"damaged")
    done = edge_ad("evaluate", trained.bundle, "--data", data, "--no-pixels", "--json")
    assert (done.json["normal"], done.json["anomalous"], done.json["pixel"]) == (3, 2, None)


@pytest.mark.parametrize("command", ["evaluate", "export", "compare"])
def test_what_is_found_and_not_used_is_named(tmp_path: Path, trained: Trained, command: str) -> None:
    data = mvtec(tmp_path / "data")
    put(data / "ground_truth/crack/007_mask.png", mask())
    (data / "ground_truth/crack/000.json").write_text("{}")
    put(data / "test/loose.png", normal(9))
    done = trained.read(command, data, tmp_path / "out" / "b")
    check_counts(command, done, Counts())
    said = " ".join(done.json["notes"]) if command == "evaluate" else done.stderr
    assert all(name in said for name in ("007_mask.png", "000.json", "loose.png"))


@pytest.mark.parametrize("command", ["evaluate", "export", "compare"])
@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        pytest.param(mask()[:40], "expected the image's size 48x48, found 48x40", id="size"),
        pytest.param(None, "000_mask.png", id="unreadable"),
    ],
)
def test_a_mask_that_does_not_fit_is_named(
    tmp_path: Path, trained: Trained, command: str, pixels: Pixels | None, expected: str
) -> None:
    data = mvtec(tmp_path / "data")
    file = data / "ground_truth/crack/000_mask.png"
    file.write_bytes(b"damaged")
    if pixels is not None:
        put(file, pixels)
    assert trained.read(command, data, tmp_path / "out" / "b").refused("000_mask.png", expected)


@pytest.mark.parametrize("command", ["evaluate", "export"])
def test_masks_in_one_folder_are_taken(tmp_path: Path, trained: Trained, command: str) -> None:
    data = mvtec(tmp_path / "data", name="{:03d}_mask.png", folders=("good", "crack", "masks"))
    check_counts(command, trained.read(command, data, tmp_path / "out" / "b"), Counts())


@pytest.mark.parametrize("command", ["evaluate", "export"])
def test_masks_go_by_the_orientation_of_their_images(tmp_path: Path, trained: Trained, command: str) -> None:
    """A picture with an orientation tag and its mask with the same one mark the same place, whatever the rule."""
    data = tmp_path / "data"
    for index in range(3):
        put(data / f"test/good/{index}.tif", normal(index))
    for index in range(2):
        for path, pixels in (
            (data / f"test/crack/{index}.tif", defective(index)),
            (data / f"ground_truth/crack/{index}_mask.tif", mask()),
        ):
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.ascontiguousarray(pixels)).save(path, tiffinfo={274: 6})
    check_counts(command, trained.read(command, data, tmp_path / "out" / "b"), Counts())


def test_what_is_bright_is_what_the_masks_mark() -> None:
    gray = cv2.cvtColor(np.asarray(defective(0), np.uint8), cv2.COLOR_RGB2GRAY)
    assert ((gray > 200) == squares()).all()
