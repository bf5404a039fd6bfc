"""Which arrangement of files a data set has, and reading it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Final, cast

from edge_ad.errors import InputError
from edge_ad_metrics.datasets.dataset import check_both_classes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edge_ad_metrics.datasets.dataset import LabelledSet

__all__ = ["LAYOUTS", "read_dataset", "read_labelled_images"]

LAYOUTS: Final = {
    "csv": "label_tables:read_csv",
    "visa": "label_tables:read_visa",
    "mvtec": "folders:read_mvtec",
    "btad": "folders:read_btad",
    "video": "frame_labels:read_clips",
    "folder": "folders:read_folder",
}
"""Asked in this order; each reader answers ``None`` where the data do not have its layout."""


def read_dataset(root: Path, layout: str | None = None) -> LabelledSet:
    """The labelled images or clips below ``root``, in natural order.

    Args:
        root: the folder of the data set, or a CSV file.
        layout: one of :data:`LAYOUTS`; ``None`` finds out.

    Raises:
        InputError: nothing there, no layout or another one than asked for, masks missing, labels of one class.
    """
    try:
        if not root.exists():
            raise InputError(f"{root}: no such file or folder")
        found = _read(root, layout)
    except OSError as error:
        raise InputError(f"{error.filename or root}: cannot be opened: {error.strerror}") from error
    if found is None:
        raise InputError(f"{root}: {_expected(layout)}; docs/evaluation.md shows how each lies on the disk")
    if found.images:
        check_both_classes(root, [image.anomalous for image in found.images])
    return found


def read_labelled_images(root: Path) -> LabelledSet:
    """As :func:`read_dataset`, of images alone.

    Raises:
        InputError: also where there are clips.
    """
    found = read_dataset(root)
    if found.clips:
        raise InputError(f"{root}: expected labelled images, found clips: edge-ad evaluate takes them")
    return found


def _read(root: Path, layout: str | None) -> LabelledSet | None:
    answers = (_reader(name)(root) for name in ([layout] if layout else LAYOUTS))
    return next((answer for answer in answers if answer is not None), None)


def _reader(name: str) -> Callable[[Path], LabelledSet | None]:
    module, _, function = LAYOUTS[name].partition(":")
    home = importlib.import_module(f"edge_ad_metrics.datasets.{module}")
    return cast("Callable[[Path], LabelledSet | None]", getattr(home, function))


def _expected(layout: str | None) -> str:
    if layout:
        return f"expected a data set in the {layout} layout, found none"
    return f"expected a labelled data set in one of the layouts {', '.join(LAYOUTS)}, found none"
