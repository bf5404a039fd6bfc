"""The product line's pictures on disk, in the folders that a vision engineer would keep."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_ad.files import output_error
from edge_ad_demo.line.defects import Kind
from edge_ad_demo.line.product import Product, Split

__all__ = ["Counts", "Dataset", "render"]

# Noisy pictures hardly shrink further; this is the fastest way to the size that they have anyway.
_PNG = (cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_HUFFMAN_ONLY)


@dataclass(frozen=True, slots=True)
class Counts:
    """How many pictures of each sort. 300 for calibration: 299 are the fewest for 1 % at 95 % confidence."""

    train: int = 60
    calibration: int = 300
    test: int = 150
    per_defect: int = 15

    @property
    def total(self) -> int:
        """All camera frames, masks not counted."""
        return self.train + self.calibration + self.test + self.per_defect * len(Kind)


@dataclass(frozen=True, slots=True)
class Dataset:
    """Where the pictures are."""

    root: Path

    @property
    def train(self) -> Path:
        return self.root / "train" / "good"

    @property
    def calibration(self) -> Path:
        return self.root / "calibration" / "good"

    @property
    def test(self) -> Path:
        return self.root / "test" / "good"

    def defects(self, kind: Kind) -> Path:
        return self.root / "test" / kind.value

    def mixed(self) -> list[tuple[str, Path]]:
        """The pictures of the test, good and defective mixed as they come on a line, each with what it is."""
        kinds = [("good", self.test), *((kind.value, self.defects(kind)) for kind in Kind)]
        placed = []
        for name, folder in kinds:
            pictures = sorted(folder.glob("*.png"))
            placed += [((number + 0.5) / len(pictures), name, path) for number, path in enumerate(pictures)]
        return [(name, path) for _, name, path in sorted(placed)]

    def masks(self, kind: Kind) -> Path:
        return self.root / "ground_truth" / kind.value


def render(product: Product, root: Path, counts: Counts) -> Dataset:
    """Render ``counts`` parts into PNG files below ``root``, two threads or more at a time.

    Raises:
        OutputError: a file cannot be written.
    """
    dataset = Dataset(root)
    jobs: list[Callable[[], None]] = []
    for split, folder, count in (
        (Split.TRAIN, dataset.train, counts.train),
        (Split.CALIBRATION, dataset.calibration, counts.calibration),
        (Split.TEST, dataset.test, counts.test),
    ):
        _make_folder(folder)
        jobs += [partial(_normal, product, folder, split, index) for index in range(count)]
    for kind in Kind:
        _make_folder(dataset.defects(kind))
        _make_folder(dataset.masks(kind))
        jobs += [partial(_defect, product, dataset, kind, index) for index in range(counts.per_defect)]
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for _ in pool.map(_call, jobs):
            pass
    return dataset


def _call(job: Callable[[], None]) -> None:
    job()


def _normal(product: Product, folder: Path, split: Split, index: int) -> None:
    _write_png(folder / f"{index:03}.png", product.normal(index, split))


def _defect(product: Product, dataset: Dataset, kind: Kind, index: int) -> None:
    frame = product.defect(kind, index)
    _write_png(dataset.defects(kind) / f"{index:03}.png", frame.image)
    _write_png(dataset.masks(kind) / f"{index:03}.png", frame.mask)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(folder, error) from error


def _write_png(path: Path, image: NDArray[np.uint8]) -> None:
    _, encoded = cv2.imencode(".png", image, _PNG)
    try:
        path.write_bytes(encoded.tobytes())
    except OSError as error:
        raise output_error(path, error) from error
