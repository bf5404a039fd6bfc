"""Which images a calibration was made from, so that they are known again: an evaluation on them is too kind."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from edge_ad.bundle.records import Calibration

__all__ = ["MOST_MARKS", "hash_of_all", "image_marks", "known_again"]

MOST_MARKS = 100_000

_DIGITS = 12


def hash_of_all(pixel_sha256: Iterable[str]) -> str:
    """The SHA-256 over the pixels of several images, from that of each; it does not depend on their order."""
    return hashlib.sha256(b"".join(sorted(map(bytes.fromhex, pixel_sha256)))).hexdigest()


def image_marks(pixel_sha256: Iterable[str], most: int = MOST_MARKS) -> tuple[str, ...]:
    """By what a record knows its images again: the first digits of the SHA-256 of each, ascending.

    ``most``: of more images the first ones are kept, which is a choice that says nothing about them.
    """
    return tuple(sorted({one[:_DIGITS] for one in pixel_sha256})[:most])


def known_again(calibration: Calibration, pixel_sha256: Sequence[str]) -> int | None:
    """How many of these images the calibration was made from, or at least so many where it had more than it keeps.

    ``None``: its record is of an earlier version, and does not tell. It still tells that all of them are the same.
    """
    if calibration.images:
        known = frozenset(calibration.images)
        return sum(one[:_DIGITS] in known for one in pixel_sha256)
    return len(pixel_sha256) if hash_of_all(set(pixel_sha256)) == calibration.images_sha256 else None
