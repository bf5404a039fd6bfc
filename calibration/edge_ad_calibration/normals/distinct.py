"""Picks images for people to look at: one of each part, and none that looks like one that was picked before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edge_ad.sources.frame_name import FrameName
from edge_ad_calibration.normals.leaks import likeness, sign, thumbnail

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from numpy.typing import NDArray

__all__ = ["Picked", "pick_distinct"]

# From this correlation of locally normalized images on, two of them look alike. Measured on magnetic tiles, each
# photographed under several exposures: nine in ten pairs of one tile reach it, and one in two thousand other pairs.
_ALIKE = 0.7
# Of the small gray copies that are compared, which have 32 pixels a side.
_BLUR_PX = 4
# How many candidates are compared for each image that is picked.
_CANDIDATES = 4
# Frames of one video that are closer than this are taken for the same scene.
_SAME_SCENE_FRAMES = 15


@dataclass(slots=True)
class Picked:
    """``place``: of the image among all of them. ``alike``: how many others were left out because of it."""

    place: int
    name: str
    alike: int = 0


def pick_distinct(
    names: Sequence[str],
    parts: Sequence[Hashable],
    most: int,
    read: Callable[[str], NDArray[np.uint8]],
) -> list[Picked]:
    """At most ``most`` of the images, in their order.

    An image is left out if it shows the part of one that was picked, if it looks like it, or if it is a frame close
    to it in the same video. The search ends after four times as many parts as are wanted.

    Args:
        names: the names of the images, the most interesting first.
        parts: the part that each of them shows.
        most: how many to pick.
        read: gives the picture of a name, uint8 ``(H, W)`` or ``(H, W, 3)``.

    Raises:
        FrameError: from ``read``.
    """
    first: dict[Hashable, int] = {}
    others: dict[Hashable, int] = {}
    for place, part in enumerate(parts):
        if part in first:
            others[part] = others.get(part, 0) + 1
        elif len(first) < _CANDIDATES * most:
            first[part] = place
    candidates = list(first.values())
    like = _likeness([names[place] for place in candidates], read)
    picked: dict[int, Picked] = {}
    for row, place in enumerate(candidates):
        known = next((other for other in picked if like[row, other] >= _ALIKE), None)
        if known is not None:
            picked[known].alike += 1
        elif len(picked) < most:
            picked[row] = Picked(place, names[place], others.get(parts[place], 0))
    return list(picked.values())


def _likeness(names: Sequence[str], read: Callable[[str], NDArray[np.uint8]]) -> NDArray[np.float64]:
    """How alike each two images are, float64 ``(n, n)``, -1 to 1. Frames of videos are compared by their numbers."""
    like = np.full((len(names), len(names)), -1.0)
    parsed = [FrameName.parse(name) for name in names]
    stills = [row for row, name in enumerate(parsed) if name.index is None]
    if stills:
        normalized = [_normalize(thumbnail(read(names[row]))) for row in stills]
        signatures = sign(tuple(names[row] for row in stills), normalized)
        like[np.ix_(stills, stills)] = likeness(signatures)
    for row, one in enumerate(parsed):
        for column, other in enumerate(parsed):
            if one.index is not None and other.index is not None and (one.file, one.box) == (other.file, other.box):
                like[row, column] = 1.0 if abs(one.index - other.index) < _SAME_SCENE_FRAMES else -1.0
    return like


def _normalize(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each pixel less the mean around it, over the spread around it, so that exposure and shading do not count.

    ``image``: float32 ``(H, W)``, gray levels 0 to 255. The result has no unit and about the range -3 to 3.
    """
    import cv2

    detail = image - cv2.GaussianBlur(image, (0, 0), _BLUR_PX)
    spread = np.sqrt(cv2.GaussianBlur(detail * detail, (0, 0), _BLUR_PX))
    normalized: NDArray[np.float32] = (detail / (spread + 1)).astype(np.float32)
    return normalized
