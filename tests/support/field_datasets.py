"""Labelled data sets as others lay them out: three normal images and two with defects.

The map of the bundle that they are tried with is the picture's brightness, pixel by pixel, and defects are the only
bright pixels: a pixel ROC-AUC of one says that the masks mark all of the defects and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edge_ad.sources import read_image
from support.field_cli import Done, edge_ad, export, exported
from support.field_models import Net, write_pictures

SIDE = 48
SQUARES = ((4, 6), (28, 26))
LENGTH = 8
BRIGHT = 150
Pixels = NDArray[Any]


def put(path: Path, pixels: Pixels) -> Path:
    """Written by Pillow, which takes any kind of number, under any suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kinds = {".tif": "TIFF", ".tiff": "TIFF", ".bmp": "BMP", ".jpg": "JPEG"}
    kind = kinds.get(path.suffix.lower(), "PNG")
    best = {"quality": 100, "subsampling": 0} if kind == "JPEG" else {}
    Image.fromarray(pixels).save(path, format=kind, **best)
    return path


def normal(index: int) -> Pixels:
    return np.random.default_rng(index).integers(20, 60, (SIDE, SIDE, 3), np.uint8)


def squares(chosen: tuple[int, ...] = (0, 1)) -> NDArray[np.bool_]:
    marked = np.zeros((SIDE, SIDE), bool)
    for row, column in (SQUARES[index] for index in chosen):
        marked[row : row + LENGTH, column : column + LENGTH] = True
    return marked


def defective(index: int) -> Pixels:
    image = normal(100 + index)
    image[squares()] = 240
    return image


def mask(value: int = 255, chosen: tuple[int, ...] = (0, 1)) -> Pixels:
    return np.where(squares(chosen), value, 0).astype(np.uint8)


@dataclass(frozen=True)
class Counts:
    """Images, those of the anomalous that have a mask, and the connected defects in their masks, all of one size."""

    normal: int = 3
    anomalous: int = 2
    masks: int = 2
    regions: int = 4

    @property
    def pixels(self) -> int:
        """The defective ones."""
        return self.regions * LENGTH * LENGTH


def images(root: Path, good: str, bad: str, *, name: str = "{:03d}.png") -> Path:
    """Three normal images and two with defects."""
    for index in range(3):
        put(root / good / name.format(index), normal(index))
    for index in range(2):
        put(root / bad / name.format(index), defective(index))
    return root


def arranged(root: Path, good: str, bad: str, *masks: str, black: str = "", pixels: Pixels | None = None) -> Path:
    """Three normal images, two with defects, and their masks, at places such as ``test/good/{:03d}.png``; of several
    masks each marks one square. ``black``: masks of the normal images."""
    for index in range(3):
        put(root / good.format(index), normal(index))
        if black:
            put(root / black.format(index), mask(0))
    for index in range(2):
        put(root / bad.format(index), defective(index))
        for part, place in enumerate(masks):
            marked = mask() if len(masks) == 1 else mask(255, (part,))
            put(root / place.format(index), marked if pixels is None else pixels)
    return root


def mvtec(
    root: Path,
    *,
    name: str = "{:03d}_mask.png",
    pixels: Pixels | None = None,
    folders: tuple[str, str, str] = ("test/good", "test/crack", "ground_truth/crack"),
) -> Path:
    images(root, *folders[:2])
    for index in range(2):
        put(root / folders[2] / name.format(index), mask() if pixels is None else pixels)
    return root


def loco(root: Path, values: tuple[int, int] = (251, 255), *, kind: str = "logical_anomalies") -> Path:
    images(root, "test/good", f"test/{kind}")
    for index in range(2):
        for part, value in enumerate(values):
            put(root / f"ground_truth/{kind}/{index:03d}/{part:03d}.png", mask(value, (part,)))
    return root


def loco_of_one_mask(root: Path) -> Path:
    images(root, "test/good", "test/structural_anomalies")
    for index in range(2):
        put(root / f"ground_truth/structural_anomalies/{index:03d}/000.png", mask(255))
    return root


def mvtec2(root: Path, *, lights: tuple[str, ...] = ("regular",), more: tuple[str, ...] = ()) -> Path:
    for light in lights:
        images(root, "test_public/good", "test_public/bad", name=f"{{:03d}}_{light}.png")
        for index in range(2):
            put(root / f"test_public/ground_truth/bad/{index:03d}_{light}_mask.png", mask())
    for index, folder in enumerate(("train/good", "validation/good", *more)):
        put(root / folder / f"{index:03d}_regular.png", normal(50 + index))
    return root


