"""Which images a calibration was made from, so that they are known again: an evaluation on them is too kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_ad.thresholds.pixels import MARK_DIGITS, hash_of_all

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge_ad.bundle.records import Calibration

__all__ = ["known_again"]


def known_again(calibration: Calibration, pixel_sha256: Sequence[str]) -> int | None:
    """How many of these images the calibration was made from, or at least so many where it had more than it keeps.

    ``None``: its record is of an earlier version, and does not tell. It still tells that all of them are the same.
    """
    if calibration.images:
        known = frozenset(calibration.images)
        return sum(one[:MARK_DIGITS] in known for one in pixel_sha256)
    return len(pixel_sha256) if hash_of_all(set(pixel_sha256)) == calibration.images_sha256 else None
