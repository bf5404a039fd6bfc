"""Which images of the station's evidence are wanted; its index is only read."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from edge_ad.controllers.files.files_settings import FilesSettings
from edge_ad.verdict import State

__all__ = ["Found", "Image", "find_images"]

_INDEX = "index.sqlite"
_NEXT = "SELECT rowid, name, state FROM evidence WHERE rowid > ? ORDER BY rowid LIMIT ?"
_AT_ONCE = 200
_WAIT_S = 0.2


class Image(msgspec.Struct, frozen=True, kw_only=True):
    """A frame of an inspection that goes out; ``name``: of its files, without a suffix."""

    inspection: str
    name: str


@dataclass(slots=True)
class Found:
    """``marks``: how far the indices were read, to be given to the next call once the images are safe."""

    images: list[Image] = field(default_factory=list)
    marks: dict[str, int] = field(default_factory=dict)


def find_images(folder: Path, settings: FilesSettings, mark: Callable[[str], int]) -> Found:
    """The images that were kept since then, those of each inspection in the order in which they came.

    Raises:
        sqlite3.Error: an index cannot be read now.
    """
    found = Found()
    for index in sorted(folder.glob(f"*/{_INDEX}")):
        _read(index, settings, mark, found)
    return found


def _read(index: Path, settings: FilesSettings, mark: Callable[[str], int], found: Found) -> None:
    inspection = index.parent.name
    seen, counted = f"seen {inspection}", f"accepted {inspection}"
    last, accepted = mark(seen), mark(counted)
    # Read-only and for a moment: the scorer that writes here never waits for us longer than one query.
    with contextlib.closing(sqlite3.connect(f"{index.as_uri()}?mode=ro", uri=True, timeout=_WAIT_S)) as file:
        (newest,) = file.execute("SELECT coalesce(max(rowid), 0) FROM evidence").fetchone()
        if newest < last:
            last = 0  # the index was made anew: what was sent goes out again, under the same names
        while rows := file.execute(_NEXT, (last, _AT_ONCE)).fetchall():
            last = rows[-1][0]
            for _, name, state in rows:
                accepted += state == State.ACCEPT.value
                if _is_wanted(state, accepted, settings):
                    found.images.append(Image(inspection=inspection, name=name))
    found.marks |= {seen: last, counted: accepted}


def _is_wanted(state: str, accepted: int, settings: FilesSettings) -> bool:
    if state == State.REJECT.value:
        return settings.rejects
    if state == State.INVALID.value:
        return settings.invalid
    return settings.every > 0 and accepted % settings.every == 0
