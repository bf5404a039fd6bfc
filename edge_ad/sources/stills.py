"""Image files as a source: a damaged one becomes a frame that says so, and the stream goes on."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from edge_ad.errors import FrameError
from edge_ad.sources.frame import Frame, FrameSource
from edge_ad.sources.image_file import read_image
from edge_ad.sources.listing import list_images

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["StillSource", "open_stills"]


def open_stills(spec: str | Path) -> StillSource:
    """The images that ``spec`` names; see ``list_images``."""
    return StillSource(list_images(spec))


class StillSource(FrameSource):
    """The given image files, read one at a time as they are asked for. May be iterated again."""

    def __init__(self, paths: list[Path]) -> None:
        self._paths = paths
        self.length: int | None = len(paths)
        self.fps: float | None = None
        self.dropped = 0

    def __iter__(self) -> Iterator[Frame]:
        for index, path in enumerate(self._paths):
            yield _frame(path, index)

    def close(self) -> None:
        """Does nothing: no file is open between two images."""


def _frame(path: Path, index: int) -> Frame:
    captured_at = time.time()
    try:
        return Frame(read_image(path), str(path), index, captured_at)
    except FrameError as error:
        return Frame(None, str(path), index, captured_at, error)
