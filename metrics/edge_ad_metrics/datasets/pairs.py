"""Data sets whose masks are the labels: an image is normal where nothing is marked in its mask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from edge_ad.errors import InputError
from edge_ad_metrics.datasets.dataset import GOOD, LabelledImage, LabelledSet
from edge_ad_metrics.datasets.folders import child, mask_folders_beside
from edge_ad_metrics.datasets.image_table import named
from edge_ad_metrics.datasets.mask_files import MaskFolder, MaskIndex, Place, apart
from edge_ad_metrics.datasets.masks import marks_anything
from edge_ad_metrics.datasets.names import (
    files_below,
    folders_of,
    images_of,
    is_image,
    is_image_folder,
    is_normal,
    is_picture,
    is_test,
    is_weak_mask_folder,
    mask_folder_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["read_dagm", "read_kolektor", "read_masks_beside"]

ANOMALY: Final = "anomaly"
"""The type of every image in whose mask something is marked."""


def read_kolektor(root: Path, *, masks: bool = True) -> LabelledSet | None:
    """``20000.png`` and its mask ``20000_GT.png`` in one folder, black where nothing is marked (KolektorSDD2), or in
    folders ``kos01`` (KolektorSDD)."""
    del masks  # they are the labels
    for place in _places(root):
        folders = [place] if _has_images(place) else folders_of(place)
        if any(is_normal(folder.name) for folder in folders_of(place)):
            return None
        listed = [path for folder in folders if _has_images(folder) for path in images_of(folder)[0]]
        images, among = apart(listed)
        if among:
            beside = [(path, path.parent.relative_to(place).parts) for path in among]
            return _labelled("kolektor", place, images, MaskIndex([], [], beside), without=None)
    return None


def read_dagm(root: Path, *, masks: bool = True) -> LabelledSet | None:
    """``Test/0001.PNG`` and ``Test/Label/0001_label.PNG``; an image without a mask is normal (DAGM 2007)."""
    del masks
    for place in _places(root):
        folder = child(place, _is_mask_folder)
        if folder is not None and _has_images(place):
            index = MaskIndex([MaskFolder(folder)], [])
            return _labelled("dagm", place, images_of(place)[0], index, without=GOOD)
    return None


def read_masks_beside(root: Path, *, masks: bool = True) -> LabelledSet | None:
    """``images/000.png`` and ``masks/000.png``, black where nothing is marked."""
    del masks
    for place in _places(root):
        pictures, folder = child(place, is_image_folder), child(place, _is_mask_folder)
        if pictures is None or folder is None or not any(map(is_picture, files_below(folder))):
            continue
        own = child(pictures, is_test) or pictures
        index = MaskIndex(mask_folders_beside(pictures, place), [])
        return _labelled("masks", own, images_of(own)[0], index, without=None)
    return None


def _places(root: Path) -> Iterator[Path]:
    if root.is_dir():
        test = child(root, is_test)
        yield from (root,) if test is None else (test, root)


def _has_images(place: Path) -> bool:
    return any(is_image(entry) for entry in place.iterdir())


def _is_mask_folder(name: str) -> bool:
    return mask_folder_of(name) == "" or is_weak_mask_folder(name)


def _labelled(layout: str, place: Path, images: list[Path], index: MaskIndex, *, without: str | None) -> LabelledSet:
    """``without``: the type of an image without a mask; ``None``: that is refused."""
    places = [Place(path, ANOMALY, path.parent.relative_to(place).parts) for path in images]
    found = index.assign(places, [])
    lacking = [str(image.path) for image in found if not image.masks]
    if lacking and without is None:
        raise InputError(
            f"no mask for {named(lacking)}: in the layout {layout} an image is normal where its mask is black; add a "
            "black mask, or write a CSV file with path,label[,mask] and give that in place of the folder"
        )
    labelled = tuple(_by_mask(image) for image in found)
    note = f"{len(lacking)} images have no mask and count as normal, as in DAGM: {named(lacking)}"
    return LabelledSet(layout=layout, images=labelled, notes=(*([note] if lacking else ()), *index.notes()))


def _by_mask(image: LabelledImage) -> LabelledImage:
    if any(marks_anything(mask) for mask in image.masks):
        return LabelledImage(path=image.path, type=ANOMALY, masks=image.masks)
    return LabelledImage(path=image.path, type=GOOD)
