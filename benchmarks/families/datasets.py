"""Real images by role: what a model learns from, what an export measures on, what is told apart in the end."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_ad.sources import read_image

__all__ = ["Dataset", "cookies", "magnetic_tile", "picture"]

# Every so many groups of defects are there for a semi-supervised model to learn from; the others are for the test.
_LABELLED_GROUPS = 6


@dataclass(frozen=True)
class Dataset:
    """Paths of images. ``labelled``: defects that a model may have seen; none of them is among ``defects``."""

    name: str
    train: tuple[Path, ...]
    held_out: tuple[Path, ...]
    normals: tuple[Path, ...]
    labelled: tuple[Path, ...]
    defects: tuple[Path, ...]


def cookies(shared: Path) -> Dataset:
    """31 normals to learn from; the 14 others are all there is to measure on and to test with."""
    root = shared / "data" / "cookies"
    normals = _images(root / "test/good")
    return Dataset(
        "cookies",
        train=_images(root / "train/good"),
        held_out=_images(root / "train/good"),
        normals=normals,
        labelled=_images(root / "test/anomaly_nomask"),
        defects=_images(root / "test/anomaly"),
    )


def magnetic_tile(shared: Path) -> Dataset:
    """Roles by groups that share no tile, since the published split has the same tiles in training and test."""
    root = shared / "data" / "magnetic_tile"
    roles: dict[str, list[Path]] = {"train": [], "calibration": [], "test": [], "labelled": [], "defect": []}
    with (root / "groups.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            role = row["group_disjoint_role"]
            if "/good/" not in row["path"]:
                role = "labelled" if int(row["group"]) % _LABELLED_GROUPS == 0 else "defect"
            roles[role].append(root / row["path"])
    return Dataset(
        "magnetic_tile",
        train=tuple(roles["train"]),
        held_out=tuple(roles["calibration"]),
        normals=tuple(roles["test"]),
        labelled=tuple(roles["labelled"]),
        defects=tuple(roles["defect"]),
    )


def _images(folder: Path) -> tuple[Path, ...]:
    return tuple(sorted(path for path in folder.iterdir() if path.suffix in (".jpg", ".png")))


def picture(path: Path, side: int) -> NDArray[np.float32]:
    """(3, side, side) float32, RGB in 0..1: what a network is trained with."""
    image = read_image(path)
    image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR) if image.ndim == 2 else image
    small = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(small[..., ::-1].transpose(2, 0, 1) / 255, np.float32)
