"""Data sets whose labels stand in a table: our own CSV, and the split files of VisA."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edge_ad.errors import InputError
from edge_ad_metrics.datasets.dataset import GOOD, LabelledImage, LabelledSet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["read_csv", "read_visa", "rows_of"]

_NORMAL = frozenset({"0", "normal", "good", "ok", "false"})
_ANOMALOUS = frozenset({"1", "anomaly", "anomalous", "bad", "defect", "ko", "ng", "true"})
_REQUIRED = ("path", "label")
_OPTIONAL = ("mask", "type", "part")
_VISA_COLUMNS = ("object", "split", "label", "image", "mask")
_VISA_SPLIT = Path("split_csv", "1cls.csv")


def read_csv(root: Path, *, masks: bool = True) -> LabelledSet | None:
    """``path,label[,mask][,type][,part]``; paths relative to the file's folder, label 0 or 1, normal or anomaly."""
    if root.is_dir() or root.suffix.lower() != ".csv":
        return None
    rows = rows_of(root, _REQUIRED, _OPTIONAL)
    images = _per_row(root, rows, lambda row: _own_image(root.parent, row))
    return LabelledSet(layout="csv", images=_kept(images, masks=masks))


def read_visa(root: Path, *, masks: bool = True) -> LabelledSet | None:
    """The test rows of ``split_csv/1cls.csv``; ``root`` is VisA itself or the folder of one of its objects.

    Raises:
        InputError: ``root`` holds several objects, and a bundle is made for one.
    """
    base = next((place for place in (root, root.absolute().parent) if (place / _VISA_SPLIT).is_file()), None)
    if base is None or not root.is_dir():
        return None
    rows = [row for row in rows_of(base / _VISA_SPLIT, _VISA_COLUMNS) if row["split"].lower() == "test"]
    objects = sorted({row["object"] for row in rows})
    wanted = root.absolute().name if base != root else next(iter(objects), "")
    if base == root and len(objects) > 1:
        raise InputError(
            f"{root}: several objects ({', '.join(objects)}), and a bundle is made for one: {_point(root)}"
        )
    if wanted not in objects:
        return None
    chosen = [row for row in rows if row["object"] == wanted]
    images = _per_row(base / _VISA_SPLIT, chosen, lambda row: _visa_image(base, row))
    return LabelledSet(layout="visa", images=_kept(images, masks=masks))


def rows_of(file: Path, required: tuple[str, ...], optional: tuple[str, ...] = ()) -> list[dict[str, str]]:
    """The rows of a CSV file, cells stripped.

    Raises:
        InputError: not readable, columns missing, unknown or twice, a row too long or too short, no rows.
    """
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream, restkey="", strict=True)
            _check_columns(file, [name.strip() for name in reader.fieldnames or ()], required, optional)
            rows = [_checked(file, reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{file}: cannot be read as CSV in UTF-8: {error}") from error
    if not rows:
        raise InputError(f"{file}: expected a row per image, found none below the header")
    return rows


def _point(root: Path) -> str:
    return f"say which with  --data {root / 'NAME'}"


def _check_columns(file: Path, found: list[str], required: tuple[str, ...], optional: tuple[str, ...]) -> None:
    missing = [name for name in required if name not in found]
    unknown = [name for name in found if name not in (*required, *optional)]
    twice = sorted({name for name in found if found.count(name) > 1})
    # A column that is misspelt would otherwise be lost without a word.
    if missing or unknown or twice:
        wanted = ",".join(required) + "".join(f"[,{name}]" for name in optional)
        raise InputError(f"{file}: expected the columns {wanted}, found {','.join(found) or 'an empty file'}")


def _checked(file: Path, line: int, row: dict[str, str | None]) -> dict[str, str]:
    if "" in row or None in row.values():
        raise InputError(f"{file}, line {line}: expected as many cells as the header has, found another number")
    return {name.strip(): (cell or "").strip() for name, cell in row.items()}


def _per_row(
    file: Path, rows: Iterable[dict[str, str]], make: Callable[[dict[str, str]], LabelledImage]
) -> tuple[LabelledImage, ...]:
    images: dict[Path, LabelledImage] = {}
    for row in rows:
        try:
            image = make(row)
        except ValueError as error:
            raise InputError(f"{file}: {error}") from error
        if image.path in images:
            raise InputError(f"{file}: {image.path} is named twice: one row per image")
        images[image.path] = image
    return tuple(images.values())


def _kept(images: tuple[LabelledImage, ...], *, masks: bool) -> tuple[LabelledImage, ...]:
    return images if masks else tuple(replace(image, masks=()) for image in images)


def _own_image(base: Path, row: dict[str, str]) -> LabelledImage:
    anomalous = _is_anomalous(row["label"])
    kind = row.get("type") or ""
    if not anomalous and kind.lower() not in ("", *_NORMAL):
        raise ValueError(f"{row['path']} is labelled normal and has the type {kind!r}: expected no type")
    if anomalous and kind.lower() in _NORMAL:
        raise ValueError(f"{row['path']} is labelled anomalous and has the type {kind!r}: name the defect, or leave it")
    return LabelledImage(
        path=base / row["path"],
        type=(kind or "anomaly") if anomalous else GOOD,
        masks=(base / row["mask"],) if row.get("mask") else (),
        part=row.get("part") or None,
    )


def _visa_image(base: Path, row: dict[str, str]) -> LabelledImage:
    anomalous = _is_anomalous(row["label"])
    masks = (base / row["mask"],) if row["mask"] else ()
    return LabelledImage(path=base / row["image"], type="anomaly" if anomalous else GOOD, masks=masks)


def _is_anomalous(label: str) -> bool:
    if label.lower() in _NORMAL | _ANOMALOUS:
        return label.lower() in _ANOMALOUS
    raise ValueError(f"expected a label 0 or 1, normal or anomaly, found {label!r}")
