"""Where the objects of a source's frames are: a CSV file that an upstream detector or locator has written."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

from edge_ad.errors import InputError
from edge_ad.sources.frame_name import FrameName
from edge_ad.sources.listing import VIDEO_SUFFIXES
from edge_ad.verdict import Box

__all__ = ["ObjectTable", "read_objects"]

_BOX = ("x", "y", "width", "height")
_COLUMNS = ("path", *_BOX)


class ObjectTable:
    """The boxes of each frame, in the order of the file's rows. ``file``: where they were read from."""

    def __init__(self, file: Path, boxes: dict[str, list[Box]]) -> None:
        self.file = file
        self._boxes = boxes

    def boxes(self, source: str) -> list[Box]:
        """The boxes of a frame, by the name that its source gives it; empty where the file has none for it."""
        return self._boxes.get(_key(FrameName.parse(source)), [])


def read_objects(file: Path) -> ObjectTable:
    """Reads a CSV file with the columns ``path``, ``x``, ``y``, ``width`` and ``height``: one row per object.

    ``path`` is an image, or ``clip.avi#12`` for frame 12 of a video, from the file's own folder or, where it is not
    there, from the working directory. Boxes are in whole camera pixels; whether they lie inside their frame is only
    known when it comes. Other columns are passed over.

    Raises:
        InputError: no such file, a column is missing, or a row names no file or no whole numbers.
    """
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream, strict=True)
            missing = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                found = ", ".join(reader.fieldnames or ()) or "nothing"
                raise InputError(f"{file}: expected a header line with {', '.join(_COLUMNS)}, found {found}")
            boxes: dict[str, list[Box]] = {}
            keys: dict[str, str] = {}
            for row in reader:
                where = f"{file}: line {reader.line_num}"
                path = (row["path"] or "").strip()
                if path not in keys:
                    keys[path] = _find(path, file.parent, where)
                boxes.setdefault(keys[path], []).append(_box(row, where))
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {error.strerror}") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"{file}: is no CSV file in UTF-8: {error}") from error
    if not boxes:
        raise InputError(f"{file}: has a header but no rows: expected one for each object")
    return ObjectTable(file, boxes)


def _box(row: dict[str, str | None], where: str) -> Box:
    values = []
    for name in _BOX:
        text = row[name]
        try:
            values.append(int(text or ""))
        except ValueError:
            raise InputError(f"{where}: expected whole pixels as {name}, found {text!r}") from None
    return Box(*values)


def _find(path: str, folder: Path, where: str) -> str:
    """The key of the frame that a row names."""
    name = FrameName.parse(path)
    if Path(name.file).suffix.lower() in VIDEO_SUFFIXES and name.index is None:
        raise InputError(f"{where}: expected a frame of the video, such as {FrameName(name.file, 12)}, found {path!r}")
    for candidate in (folder / name.file, Path(name.file)):
        if name.file and candidate.is_file():
            return _key(replace(name, file=str(candidate)))
    raise InputError(f"{where}: there is no file {name.file!r}, neither in {folder} nor here")


def _key(name: FrameName) -> str:
    """The same for all ways to write one name."""
    return str(replace(name, file=str(Path(name.file).resolve())))
