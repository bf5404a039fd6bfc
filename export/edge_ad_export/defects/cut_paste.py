"""A patch of the image itself in the wrong place: CutPaste (Li et al., CVPR 2021)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["cut_paste"]

# The paper's ranges of the patch's area, as a part of the image's, and of its aspect ratio; small patches added.
_AREA = (0.002, 0.08)
_LOG_ASPECT = (math.log(0.3), math.log(3.3))
_MAX_TURN_DEG = 45.0


def cut_paste(image: NDArray[np.uint8], random: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """What to blend over the image, uint8 of its shape, and how much of it, float32 ``(H, W)`` from 0 to 1.

    Args:
        image: uint8 ``(H, W)`` or ``(H, W, 3)``, at least 4 pixels a side; not changed.
    """
    height, width = image.shape[:2]
    area = height * width * math.exp(random.uniform(*np.log(_AREA)))
    aspect = math.exp(random.uniform(*_LOG_ASPECT))
    size = (_side(math.sqrt(area * aspect), width), _side(math.sqrt(area / aspect), height))
    x, y = (int(random.integers(0, limit - side + 1)) for side, limit in zip(size, (width, height), strict=True))
    turned = cv2.getRotationMatrix2D(
        (x + size[0] / 2, y + size[1] / 2), float(random.uniform(-_MAX_TURN_DEG, _MAX_TURN_DEG)), 1.0
    )
    turned[:, 2] += random.uniform(0, width) - x - size[0] / 2, random.uniform(0, height) - y - size[1] / 2
    patch = np.zeros((height, width), np.float32)
    patch[y : y + size[1], x : x + size[0]] = 1
    pasted = cv2.warpAffine(image, turned, (width, height), flags=cv2.INTER_LINEAR)
    mask = cv2.warpAffine(patch, turned, (width, height), flags=cv2.INTER_LINEAR)
    return pasted.astype(np.uint8, copy=False), mask.astype(np.float32, copy=False)


def _side(length: float, limit: int) -> int:
    return min(max(round(length), 2), limit // 2)
