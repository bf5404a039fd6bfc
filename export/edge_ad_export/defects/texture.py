"""Another image's texture showing through in patches of Perlin noise: DRAEM (Zavrtanik et al., ICCV 2021)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["perlin_noise", "texture"]

# Cells of the noise along the longer side: large blotches to small ones.
_CELLS = (2, 4, 8, 16)
# The part of the image that is covered.
_COVER = (0.005, 0.08)
# The paper takes its textures from a data set of them; here it is a normal image made strange.
_GAIN = (0.5, 1.6)
_SHIFT = (-60.0, 60.0)


def perlin_noise(height: int, width: int, cells: int, random: np.random.Generator) -> NDArray[np.float32]:
    """Gradient noise (Perlin, SIGGRAPH 1985), float32 ``(height, width)``, about -1 to 1, of square cells.

    Args:
        cells: how many lie along the longer side.
    """
    pitch = max(height, width) / cells
    y = (np.arange(height, dtype=np.float32)[:, None] + 0.5) / pitch
    x = (np.arange(width, dtype=np.float32)[None, :] + 0.5) / pitch
    angles = random.uniform(0, 2 * np.pi, (cells + 1, cells + 1)).astype(np.float32)
    down, right = y.astype(int), x.astype(int)
    y, x = y - down, x - right

    def corner(i: int, j: int) -> NDArray[np.float32]:
        angle = angles[down + i, right + j]
        towards: NDArray[np.float32] = np.cos(angle) * (x - j) + np.sin(angle) * (y - i)
        return towards

    fade_y, fade_x = (t * t * t * (t * (t * 6 - 15) + 10) for t in (y, x))
    top = corner(0, 0) * (1 - fade_x) + corner(0, 1) * fade_x
    bottom = corner(1, 0) * (1 - fade_x) + corner(1, 1) * fade_x
    noise: NDArray[np.float32] = np.sqrt(np.float32(2)) * (top * (1 - fade_y) + bottom * fade_y)
    return noise.astype(np.float32, copy=False)


def texture(
    image: NDArray[np.uint8], donor: NDArray[np.uint8], random: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """What to blend over the image, uint8 of its shape, and how much of it, float32 ``(H, W)`` from 0 to 1.

    Args:
        image: uint8 ``(H, W)`` or ``(H, W, 3)``; not changed.
        donor: uint8 with as many channels, of any size: where the texture is taken from.
    """
    height, width = image.shape[:2]
    noise = perlin_noise(height, width, int(random.choice(_CELLS)), random)
    cover = random.uniform(*_COVER)
    # Half of the largest value at least: of a flat noise a quantile would take everything.
    level = np.quantile(noise, 1 - cover)
    ramp = np.clip((noise - level) / max(float(noise.max() - level), 1e-6) * 4, 0, 1)
    strange = np.roll(donor, int(random.integers(1, max(donor.shape[1], 2))), axis=1)[::-1].astype(np.float32)
    strange = cv2.resize(strange, (width, height), interpolation=cv2.INTER_AREA).reshape(image.shape)
    channels = image.shape[2:]
    strange = strange * random.uniform(*_GAIN, channels) + random.uniform(*_SHIFT, channels)
    return np.clip(strange, 0, 255).astype(np.uint8), ramp.astype(np.float32)
