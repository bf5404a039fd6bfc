"""Where the defects are, as a person drew them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edge_ad.errors import FrameError, InputError
from edge_ad.sources.image_file import decode_stored, read_file

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from edge_ad_metrics.datasets.dataset import LabelledImage

__all__ = ["read_defect", "read_mask"]

_LOSSY = {".jpg", ".jpeg"}
_HALF = 127


def read_defect(image: LabelledImage, height: int, width: int) -> NDArray[np.bool_] | None:
    """Which pixels of an image are defective, bool ``(height, width)``: none of a normal one.

    ``None`` where it is not known: an anomalous image without a mask, or with one that marks no pixel.

    Raises:
        InputError: the mask is unreadable or not of the image's size, or marks a defect in a normal image.
    """
    marked = np.zeros((height, width), np.bool_) if image.mask is None else read_mask(image.mask, height, width)
    if marked.any() and not image.anomalous:
        raise InputError(
            f"{image.mask}: marks a defect in {image.path}, which is labelled normal: correct one of the two"
        )
    return None if image.anomalous and not marked.any() else marked


def read_mask(path: Path, height: int, width: int) -> NDArray[np.bool_]:
    """The pixels that are marked as defective, bool ``(height, width)``.

    Every pixel that is not zero is marked, whatever the type of its numbers: some data sets number their defects 1, 2,
    ... In a JPEG, which smears, only what is brighter than half. Of a picture with an alpha channel that varies, what
    is not transparent is marked.

    Raises:
        InputError: unreadable, or not of the image's size.
    """
    pixels = _decode(path)
    if pixels.shape[:2] != (height, width):
        raise InputError(
            f"mask {path}: expected the image's size {width}x{height}, found {pixels.shape[1]}x{pixels.shape[0]}: "
            "it belongs to another image, or one of the two was resized"
        )
    if pixels.ndim == 3 and pixels.shape[2] in (2, 4):
        alpha = pixels[..., -1]
        pixels = alpha if alpha.min() != alpha.max() else pixels[..., :-1]
    marked = pixels > _HALF if path.suffix.lower() in _LOSSY else pixels != 0
    return marked if marked.ndim == 2 else np.asarray(marked.any(axis=2))


def _decode(path: Path) -> NDArray[Any]:
    """The numbers of a mask as they are stored, of any type: ``(H, W)`` or ``(H, W, channels)``."""
    try:
        pixels: NDArray[Any] = decode_stored(path, read_file(path))
    except FrameError as error:
        raise InputError(f"mask {error}") from error
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        raise InputError(f"mask {path}: expected 0 where there is no defect, found values that are no numbers")
    return pixels
