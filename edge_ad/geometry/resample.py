"""Resizing with memory that is allocated once."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_ad.geometry.antialias import FILTERS, AntialiasedResize

__all__ = ["Resampler"]

_KERNELS = {"linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC, "nearest": cv2.INTER_NEAREST}


class Resampler:
    """Resizes images of one size and channel count to another.

    The kernel ``area`` takes the mean over what shrinks and interpolates linearly over what grows: while both
    sides are even and at least twice as long as asked for, halve them (2x2 means); then OpenCV's ``INTER_AREA``
    down; then ``INTER_LINEAR`` up where an axis grows. From a 1920x1080 frame this takes a fifth of the time of
    ``INTER_AREA`` alone and lies closer to the antialiased bilinear resize of PyTorch and Pillow. That one itself is
    ``antialiased-linear``, see :mod:`edge_ad.geometry.antialias`.
    """

    def __init__(self, source: tuple[int, int], target: tuple[int, int], channels: int, kernel: str) -> None:
        self._antialiased = AntialiasedResize(source, target, channels, kernel) if kernel in FILTERS else None
        self._steps = _area_steps(source, target) if kernel == "area" else [(target, _KERNELS.get(kernel, 0))]
        if source == target or self._antialiased is not None:
            self._steps = []
        self._scratch = [np.empty((h, w, channels)[: 2 + (channels > 1)], np.uint8) for (w, h), _ in self._steps[:-1]]

    def __call__(self, image: NDArray[np.uint8], out: NDArray[np.uint8]) -> None:
        """Resizes ``image`` into ``out``, uint8 ``(H, W)`` or ``(H, W, C)`` of the sizes given at construction."""
        if self._antialiased is not None:
            self._antialiased(image, out)
            return
        if not self._steps:
            np.copyto(out, image)
            return
        for (size, kernel), target in zip(self._steps, [*self._scratch, out], strict=True):
            cv2.resize(image, size, dst=target, interpolation=kernel)
            image = target


def _area_steps(source: tuple[int, int], target: tuple[int, int]) -> list[tuple[tuple[int, int], int]]:
    """Sizes (width, height) and the OpenCV kernels that lead from one to the other."""
    steps = []
    (width, height), (to_width, to_height) = source, target
    while width % 2 == height % 2 == 0 and width >= 2 * to_width and height >= 2 * to_height:
        width, height = width // 2, height // 2
        steps.append(((width, height), cv2.INTER_AREA))
    shrunk = (min(width, to_width), min(height, to_height))
    if shrunk != (width, height):
        steps.append((shrunk, cv2.INTER_AREA))
    if shrunk != target:
        steps.append((target, cv2.INTER_LINEAR))
    return steps
