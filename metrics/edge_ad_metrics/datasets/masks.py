"""Where the defects are, as a person drew them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_ad.errors import FrameError, InputError
from edge_ad.sources.image_file import decode_stored, is_jpeg, read_file

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from edge_ad_metrics.datasets.dataset import LabelledImage

__all__ = ["marks_anything", "read_defect", "read_mask", "read_masks", "unmarked_note"]

_HALF = 127
# WebP in its lossy form, AVIF and JPEG 2000; a JPEG is found by its first bytes too.
_LOSSY = re.compile(rb"RIFF.{4}WEBPVP8[ X]|.{4}ftypavi[fs]|\0\0\0\x0cjP  |\xff\x4f\xff\x51", re.DOTALL)


def read_defect(image: LabelledImage, height: int, width: int) -> NDArray[np.bool_] | None:
    """Which pixels of an image are defective, bool ``(height, width)``: none of a normal one.

    ``None`` where it is not known: an anomalous image without a mask, or with masks that mark no pixel.

    Raises:
        InputError: a mask is unreadable or not of the image's size, or marks a defect in a normal image.
    """
    marked = read_masks(image.masks, height, width)
    if marked.any() and not image.anomalous:
        raise InputError(
            f"{image.masks[0]}: marks a defect in {image.path}, which is labelled normal: correct one of the two"
        )
    return None if image.anomalous and not marked.any() else marked


def read_masks(paths: Iterable[Path], height: int, width: int) -> NDArray[np.bool_]:
    """The pixels that any of the masks marks, bool ``(height, width)``. Raises :class:`InputError` as
    :func:`read_mask`."""
    marked = np.zeros((height, width), np.bool_)
    for path in paths:
        marked |= read_mask(path, height, width)
    return marked


def read_mask(path: Path, height: int, width: int) -> NDArray[np.bool_]:
    """The pixels that are marked as defective, bool ``(height, width)``.

    Every pixel that is not zero is marked, whatever the type of its numbers: some data sets number their defects 1, 2,
    ... In a JPEG and other lossy formats, which smear, only what is brighter than half. Of a picture with an alpha
    channel that varies, what is not transparent is marked. An orientation in the file is not applied, as with pictures.

    Raises:
        InputError: unreadable, or not of the image's size.
    """
    marked = _marked(path)
    if marked.shape != (height, width):
        raise InputError(
            f"mask {path}: expected the image's size {width}x{height}, found {marked.shape[1]}x{marked.shape[0]}: "
            "it belongs to another image, or one of the two was resized"
        )
    return marked


def marks_anything(path: Path) -> bool:
    """Whether a mask marks any pixel. Raises :class:`InputError` where it is unreadable."""
    return bool(_marked(path).any())


def unmarked_note(images: int) -> str:
    """What is said of anomalous images whose masks mark no pixel."""
    return f"the masks of {images} anomalous images mark no pixel: these are left out of the pixel metrics"


def _marked(path: Path) -> NDArray[np.bool_]:
    pixels, lossy = _decode(path)
    if pixels.ndim == 3 and pixels.shape[2] in (2, 4):
        alpha = pixels[..., -1]
        pixels = alpha if alpha.min() != alpha.max() else pixels[..., :-1]
    marked = pixels > _HALF if lossy else pixels != 0
    return marked if marked.ndim == 2 else np.asarray(marked.any(axis=2))


def _decode(path: Path) -> tuple[NDArray[Any], bool]:
    """The numbers of a mask as they are stored, of any type: ``(H, W)`` or ``(H, W, channels)``; and whether its
    format changes them."""
    try:
        data = read_file(path)
        pixels: NDArray[Any] = decode_stored(path, data)
    except FrameError as error:
        raise InputError(f"mask {error}") from error
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        raise InputError(f"mask {path}: expected 0 where there is no defect, found values that are no numbers")
    return pixels, is_jpeg(data) or _LOSSY.match(data) is not None
