"""Which arrangement of files a data set has, and reading it."""

from __future__ import annotations

import importlib
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, cast

from edge_ad.errors import InputError
from edge_ad.sources.listing import VIDEO_SUFFIXES
from edge_ad_metrics.datasets.dataset import check_both_classes
from edge_ad_metrics.datasets.folders import folder_names
from edge_ad_metrics.datasets.image_table import named
from edge_ad_metrics.datasets.masks import marks_anything, unmarked_note
from edge_ad_metrics.datasets.names import NORMAL_NAMES

if TYPE_CHECKING:
    from edge_ad_metrics.datasets.dataset import LabelledSet

__all__ = ["LAYOUTS", "read_dataset", "read_labelled_images"]

LAYOUTS: Final = {
    "csv": "label_tables:read_csv",
    "visa": "label_tables:read_visa",
    "realiad": "json_tables:read_realiad",
    "mvtec": "folders:read_mvtec",
    "btad": "folders:read_btad",
    "mvtec2": "folders:read_mvtec2",
    "video": "frame_labels:read_clips",
    "folder": "folders:read_folder",
    "dagm": "pairs:read_dagm",
    "kolektor": "pairs:read_kolektor",
    "masks": "pairs:read_masks_beside",
}
"""Asked in this order; each reader answers ``None`` where the data do not have its layout."""

_MOST_TRIED = 40
_WAY_OUT = (
    "docs/evaluation.md shows how each lies on the disk; of any other, write a CSV file with path,label[,mask] and "
    "give that in place of the folder"
)


class _Reader(Protocol):
    def __call__(self, root: Path, *, masks: bool) -> LabelledSet | None: ...


def read_dataset(root: Path, layout: str | None = None, *, masks: bool = True) -> LabelledSet:
    """The labelled images or clips below ``root``, in natural order.

    Args:
        root: the folder of the data set, or a CSV file.
        layout: one of :data:`LAYOUTS`; ``None`` finds out.
        masks: whether to look for masks; without them none can be missing.

    Raises:
        InputError: nothing there, no layout or another one than asked for, masks missing, labels of one class.
    """
    try:
        if not root.exists():
            raise InputError(f"{root}: no such file or folder")
        found = _read(root, layout, masks=masks)
    except OSError as error:
        raise InputError(f"{error.filename or root}: cannot be opened: {error.strerror}") from error
    if found is None:
        raise InputError(f"{root}: {_expected(root, layout)}; {_WAY_OUT}")
    if found.images:
        check_both_classes(root, [image.anomalous for image in found.images])
    return found


def read_labelled_images(root: Path) -> LabelledSet:
    """As :func:`read_dataset`, of images alone; a note says how many masks mark nothing.

    Raises:
        InputError: also where there are clips, or a mask cannot be read.
    """
    found = read_dataset(root)
    if found.clips:
        raise InputError(f"{root}: expected labelled images, found clips: edge-ad evaluate takes them")
    masked = [image.masks for image in found.images if image.anomalous and image.masks]
    unmarked = sum(not any(map(marks_anything, masks)) for masks in masked)
    return replace(found, notes=(*found.notes, unmarked_note(unmarked))) if unmarked else found


def _read(root: Path, layout: str | None, *, masks: bool) -> LabelledSet | None:
    answers = (_reader(name)(root, masks=masks) for name in ([layout] if layout else LAYOUTS))
    return next((answer for answer in answers if answer is not None), None)


def _reader(name: str) -> _Reader:
    module, _, function = LAYOUTS[name].partition(":")
    home = importlib.import_module(f"edge_ad_metrics.datasets.{module}")
    return cast("_Reader", getattr(home, function))


def _expected(root: Path, layout: str | None) -> str:
    found = _other_layout(root) if layout else None
    what = f"found one in the {found} layout" if found else f"found none{_folders(root)}"
    if layout:
        return f"expected a data set in the {layout} layout, {what}"
    return f"expected a labelled data set in one of the layouts {', '.join(LAYOUTS)}, {what}"


def _other_layout(root: Path) -> str | None:
    """The layout that the data have, where another one was asked for."""
    for name in LAYOUTS:
        with suppress(InputError):
            if _reader(name)(root, masks=False) is not None:
                return name
    return None


def _folders(root: Path) -> str:
    """What lies there, for a message."""
    if not root.is_dir():
        return ""
    names = folder_names(root)
    within = [folder for folder in map(root.joinpath, names[:_MOST_TRIED]) if _other_layout(folder)]
    if within:
        return f" there but in its folders, of which one can be read at a time: say which, such as  --data {within[0]}"
    videos = [path.name for path in sorted(root.iterdir()) if path.suffix.lower() in VIDEO_SUFFIXES]
    if videos:
        return f" (videos: {named(videos)}; expected frame labels beside them, such as {Path(videos[0]).stem}.txt)"
    normal = ", ".join(NORMAL_NAMES)
    return f" (folders: {named(names)}; none with images is called {normal} or alike)" if names else ""
