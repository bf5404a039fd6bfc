"""Anomaly maps as colour over a picture, on a scale that is tied to the pixel threshold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ColourRange", "ColourScale", "coloured", "overlay"]

_MIDDLE_LEVEL = 128
_OUTSIDE_SHADE = 0.6
# Defects seldom lie as far above the threshold as normal pixels lie below it.
_HIGH_WIDTH = 0.6
# Level 0-255 -> BGR and opacity. Below the pixel threshold a faint blue, from the threshold on yellow to red.
_LEVELS = (0, _MIDDLE_LEVEL - 1, _MIDDLE_LEVEL, 192, 255)
_BLUE = (255, 160, 0, 0, 0)
_GREEN = (120, 220, 230, 120, 0)
_RED = (0, 0, 255, 255, 235)
_OPACITY = (0.0, 0.22, 0.5, 0.65, 0.7)


@dataclass(frozen=True, slots=True)
class ColourRange:
    """What the colours stand for, in map units, ascending.

    Below ``low`` there is no colour, and towards ``middle`` a faint blue. From ``middle`` on, which is the pixel
    threshold where there is one, colours go from yellow to red; ``high`` and above is red.

    Raises:
        ValueError: the three values do not ascend.
    """

    low: float
    middle: float
    high: float

    def __post_init__(self) -> None:
        if not self.low < self.middle < self.high:
            raise ValueError(f"expected low < middle < high, found {self.low}, {self.middle}, {self.high}")


class ColourScale:
    """One colour scale for all pictures of a run.

    With a pixel threshold it is the middle of the scale, and the scale's width is how far the threshold lies
    above the median of the first map, so that a normal part looks calm and a defect looks the same in every
    picture. Without one, each picture is coloured relative to itself.
    """

    def __init__(self) -> None:
        self._width: float | None = None

    def fit(self, anomaly_map: NDArray[np.float32], pixel_threshold: float | None) -> ColourRange | None:
        """The range for this map, (H, W) with NaN outside the inspected area; ``None`` if all of it is outside."""
        inside = anomaly_map[np.isfinite(anomaly_map)]
        if inside.size == 0:
            return None
        if pixel_threshold is None:
            lowest, highest = float(inside.min()), float(inside.max())
            return _around(lowest + (highest - lowest) / (1 + _HIGH_WIDTH), (highest - lowest) / (1 + _HIGH_WIDTH))
        if self._width is None:
            width = pixel_threshold - float(np.median(inside))
            if width <= 0:  # most of the picture is anomalous: nothing to learn from
                return _around(pixel_threshold, abs(pixel_threshold) / 2)
            self._width = width
        return _around(pixel_threshold, self._width)


def coloured(anomaly_map: NDArray[np.float32], colour_range: ColourRange) -> NDArray[np.uint8]:
    """The colours alone, uint8 (H, W, 4) BGR and opacity, to be laid over a picture; black where the map is NaN."""
    outside = ~np.isfinite(anomaly_map)
    level = _levels(np.where(outside, np.float32(colour_range.low), anomaly_map), colour_range)
    out = np.empty((*anomaly_map.shape, 4), np.uint8)
    out[..., :3] = _colours()[:, 0][level]
    out[..., 3] = np.rint(_interpolated(_OPACITY) * 255).astype(np.uint8)[level]
    out[outside] = (0, 0, 0, round(255 * _OUTSIDE_SHADE))
    return out


def overlay(image: NDArray[np.uint8], anomaly_map: NDArray[np.float32], colour_range: ColourRange) -> NDArray[np.uint8]:
    """``image``, (H, W, 3) BGR, under the colours of the map, float32 (H, W); darkened where the map is NaN."""
    import cv2

    outside = ~np.isfinite(anomaly_map)
    level = _levels(np.where(outside, np.float32(colour_range.low), anomaly_map), colour_range)
    colour = cv2.applyColorMap(level, _colours())
    opacity = cv2.LUT(level, _interpolated(_OPACITY))
    colour[outside] = 0
    opacity[outside] = _OUTSIDE_SHADE
    blended: NDArray[np.uint8] = cv2.blendLinear(image, colour, 1 - opacity, opacity)
    return blended


def _levels(anomaly_map: NDArray[np.float32], colour_range: ColourRange) -> NDArray[np.uint8]:
    """0 up to ``low``, at most 127 up to ``middle``, at least 128 above it, 255 from ``high`` on."""
    low, middle, high = colour_range.low, colour_range.middle, colour_range.high
    below = np.clip((anomaly_map - low) * ((_MIDDLE_LEVEL - 1) / (middle - low)), 0, _MIDDLE_LEVEL - 1)
    above = np.minimum(_MIDDLE_LEVEL + (anomaly_map - middle) * ((255 - _MIDDLE_LEVEL) / (high - middle)), 255)
    level: NDArray[np.uint8] = np.where(anomaly_map > middle, above, below).astype(np.uint8)
    return level


def _colours() -> NDArray[np.uint8]:
    """OpenCV's form of a colour map: uint8 (256, 1, 3), BGR."""
    channels = [_interpolated(channel) for channel in (_BLUE, _GREEN, _RED)]
    colours: NDArray[np.uint8] = np.stack(channels, axis=-1).astype(np.uint8)[:, None]
    return colours


def _interpolated(values: tuple[float, ...]) -> NDArray[np.float32]:
    levels: NDArray[np.float32] = np.interp(np.arange(256), _LEVELS, values).astype(np.float32)
    return levels


def _around(middle: float, width: float) -> ColourRange:
    # Wide enough to survive rounding where all values are equal.
    width = max(width, abs(middle) * 1e-6, 1e-12)
    return ColourRange(middle - width, middle, middle + _HIGH_WIDTH * width)
