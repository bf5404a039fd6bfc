"""Finds normal images that look like training images. A model scores these lower than new parts."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from edge_ad.errors import FrameError, InputError
from edge_ad.sources import read_image
from edge_ad_metrics.datasets.image_table import named

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = [
    "SAME_PART",
    "Leak",
    "Signatures",
    "count_near_duplicates",
    "find_leaks",
    "likeness",
    "read_signatures",
    "sign",
    "thumbnail",
]

SAME_PART = 0.95
"""Two images with this correlation or more are taken to show the same part."""

_SIDE = 32
_HASH_SIDE = 8
_MOST_BITS = 3
_ROWS = 1024
# The mean of fewer images does not show what all parts have in common.
_FEWEST_FOR_MEAN = 10


class Leak(msgspec.Struct, frozen=True, kw_only=True):
    """A held-out image and the training image that it resembles most.

    ``correlation``: of the two, after the mean training image was subtracted from each. ``hash_distance``: how many of
    the 63 bits of their perceptual hashes differ.
    """

    image: str
    training_image: str
    correlation: float
    hash_distance: int


@dataclass(frozen=True, slots=True)
class Signatures:
    """What is compared of ``n`` images.

    ``gray``: float32 ``(n, 1024)``, each image as 32 x 32 gray pixels with mean 0 and norm 1. ``hashes``: float32
    ``(n, 63)`` of -1 and 1, a perceptual hash: whether each of the lowest frequencies, without the mean, is above their
    median.
    """

    names: tuple[str, ...]
    gray: NDArray[np.float32]
    hashes: NDArray[np.float32]


def read_signatures(paths: Sequence[Path], *, workers: int | None = None) -> Signatures:
    """Reads images and computes their signatures, which take about 4 KB of memory for each image.

    Raises:
        InputError: images cannot be read; the message names the first of them.
    """
    with ThreadPoolExecutor(workers) as pool:
        signed = list(pool.map(_read, paths))
    problems = [str(one) for one in signed if isinstance(one, FrameError)]
    if problems:
        raise InputError(f"{len(problems)} of {len(paths)} images cannot be read: {named(problems, '; ')}")
    return sign(tuple(map(str, paths)), [one for one in signed if not isinstance(one, FrameError)])


def sign(names: tuple[str, ...], thumbnails: Sequence[NDArray[np.float32]]) -> Signatures:
    """The signatures of images.

    ``thumbnails``: of each image the result of :func:`thumbnail`, float32 ``(32, 32)``, gray levels 0 to 255.
    """
    import cv2

    pixels = np.stack([one.ravel() for one in thumbnails])
    gray = pixels - pixels.mean(axis=1, keepdims=True)
    corner = slice(0, _HASH_SIDE)
    low = np.stack([cv2.dct(one)[corner, corner].ravel()[1:] for one in thumbnails])
    above = low > np.median(low, axis=1, keepdims=True)
    return Signatures(names, _unit(gray), np.where(above, np.float32(1), np.float32(-1)))


def thumbnail(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """An image, uint8 ``(H, W)`` or ``(H, W, 3)``, as float32 ``(32, 32)`` gray levels, averaged, not sampled."""
    import cv2

    gray = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    small: NDArray[np.float32] = cv2.resize(gray.astype(np.float32), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    return small


def find_leaks(held_out: Signatures, training: Signatures, *, same_part: float = SAME_PART) -> list[Leak]:
    """The held-out images that seem to show the same part as a training image.

    The mean training image is subtracted first, because what all parts have in common makes any two images correlate.
    The rest tells one part from another, in spite of another brightness, contrast, noise or compression. The
    perceptual hash also finds pairs that differ in one place. Images that are turned, mirrored or shifted by much are
    not found.

    Args:
        same_part: the smallest correlation; images whose hashes differ in 3 bits or fewer are found too.
    """
    mean = training.gray.mean(axis=0) if len(training.names) >= _FEWEST_FOR_MEAN else np.float32(0)
    reference = _unit(training.gray - mean)
    leaks = []
    for start in range(0, len(held_out.names), _ROWS):
        rows = slice(start, start + _ROWS)
        alike = _unit(held_out.gray[rows] - mean) @ reference.T
        distance = np.rint((training.hashes.shape[1] - held_out.hashes[rows] @ training.hashes.T) / 2)
        # A pair with nearly the same hash outranks one that only correlates.
        rank = np.where(distance <= _MOST_BITS, 1 + alike, alike)
        for row, best in enumerate(rank.argmax(axis=1)):
            if alike[row, best] >= same_part or distance[row, best] <= _MOST_BITS:
                leaks.append(
                    Leak(
                        image=held_out.names[start + row],
                        training_image=training.names[best],
                        correlation=round(float(alike[row, best]), 4),
                        hash_distance=int(distance[row, best]),
                    )
                )
    return leaks


def count_near_duplicates(held_out: Signatures, part: NDArray[np.intp], *, same_part: float = SAME_PART) -> int:
    """How many held-out images look like an image of another observation.

    Args:
        part: intp ``(n,)``, the observation that each image belongs to.
        same_part: the smallest correlation, as in :func:`find_leaks`.
    """
    mean = held_out.gray.mean(axis=0) if len(held_out.names) >= _FEWEST_FOR_MEAN else np.float32(0)
    gray, near_duplicates = _unit(held_out.gray - mean), 0
    for start in range(0, len(held_out.names), _ROWS):
        rows = slice(start, start + _ROWS)
        alike = gray[rows] @ gray.T >= same_part
        alike &= part[rows, None] != part[None]
        near_duplicates += int(alike.any(axis=1).sum())
    return near_duplicates


def likeness(images: Signatures) -> NDArray[np.float32]:
    """The correlation of each two images, as in :func:`find_leaks`: float32 ``(n, n)``, -1 to 1."""
    mean = images.gray.mean(axis=0) if len(images.names) >= _FEWEST_FOR_MEAN else np.float32(0)
    gray = _unit(images.gray - mean)
    alike: NDArray[np.float32] = gray @ gray.T
    return alike


def _read(path: Path) -> NDArray[np.float32] | FrameError:
    try:
        return thumbnail(read_image(path))
    except FrameError as error:
        return error


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    norm = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: NDArray[np.float32] = rows / np.where(norm > 0, norm, np.float32(1))
    return unit
