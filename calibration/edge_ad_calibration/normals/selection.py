"""Lists the normal images that the user names; streams are thinned."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edge_ad.errors import InputError
from edge_ad.sources import list_images
from edge_ad.sources.listing import is_stream, list_vectors
from edge_ad_metrics.datasets.image_table import read_table

if TYPE_CHECKING:
    from collections.abc import Sequence


__all__ = ["ALL", "Thinning", "list_normals", "list_table"]

_TABLE = re.compile(r"(?P<file>.+\.csv)(?::(?P<column>[^:=]+)=(?P<value>.*))?", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Thinning:
    """How many frames of a stream are taken: every ``every``-th frame, or one frame of a video every ``gap_s`` seconds.

    Raises:
        InputError: both were given, or one is too small.
    """

    every: int = 1
    gap_s: float | None = None

    def __post_init__(self) -> None:
        if self.every < 1:
            raise InputError(f"--every takes every N-th frame: expected 1 or more, found {self.every}")
        if self.gap_s is not None and not 0 < self.gap_s < float("inf"):
            raise InputError(
                f"--gap is a time in seconds between two frames: expected more than 0, found {self.gap_s:g}"
            )
        if self.gap_s is not None and self.every > 1:
            raise InputError("--every thins by number and --gap by time: give only one of them")

    def step(self, label: str, fps: float | None) -> int:
        """Every how many frames one is taken. Raises :class:`InputError` if the frame rate is needed but unknown."""
        if self.gap_s is None:
            return self.every
        if not fps:
            raise InputError(f"{label}: its frame rate is unknown, so --gap cannot be used: use --every")
        return max(1, round(self.gap_s * fps))


ALL = Thinning()


def list_normals(sources: Sequence[str | Path], thinning: Thinning = ALL) -> list[Path]:
    """The files that the sources name, source by source; images are thinned, videos and files of vectors come whole.

    A source is an image, a folder, a glob, a video, an ``.npy`` file of vectors or a folder of such files, a CSV file
    with a column ``path``, or rows of one: ``file.csv:column=value``.

    Raises:
        InputError: no source was given, a source names no image, or --gap is given for images.
    """
    if not sources:
        raise InputError("no images were given: name a folder of normals, an image or a glob with --normal")
    return [path for source in sources for path in _list(source, thinning)]


def _list(source: str | Path, thinning: Thinning) -> list[Path]:
    path = Path(source)
    if is_stream(path) and path.is_file():
        return [path]
    if path.is_dir() and (vectors := list_vectors(path)):
        return vectors
    match = _TABLE.fullmatch(str(source))
    found = _rows(Path(match["file"]), match["column"], match["value"]) if match else list_images(source)
    return _thin(found, thinning, source)


def list_table(file: Path, thinning: Thinning = ALL) -> list[Path]:
    """The files in the column ``path`` of a CSV file; images are thinned, videos come whole.

    Raises:
        InputError: the file cannot be used, or --gap is given for images.
    """
    return _thin(read_table(file).paths, thinning, file)


def _thin(found: Sequence[Path], thinning: Thinning, source: str | Path) -> list[Path]:
    """Videos are thinned frame by frame when they are scored."""
    images = [path for path in found if not is_stream(path)]
    if images and thinning.gap_s is not None:
        raise InputError(f"{source}: images have no frame rate, so --gap cannot be used: use --every")
    return images[:: thinning.every] + [path for path in found if is_stream(path)]


def _rows(file: Path, column: str | None, value: str) -> list[Path]:
    table = read_table(file)
    if column is None:
        return list(table.paths)
    cells = table.column(column)
    found = [path for path, cell in zip(table.paths, cells, strict=True) if cell == value]
    if not found:
        values = ", ".join(sorted(set(cells))[:10])
        raise InputError(f"{file}: no row has {value!r} as its {column}: found are {values}")
    return found
