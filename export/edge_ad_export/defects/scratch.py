"""A thin curved line, darker or lighter than what it crosses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["scratch"]

_STEPS = 24
# As parts of the longer side.
_LENGTH = (0.06, 0.4)
_WIDTH = (0.002, 0.012)
_BEND_RAD = 1.2
_CONTRAST = (25.0, 110.0)


def scratch(image: NDArray[np.uint8], random: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """What to blend over the image, uint8 of its shape, and how much of it, float32 ``(H, W)`` from 0 to 1.

    Args:
        image: uint8 ``(H, W)`` or ``(H, W, 3)``; not changed.
    """
    height, width = image.shape[:2]
    longer = max(height, width)
    headings = random.uniform(0, 2 * np.pi) + np.linspace(0, random.uniform(-_BEND_RAD, _BEND_RAD), _STEPS)
    steps = np.stack([np.cos(headings), np.sin(headings)], axis=1) * longer * random.uniform(*_LENGTH) / _STEPS
    path = np.cumsum(steps, axis=0)
    path += random.uniform((0, 0), (width, height)) - path[_STEPS // 2]
    mask = np.zeros((height, width), np.uint8)
    thickness = max(round(longer * random.uniform(*_WIDTH)), 1)
    cv2.polylines(mask, [np.round(path).astype(np.int32)], False, 255, thickness, cv2.LINE_AA)
    contrast = random.choice((-1.0, 1.0)) * random.uniform(*_CONTRAST)
    line = np.clip(image + np.float32(contrast), 0, 255)
    return line.astype(np.uint8), (mask / np.float32(255)).astype(np.float32)
