"""One defect, blended into an image where it will be seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, get_args

import numpy as np

from edge_ad_export.defects.cut_paste import cut_paste
from edge_ad_export.defects.scratch import scratch
from edge_ad_export.defects.texture import texture

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["KINDS", "Defect", "Kind", "draw_defect"]

Kind = Literal["cut-paste", "texture", "scratch"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

# From hardly to be seen to plain: ranks are to be kept along the whole way.
_STRENGTH = (0.25, 1.0)
_TRIES = 20
# A pixel counts as changed from so many grey levels on, and a defect as visible from so many pixels on.
_CHANGED = 8
_VISIBLE_SHARE = 2e-4


@dataclass(frozen=True)
class Defect:
    """``image``: uint8 of the normal's shape. ``mask``: bool ``(H, W)``, the pixels that differ visibly."""

    image: NDArray[np.uint8]
    mask: NDArray[np.bool_]


def draw_defect(
    kind: Kind,
    image: NDArray[np.uint8],
    donor: NDArray[np.uint8],
    seen: NDArray[np.bool_],
    random: np.random.Generator,
) -> Defect:
    """The image with one defect in what is ``seen``, drawn again until it shows, at most 20 times.

    Args:
        image: uint8 ``(H, W)`` or ``(H, W, 3)``, at least 4 pixels a side; not changed.
        donor: another normal image with as many channels.
        seen: bool ``(H, W)``, the pixels that the model gets to see.
    """
    least = max(_VISIBLE_SHARE * float(seen.sum()), 1.0)
    for _ in range(_TRIES):
        over, share = _over(kind, image, donor, random)
        share = share * seen * np.float32(random.uniform(*_STRENGTH))
        weight = share[..., None] if image.ndim == 3 else share
        mixed = np.round(image + weight * (over.astype(np.float32) - image)).astype(np.uint8)
        change = np.abs(mixed.astype(np.int16) - image)
        mask = (change.max(axis=2) if image.ndim == 3 else change) >= _CHANGED
        if mask.sum() >= least:
            break
    return Defect(mixed, mask)


def _over(
    kind: Kind, image: NDArray[np.uint8], donor: NDArray[np.uint8], random: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    if kind == "cut-paste":
        return cut_paste(image, random)
    if kind == "texture":
        return texture(image, donor, random)
    return scratch(image, random)