def kolektor(root: Path, *, below: str = "test", tag: str = "_GT") -> Path:
    for index in range(5):
        is_defective = index >= 3
        put(root / below / f"{20000 + index}.png", defective(index) if is_defective else normal(index))
        put(root / below / f"{20000 + index}{tag}.png", mask(255 if is_defective else 0))
    return root


def rgba() -> Pixels:
    """Transparent where nothing is marked."""
    return np.dstack([np.full((SIDE, SIDE, 3), 255, np.uint8), mask()]).astype(np.uint8)


def white_on_opaque_black() -> Pixels:
    return np.dstack([mask(), mask(), mask(), np.full((SIDE, SIDE), 255, np.uint8)]).astype(np.uint8)


def red_on_transparent() -> Pixels:
    plane = np.zeros((SIDE, SIDE, 4), np.uint8)
    plane[squares()] = (255, 0, 0, 255)
    return plane


def litter(*names: str) -> Callable[[Path], Path]:
    def made(root: Path) -> Path:
        mvtec(root)
        for name in names:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X")
        return root

    return made


def ucsd(root: Path, *, texts: bool = True, truth: bool = True, litter: bool = False, suffix: str = ".tif") -> Path:
    """Two clips of six frames; the last two frames of the first have defects."""
    for clip in ("Test001", "Test002"):
        flags = [int(clip == "Test001" and frame >= 4) for frame in range(6)]
        for frame, flag in enumerate(flags):
            put(root / clip / f"{frame + 1:03d}{suffix}", defective(frame) if flag else normal(frame))
            if truth:
                put(root / f"{clip}_gt" / f"frame{frame + 1:03d}.bmp", mask(255 if flag else 0))
        if texts:
            (root / f"{clip}.txt").write_text("".join(f"{flag}\n" for flag in flags))
        if litter:
            (root / clip / "._001.tif").write_bytes(b"\x00\x05\x16\x07")
    if litter:
        (root / ".DS_Store").write_bytes(b"\x00\x00\x00\x01Bud1")
        (root / "._Test001").write_bytes(b"\x00\x05\x16\x07")
    return root


@dataclass(frozen=True)
class Trained:
    """A model, the normal images that it is exported with, and its bundle."""

    model: Path
    images: Path
    bundle: Path

    @classmethod
    def make(cls, folder: Path) -> Trained:
        net = Net()
        net.op("ReduceMean", net.input("input", [1, 3, SIDE, SIDE]), out="map", axes=[1], keepdims=1)
        net.output("map", [1, 1, SIDE, SIDE])
        model = net.save(folder / "m.onnx")
        pictures = write_pictures(folder / "img", height=SIDE, width=SIDE)
        return cls(model, pictures, exported(model, pictures, folder / "out" / "b").folder)

    def read(self, command: str, data: Path, target: Path) -> Done:
        """``evaluate --data``, ``export --labelled`` to ``target``, or ``compare --labelled``."""
        if command == "evaluate":
            return edge_ad("evaluate", self.bundle, "--data", data, "--json")
        if command == "compare":
            return edge_ad("compare", self.bundle, self.model, "--images", self.images, "--labelled", data, "--json")
        return export(self.model, self.images, target, "--labelled", data)


def counted_as(expected: Counts) -> str:
    """As export and compare say it."""
    return f"{expected.normal} normal and {expected.anomalous} anomalous images, {expected.masks} of these with masks"


def bright_pixels(path: Path) -> int:
    """How many pixels of an image no normal one has."""
    return int((read_image(path) > BRIGHT).all(axis=-1).sum())


def check_counts(command: str, done: Done, expected: Counts) -> None:
    """The command counted these images, masks and defects, and the masks mark all defects and nothing else."""
    if command == "evaluate":
        evaluated(done, expected)
    else:
        labelled(done, done.json["trials"][0] if command == "export" else done.json, expected)


def evaluated(done: Done, expected: Counts) -> None:
    found = done.json
    assert (found["normal"], found["anomalous"]) == (expected.normal, expected.anomalous)
    assert found["roc_auc"]["value"] == 1
    pixel = found["pixel"] or {"images": 0, "regions": 0, "roc_auc": 1}
    measured = expected.normal + expected.masks if expected.masks else 0
    assert (pixel["images"], pixel["regions"]) == (measured, expected.regions)
    assert pixel["roc_auc"] == 1


def labelled(done: Done, judged: dict[str, Any], expected: Counts) -> None:
    found = judged["fidelity"]["labelled"]
    assert counted_as(expected) in done.stderr
    assert found["images"] == expected.normal + expected.anomalous
    assert found["roc_auc"] == 1
    assert found["pixel_roc_auc"] == (1 if expected.masks else None)
