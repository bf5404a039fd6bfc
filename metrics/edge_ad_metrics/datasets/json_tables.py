"""Data sets whose labels stand in a JSON file: Real-IAD."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edge_ad.errors import InputError
from edge_ad_metrics.datasets.dataset import GOOD, LabelledImage, LabelledSet
from edge_ad_metrics.datasets.image_table import named

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["read_realiad"]


class _Meta(msgspec.Struct):
    normal_class: str
    prefix: str = ""


class _Row(msgspec.Struct):
    anomaly_class: str
    image_path: str
    mask_path: str | None = None


class _RealIad(msgspec.Struct):
    """``meta.prefix``: the folder of the object, such as ``audiojack/``."""

    meta: _Meta
    test: tuple[_Row, ...]


def read_realiad(root: Path, *, masks: bool = True) -> LabelledSet | None:
    """The test images of ``audiojack.json`` of Real-IAD (Wang et al. 2024).

    Raises:
        InputError: another JSON file; the images are not there, or in several sizes.
    """
    if root.is_dir() or root.suffix.lower() != ".json":
        return None
    try:
        table = msgspec.json.decode(root.read_bytes(), type=_RealIad)
    except msgspec.DecodeError as error:
        raise InputError(
            f"{root}: expected a JSON file of Real-IAD, with meta and test, found another one ({error}): write a CSV "
            "file with path,label[,mask] from it"
        ) from error
    base = _base(root, table)
    images = tuple(
        LabelledImage(
            path=base / row.image_path,
            type=GOOD if row.anomaly_class == table.meta.normal_class else row.anomaly_class,
            masks=(base / row.mask_path,) if row.mask_path and masks else (),
        )
        for row in table.test
    )
    return LabelledSet(layout="realiad", images=images)


def _base(root: Path, table: _RealIad) -> Path:
    """The folder that the paths start from."""
    first = table.test[0].image_path if table.test else ""
    beside = root.parent / table.meta.prefix
    if (beside / first).is_file():
        return beside
    found = [place for place in _places(root) if (place / table.meta.prefix / first).is_file()]
    if len(found) == 1:
        return found[0] / table.meta.prefix
    sizes = f"in {len(found)} folders: {named([str(place) for place in found])}" if found else "nowhere near it"
    raise InputError(
        f"{root}: expected its images, such as {table.meta.prefix}{first}, beside it or in one folder realiad_*, found "
        f"them {sizes}: put a copy of the file beside the folder {table.meta.prefix or first} that is meant"
    )


def _places(root: Path) -> Iterator[Path]:
    for base in list(root.absolute().parents)[1:3]:
        yield from sorted(place for place in base.glob("realiad_*") if place.is_dir())
