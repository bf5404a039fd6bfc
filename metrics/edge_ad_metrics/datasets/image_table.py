"""CSV files that say something about images: one row each, the image under ``path``."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_ad.errors import InputError, named

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["PATH", "ImageTable", "named", "read_table"]

PATH = "path"


@dataclass(frozen=True, slots=True)
class ImageTable:
    """``rows``: as they stand in the file. ``paths``: the image of each, relative ones taken from the file's folder."""

    file: Path
    columns: tuple[str, ...]
    paths: tuple[Path, ...]
    rows: tuple[dict[str, str], ...]

    def column(self, name: str) -> list[str]:
        """The values of one column, row by row. Raises :class:`InputError` where there is none of that name."""
        if name not in self.columns:
            raise InputError(f"{self.file} has no column {name!r}: expected one of {', '.join(self.columns)}")
        return [row[name].strip() for row in self.rows]

    def look_up(self, column: str, images: list[Path]) -> list[str]:
        """What ``column`` says of each of the images.

        Raises:
            InputError: no such column, images without a row or with an empty cell, rows that contradict each other.
        """
        known: dict[Path, str] = {}
        for path, value in zip(self.paths, self.column(column), strict=True):
            if known.setdefault(path.resolve(), value) != value:
                raise InputError(f"{self.file} says of {path} that its {column} is {known[path.resolve()]} and {value}")
        values = [known.get(image.resolve(), "") for image in images]
        missing = [str(image) for image, value in zip(images, values, strict=True) if not value]
        if missing:
            raise InputError(
                f"{self.file} gives no {column} for {len(missing)} of {len(images)} images: {named(missing)}"
            )
        return values


def read_table(file: Path) -> ImageTable:
    """Reads a CSV file with a header line and a column ``path``.

    Raises:
        InputError: it cannot be read, has no such column or no rows, or a row does not fit the header.
    """
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream, strict=True)
            columns = tuple(reader.fieldnames or ())
            rows = tuple(reader)
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {error.strerror}") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"{file}: is no CSV file in UTF-8: {error}") from error
    if PATH not in columns:
        raise InputError(
            f"{file}: expected a header line with a column {PATH!r}, found {', '.join(columns) or 'nothing'}"
        )
    for number, row in enumerate(rows, start=2):
        if None in row or None in row.values() or not row[PATH].strip():
            raise InputError(f"{file}: line {number} does not fit the header: expected {len(columns)} cells and a path")
    if not rows:
        raise InputError(f"{file}: has a header but no rows: expected one for each image")
    return ImageTable(file, columns, tuple(file.parent / row[PATH].strip() for row in rows), rows)
