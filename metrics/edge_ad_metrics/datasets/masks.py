"""Where the defects are, as a person drew them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edge_ad.errors import FrameError, InputError
from edge_ad.sources import read_image

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["read_mask"]

_LOSSY = {".jpg", ".jpeg"}
_HALF = 127


def read_mask(path: Path, height: int, width: int) -> NDArray[np.bool_]:
    """The pixels that are marked as defective, bool ``(height, width)``.

    Every pixel that is not black is marked: some data sets number their defects 1, 2, ... In a JPEG, which smears,
    only what is brighter than half.

    Raises:
        InputError: unreadable, or not of the image's size.
    """
    try:
        pixels = read_image(path)
    except FrameError as error:
        raise InputError(f"mask {error}") from error
    if pixels.shape[:2] != (height, width):
        raise InputError(
            f"mask {path}: expected the image's size {width}x{height}, found {pixels.shape[1]}x{pixels.shape[0]}: "
            "it belongs to another image, or one of the two was resized"
        )
    floor = _HALF if path.suffix.lower() in _LOSSY else 0
    marked: NDArray[np.bool_] = pixels > floor
    return marked if marked.ndim == 2 else np.asarray(marked.any(axis=2))
