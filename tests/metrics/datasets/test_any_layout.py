"""Random data sets of every layout with folders: what was built is what is read."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_ad_metrics.datasets.layouts import read_dataset
from edge_ad_metrics.datasets.masks import read_defect

SIDE = 8
Found = dict[str, tuple[bool, int | None]]

# Where the normal images lie, those of a type, and its masks.
ARRANGEMENTS = {
    "mvtec": ("test/{good}", "test/{type}", "ground_truth/{type}"),
    "mvtec, masks inside": ("test/{good}", "test/{type}", "test/{type}/gt"),
    "mvtec, masks in test": ("test/{good}", "test/{type}", "test/masks/{type}"),
    "mvtec, images below": ("test/{good}/images", "test/{type}/images", "test/{type}/masks"),
    "mvtec 2": ("test_public/{good}", "test_public/{type}", "test_public/ground_truth/{type}"),
    "folder": ("{good}", "{type}", "masks/{type}"),
    "folder, a folder of masks each": ("{good}", "{type}", "{type}_mask"),
    "folder, masks beside": ("{good}", "{type}", "{type}"),
    "visa without a split": ("Data/Images/{good}", "Data/Images/{type}", "Data/Masks/{type}"),
}
GOOD = ["good", "ok", "normal", "Normal", "GOOD", "no_defect", "defect-free", "ok_front", "normal_images"]
TYPES = ["crack", "Scratch", "hole 2", "bad", "NG", "defective", "label", "solder_mask", "broken_large", "0"]
STEMS = ["{:03d}", "{}", "IMG_{:04d}", "kos 1 Part{}", "a.b-{}", "r\u00e9f{}", "2021_05_03-12.00.0{}"]
TAGS = ["{}_mask", "{}_Mask", "{}_gt", "{}_GT", "{}-seg", "{}_label", "mask_{}", "{}_ground_truth", "{}.png", "{}"]
SEVERAL = ["{}/{:03d}", "{}_mask{}", "{}_mask_{}"]
SUFFIXES = [".png", ".PNG", ".bmp", ".tif", ".TIFF"]
LITTER = [".DS_Store", "._000.png", "Thumbs.db", "__MACOSX/._000.png", "@eaDir/000.png", ".ipynb_checkpoints/0.png"]


@dataclass(frozen=True)
class Kind:
    """A type of defect. ``pieces``: for each image and each of its masks, how many pixels it marks; of an image
    without masks nothing."""

    name: str
    pieces: tuple[tuple[int, ...], ...]
    tag: str
    suffix: str


@dataclass(frozen=True)
class Built:
    arrangement: str
    good: str
    normals: int
    kinds: tuple[Kind, ...]
    stem: str
    suffix: str
    value: int
    litter: tuple[str, ...]

    def write(self, root: Path) -> Found:
        """Makes the data set: what has to be found, by the image's path."""
        good, images, masks = ARRANGEMENTS[self.arrangement]
        found: Found = {}
        for index in range(self.normals):
            path = root / good.format(good=self.good) / f"{self.stem.format(index)}{self.suffix}"
            found[str(write(path, noise(index)))] = (False, 0)
        for kind in self.kinds:
            for index, pieces in enumerate(kind.pieces):
                stem = self.stem.format(index)
                path = root / images.format(type=kind.name) / f"{stem}{self.suffix}"
                for number, count in enumerate(pieces):
                    place = kind.tag.replace("{}", stem, 1).format(number)
                    write(root / masks.format(type=kind.name) / f"{place}{kind.suffix}", self.marks(number, count))
                found[str(write(path, noise(index)))] = (True, sum(pieces) or None)
        for name in self.litter:
            for folder in {path.parent for path in root.rglob("*.*")}:
                (folder / name).parent.mkdir(exist_ok=True)
                (folder / name).write_bytes(b"\x00\x05\x16\x07")
        return found

    def marks(self, row: int, count: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        pixels = np.zeros((SIDE, SIDE), np.uint8)
        pixels[row, :count] = self.value
        return pixels


def noise(index: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.random.default_rng(index).integers(0, 255, (SIDE, SIDE, 3), np.uint8)


def write(path: Path, pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(path.suffix, pixels)[1].tobytes())
    return path


@st.composite
def kinds(draw: st.DrawFn, name: str, *, beside: bool) -> Kind:
    several = draw(st.booleans()) and not beside
    sizes = st.lists(st.integers(1, SIDE), min_size=1, max_size=3 if several else 1).map(tuple)
    pieces = draw(st.lists(sizes, min_size=1, max_size=3))
    if draw(st.booleans()):
        pieces = [() for _ in pieces]
    tags = SEVERAL if several else TAGS[:7] if beside else TAGS
    return Kind(name, tuple(pieces), draw(st.sampled_from(tags)), draw(st.sampled_from(SUFFIXES)))


@st.composite
def built(draw: st.DrawFn) -> Built:
    arrangement = draw(st.sampled_from(sorted(ARRANGEMENTS)))
    names = draw(st.lists(st.sampled_from(TYPES), min_size=1, max_size=3, unique=True))
    return Built(
        arrangement=arrangement,
        good=draw(st.sampled_from(GOOD)),
        normals=draw(st.integers(1, 3)),
        kinds=tuple(draw(kinds(name, beside=arrangement.endswith("beside"))) for name in names),
        stem=draw(st.sampled_from(STEMS)),
        suffix=draw(st.sampled_from(SUFFIXES)),
        value=draw(st.sampled_from([1, 3, 127, 200, 255])),
        litter=tuple(draw(st.lists(st.sampled_from(LITTER), max_size=3, unique=True))),
    )


@settings(max_examples=80)
@given(built())
def test_what_is_built_is_what_is_read(plan: Built) -> None:
    with tempfile.TemporaryDirectory() as folder:
        expected = plan.write(Path(folder))
        data = read_dataset(Path(folder))

        found = {
            str(image.path): (image.anomalous, None if marked is None else int(marked.sum()))
            for image in data.images
            for marked in [read_defect(image, SIDE, SIDE)]
        }

    assert found == expected
    assert data.notes == ()
    assert len(data.images) == len(expected)
