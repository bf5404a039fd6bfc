"""Feature vectors as a source: a NumPy file with one row per frame."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge_ad.errors import InputError, one_line
from edge_ad.sources.frame import Frame, FrameSource
from edge_ad.sources.frame_name import FrameName

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = ["VectorSource", "open_vectors"]


def open_vectors(spec: str | Path) -> VectorSource:
    """The vectors of an ``.npy`` file, float32 or float64 ``(frames, n)``.

    Raises:
        InputError: there is no such file, or it holds something else.
    """
    path = Path(spec)
    try:
        # Mapped, not read: an hour of vectors need not fit into memory.
        rows = np.lib.format.open_memmap(path, mode="r")
    except OSError as error:
        raise InputError(f"{path}: cannot be opened: {error.strerror or error}") from error
    except ValueError as error:
        raise InputError(f"{path}: is no NumPy file of vectors, or cut off: {one_line(error)}") from error
    if rows.ndim != 2 or 0 in rows.shape or rows.dtype.str[1:] not in ("f4", "f8"):
        raise InputError(
            f"{path}: expected vectors, float32 or float64 (frames, n), one row per frame, found {rows.dtype} "
            f"{list(rows.shape)}"
        )
    return VectorSource(path, rows)


class VectorSource(FrameSource):
    """The rows of a file, each a frame with ``features`` and no picture. May be iterated again."""

    def __init__(self, path: Path, rows: NDArray[np.floating]) -> None:
        self._path = path
        self._rows = rows
        self.length: int | None = len(rows)
        self.fps: float | None = None
        self.dropped = 0

    def __iter__(self) -> Iterator[Frame]:
        for index, row in enumerate(self._rows):
            with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and that is not scored
                vector = np.array(row, np.float32)
            yield Frame(None, str(FrameName(str(self._path), index)), index, time.time(), features=vector)

    def close(self) -> None:
        """Does nothing: the file is closed when the source is deleted."""
