"""A fixed bank of filters instead of a trained backbone: colour, edges and texture at every place of the image."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["COLOURS", "POOL", "POOL_STRIDE", "RADIUS", "FilterBank", "compress", "filter_bank", "responses"]

Array = NDArray[np.float32]

COLOURS = 3
RADIUS = 3
POOL, POOL_STRIDE = 12, 4
_LUMA_RGB = (0.299, 0.587, 0.114)
# Wavelength and width of the filters, in pixels; each at four orientations.
_GABORS = ((3.5, 1.4), (7.0, 2.2))


@dataclass(frozen=True, slots=True)
class FilterBank:
    """``weights`` (G, 3, 7, 7) float32 over RGB 0..1: oriented filters, none with a response to even colour."""

    weights: Array

    def scaled(self, scale: Array) -> FilterBank:
        """The bank whose every response is multiplied by its entry of ``scale`` (G,)."""
        return FilterBank(self.weights * scale[:, None, None, None])


def filter_bank() -> FilterBank:
    """Odd Gabor filters (Daugman 1985) on the brightness.

    Being odd they sum to zero, and still do when their weights are rounded to eight bits.
    """
    y, x = np.mgrid[-RADIUS : RADIUS + 1, -RADIUS : RADIUS + 1].astype(np.float64)
    weights = []
    for wavelength, width in _GABORS:
        envelope = np.exp(-(x * x + y * y) / (2 * width**2))
        for angle in np.arange(4) * np.pi / 4:
            gabor = envelope * np.sin(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / wavelength)
            weights.append(np.multiply.outer(_LUMA_RGB, gabor / np.abs(gabor).sum()))
    return FilterBank(np.asarray(weights, np.float32))


def responses(bank: FilterBank, image: NDArray[np.uint8]) -> Array:
    """Pooled colour and filter energy of one BGR image (H, W, 3): (3 + G, H/4, W/4) float32, none below zero.

    The same in OpenCV as the graph's AveragePool of the image beside its Conv, Abs and AveragePool.
    """
    rgb = np.ascontiguousarray(image[..., ::-1], np.float32) / np.float32(255)
    colour = [_pool(rgb[..., channel]) for channel in range(COLOURS)]
    return np.stack(colour + [_pool(np.abs(_filter(rgb, weight))) for weight in bank.weights])


def compress(pooled: Array) -> Array:
    """Responses to features: ``log(1 + x)`` draws in the long tail that energies have and normal variables have not."""
    return np.asarray(np.log1p(pooled), np.float32)


def _filter(rgb: Array, weight: Array) -> Array:
    planes = [cv2.filter2D(rgb[..., c], cv2.CV_32F, weight[c], borderType=cv2.BORDER_CONSTANT) for c in range(3)]
    return np.asarray(sum(planes), np.float32)


def _pool(values: Array) -> Array:
    """The mean over 12 x 12 values at every fourth one, counting only those inside the image."""
    return _window_sum(values) / _window_sum(np.ones_like(values))


def _window_sum(values: Array) -> Array:
    before = (POOL - POOL_STRIDE) // 2
    sums = cv2.boxFilter(
        values, cv2.CV_32F, (POOL, POOL), anchor=(before, before), normalize=False, borderType=cv2.BORDER_CONSTANT
    )
    return np.asarray(sums[::POOL_STRIDE, ::POOL_STRIDE], np.float32)
