"""What the names of files and folders in a labelled data set say: normal or not, image or mask, or no data at all."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Final

from edge_ad.sources import list_images
from edge_ad.sources.listing import IMAGE_SUFFIXES, in_natural_order

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = [
    "NORMAL_NAMES",
    "bare",
    "files_below",
    "folded",
    "folders_of",
    "holds_images",
    "images_of",
    "is_any_defect",
    "is_data",
    "is_image",
    "is_image_folder",
    "is_normal",
    "is_other_split",
    "is_picture",
    "is_test",
    "is_weak_mask_folder",
    "mask_folder_of",
    "mask_stem",
]

_SYSTEM_NAMES = frozenset(
    {"__macosx", "@eadir", "#recycle", "$recycle.bin", "system volume information", "lost+found"}
    | {"thumbs.db", "desktop.ini", "ehthumbs.db"}
)
# Words that say nothing about what a folder holds: NODefect_images, normal_dir, ok_front, MT_Free.
_FILLERS = frozenset(
    {"image", "images", "img", "imgs", "dir", "folder", "data", "dataset", "set", "sample", "samples", "part", "parts"}
    | {"picture", "pictures", "photo", "photos", "test", "testing", "mt", "front", "type", "class"}
)
NORMAL_NAMES: Final = ("good", "ok", "normal")
"""How messages and the documentation name a folder of normal images; more names are understood."""

_NORMAL = frozenset(
    {*NORMAL_NAMES, "goods", "oks", "okay", "normals", "nodefect", "nodefects", "nondefect", "nondefective"}
    | {"defectfree", "free", "healthy", "negative", "negatives", "pass", "passed", "intact", "flawless", "io"}
    | {"noanomaly", "noanomalies", "nonanomalous", "anomalyfree", "undamaged", "nocrack", "noncrack", "uncracked"}
)
_ANY_DEFECT = frozenset(
    {"defect", "defects", "defective", "abnormal", "anomaly", "anomalies", "anomalous", "bad", "ng", "ko"}
    | {"binary", "pixel", "pixels", "png", "bmp", "tif", "tiff", "jpg", "jpeg"}
)
_TESTS = frozenset({"test", "tests", "testing", "testset"})
_OTHER_SPLITS = frozenset({"train", "training", "val", "valid", "validation", "private"})
# What an image is called beside its mask: 000_img.png, image3.png; and the folder of the images themselves.
_IMAGE_WORDS = r"(?:images?|imgs?|rgb|originals?|orig|inputs?|raw|pictures?|photos?)"
_MASK_WORDS = r"(?:masks?|gts?|ground[\W_]?truths?|segmentations?)"
_WEAK_WORDS = r"(?:labels?|annotations?|annos?|segs?)"
_TAGS = rf"(?:{_MASK_WORDS}|{_WEAK_WORDS})"
_IMAGE_FOLDER = re.compile(rf"{_IMAGE_WORDS}|jpegimages", re.IGNORECASE)
_MASK_FOLDER_END = re.compile(
    rf"(?:(?P<of>.+?)[\W_]+)??{_MASK_WORDS}(?:[\W_]*(?:images?|imgs?|dir|folder|data))?", re.I
)
_MASK_FOLDER_START = re.compile(rf"{_MASK_WORDS}[\W_]+(?P<of>.+)", re.I)
_WEAK_FOLDER = re.compile(rf"{_WEAK_WORDS}(?:[\W_]*(?:images?|imgs?|dir|folder|data))?", re.I)
_TAG_END = re.compile(rf"(?P<of>.+?)(?:[\W_]+|(?<=\d)){_TAGS}[\W_]*(?P<number>\d*)", re.I)
_TAG_START = re.compile(rf"{_TAGS}(?:[\W_]+(?P<of>.+)|(?P<digits>\d.*))", re.I)
_IMAGE_TAG_END = re.compile(rf"(?P<of>.+?)(?:[\W_]+|(?<=\d)){_IMAGE_WORDS}", re.I)
_IMAGE_TAG_START = re.compile(rf"{_IMAGE_WORDS}(?:[\W_]+(?P<of>.+)|(?P<digits>\d.*))", re.I)


def folded(name: str) -> str:
    """A name as it is compared: without regard to case, and to how a file system stores accents."""
    return unicodedata.normalize("NFC", name).casefold()


def is_data(path: Path) -> bool:
    """Whether a file or folder is neither hidden nor one that an operating system puts among the data."""
    return not path.name.startswith(".") and path.name.lower() not in _SYSTEM_NAMES


def is_image(path: Path) -> bool:
    """Whether a file is an image, by its suffix."""
    return is_data(path) and path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()


def is_picture(path: Path) -> bool:
    """Whether a file may be a mask: an image, or a GIF, which no camera writes."""
    return is_image(path) or (is_data(path) and path.suffix.lower() == ".gif" and path.is_file())


def folders_of(place: Path) -> list[Path]:
    """The folders in a folder that may hold data, sorted by name."""
    return sorted(entry for entry in place.iterdir() if is_data(entry) and entry.is_dir())


def files_below(place: Path) -> Iterator[Path]:
    """The files in a folder and below it that may be data."""
    for entry in sorted(filter(is_data, place.iterdir())):
        if entry.is_dir():
            yield from files_below(entry)
        else:
            yield entry


def holds_images(place: Path) -> bool:
    """Whether images lie in a folder or below it, those in folders of masks aside."""
    return any(is_image(entry) for entry in place.iterdir()) or any(
        holds_images(folder) for folder in folders_of(place) if not _is_any_mask_folder(folder)
    )


def images_of(place: Path) -> tuple[list[Path], list[Path]]:
    """The images of a folder in natural order, and the folders in it that are left out.

    Images that lie in the folder itself go before a folder ``images`` or ``rgb`` in it, and this before all others.
    """
    folders = [folder for folder in folders_of(place) if not _is_any_mask_folder(folder) and holds_images(folder)]
    if any(is_image(entry) for entry in place.iterdir()):
        return list_images(place), folders
    own = [folder for folder in folders if _IMAGE_FOLDER.fullmatch(folder.name)]
    found = [images_of(folder) for folder in own[:1] or folders]
    images = in_natural_order(image for images, _ in found for image in images)
    skipped = [folder for _, skipped in found for folder in skipped]
    return images, [*skipped, *(folder for folder in folders if own and folder != own[0])]


def is_normal(name: str) -> bool:
    """Whether a folder of this name holds normal images."""
    words = [word for word in re.split(r"[\W_]+", name.lower()) if word]
    return "".join(word for word in words if word not in _FILLERS) in _NORMAL


def is_test(name: str) -> bool:
    return re.sub(r"[\W_]+", "", name.lower()) in _TESTS


def is_other_split(name: str) -> bool:
    """Whether a folder holds images that are for training or have no labels: ``train``, ``normal_train``, ``val``."""
    words = [word for word in re.split(r"[\W_]+", name.lower()) if word]
    return any(word in _OTHER_SPLITS for word in words[:2] + words[-1:])


def mask_folder_of(name: str) -> str | None:
    """Whose masks a folder holds: a type for ``crack_mask``, empty for ``masks`` of all; ``None``: no such name."""
    match = _MASK_FOLDER_END.fullmatch(name) or _MASK_FOLDER_START.fullmatch(name)
    return None if match is None else match["of"] or ""


def is_any_defect(name: str) -> bool:
    """Whether masks of that name are of all types of defects: ``defect`` of ``defect_masks``, ``png``."""
    words = [word for word in re.split(r"[\W_]+", name.lower()) if word]
    return all(word in _ANY_DEFECT or word in _FILLERS for word in words)


def is_weak_mask_folder(name: str) -> bool:
    """Whether a folder's name may stand for masks, or for a type of defect: ``Label``, ``annotations``."""
    return _WEAK_FOLDER.fullmatch(name) is not None


def is_image_folder(name: str) -> bool:
    """Whether a folder is called ``images``, ``rgb`` or the like."""
    return _IMAGE_FOLDER.fullmatch(name) is not None


def mask_stem(stem: str) -> tuple[str, str] | None:
    """The image's stem in a mask's, and the mask's number among several; ``None`` where nothing says that it is one.

    ``000_mask``, ``000-GT``, ``mask_000`` and ``Part0_label`` are such; ``000_mask2`` has a number.
    """
    if match := _TAG_END.fullmatch(stem):
        return match["of"], match["number"]
    match = _TAG_START.fullmatch(stem)
    return None if match is None else (match["of"] or match["digits"], "")


def bare(stem: str) -> str:
    """The stem of an image without a word that only says that it is one: ``000`` of ``000_img`` and ``image_000``."""
    if match := _IMAGE_TAG_END.fullmatch(stem):
        return match["of"]
    match = _IMAGE_TAG_START.fullmatch(stem)
    return stem if match is None else match["of"] or match["digits"]


def _is_any_mask_folder(folder: Path) -> bool:
    return mask_folder_of(folder.name) == "" or is_weak_mask_folder(folder.name)
