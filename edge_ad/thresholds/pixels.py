"""By what a calibration knows its images again, whatever their names and file formats."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["MARK_DIGITS", "MOST_MARKS", "hash_of_all", "hash_pixels", "image_marks"]

MOST_MARKS = 100_000
MARK_DIGITS = 12


def hash_pixels(pixels: NDArray[Any]) -> str:
    """The SHA-256 of pixels and their shape, the same for the same picture in another file format."""
    digest = hashlib.sha256(repr(pixels.shape).encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


def hash_of_all(pixel_sha256: Iterable[str]) -> str:
    """The SHA-256 over the pixels of several images, from that of each; it does not depend on their order."""
    return hashlib.sha256(b"".join(sorted(map(bytes.fromhex, pixel_sha256)))).hexdigest()


def image_marks(pixel_sha256: Iterable[str], most: int = MOST_MARKS) -> tuple[str, ...]:
    """By what a record knows its images again: the first digits of the SHA-256 of each, ascending.

    ``most``: of more images the first ones are kept, which is a choice that says nothing about them.
    """
    return tuple(sorted({one[:MARK_DIGITS] for one in pixel_sha256})[:most])
