"""The antialiased resize of Pillow and torchvision, through which most models are trained.

Each side is resized on its own, across first, with 8 bits in between, as both of them do. The weights are rounded to
whole parts of 2**15. Sums of products with 8-bit pixels then stay below 2**24 and are exact in float32: every CPU gives
the same pixels, whatever the order in which its matrix product adds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["FILTERS", "AntialiasedResize"]

Floats = NDArray[np.float64]

_ONE = 1 << 15
# Output rows that share one matrix product: few enough to multiply by few zeros, many enough for a quick product.
_ROWS = 16


@dataclass(frozen=True)
class _Filter:
    """``reach``: how far from its middle it is not 0, in pixels of the smaller picture."""

    weigh: Callable[[Floats], Floats]
    reach: float


def _triangle(x: Floats) -> Floats:
    return np.asarray(np.maximum(1 - np.abs(x), 0.0), np.float64)


def _cubic(x: Floats) -> Floats:
    """Keys 1981, with a = -0.5 as in Pillow; OpenCV has -0.75."""
    a, x = -0.5, np.abs(x)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    return np.asarray(np.where(x < 1, near, np.where(x < 2, far, 0.0)), np.float64)


FILTERS = {"antialiased-linear": _Filter(_triangle, 1.0), "antialiased-cubic": _Filter(_cubic, 2.0)}


@dataclass(frozen=True)
class _Block:
    """Some rows of the result as a product: float32 ``weights`` ``(rows, of)``, the input's rows ``of``."""

    rows: slice
    of: slice
    weights: NDArray[np.float32]


class _Side:
    """Resizes the first axis of uint8 ``(source, n)`` to ``(target, n)``."""

    def __init__(self, source: int, target: int, values: int, kernel: _Filter) -> None:
        self._blocks = _blocks(source, target, kernel)
        self._real = np.empty((source, values), np.float32)
        self._sums = np.empty((target, values), np.float32)

    def __call__(self, pixels: NDArray[np.uint8], out: NDArray[np.uint8]) -> None:
        np.copyto(self._real, pixels)
        for block in self._blocks:
            np.matmul(block.weights, self._real[block.of], out=self._sums[block.rows])
        self._sums += _ONE / 2
        self._sums *= 1 / _ONE
        np.clip(self._sums, 0, 255, out=self._sums)
        np.copyto(out, self._sums, casting="unsafe")


class AntialiasedResize:
    """Resizes images of ``source`` (width, height) to ``target``; its memory is allocated once.

    ``kernel``: one of :data:`FILTERS`.
    """

    def __init__(self, source: tuple[int, int], target: tuple[int, int], channels: int, kernel: str) -> None:
        (width, height), (to_width, to_height) = source, target
        shape = (channels,)[: channels > 1]
        chosen = FILTERS[kernel]
        self._across = None if width == to_width else _Side(width, to_width, height * channels, chosen)
        self._down = None if height == to_height else _Side(height, to_height, to_width * channels, chosen)
        self._turned = np.empty((width, height, *shape), np.uint8)
        self._narrow_turned = np.empty((to_width, height, *shape), np.uint8)
        self._narrow = np.empty((height, to_width, *shape), np.uint8)
        self._result = np.empty((to_height, to_width, *shape), np.uint8)

    def __call__(self, image: NDArray[np.uint8], out: NDArray[np.uint8]) -> None:
        """Resizes ``image`` into ``out``, uint8 ``(H, W)`` or ``(H, W, C)`` of the sizes given at construction."""
        if self._across is not None:
            cv2.transpose(image, dst=self._turned)
            self._across(_flat(self._turned), _flat(self._narrow_turned))
            image = np.asarray(cv2.transpose(self._narrow_turned, dst=self._narrow), np.uint8)
        if self._down is None:
            np.copyto(out, image)
            return
        self._down(_flat(np.ascontiguousarray(image)), _flat(self._result))
        np.copyto(out, self._result)


def _flat(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return image.reshape(len(image), -1)


def _blocks(source: int, target: int, kernel: _Filter) -> tuple[_Block, ...]:
    scale = source / target
    stretch = max(scale, 1.0)
    middles = (np.arange(target) + 0.5) * scale
    # As Pillow truncates.
    first = np.clip((middles - kernel.reach * stretch + 0.5).astype(int), 0, None)
    last = np.minimum((middles + kernel.reach * stretch + 0.5).astype(int), source)
    found = []
    for start in range(0, target, _ROWS):
        rows = range(start, min(start + _ROWS, target))
        low, high = int(first[rows].min()), int(last[rows].max())
        weights = np.zeros((len(rows), high - low), np.float32)
        for place, row in enumerate(rows):
            taps = np.arange(first[row], last[row])
            weights[place, taps - low] = _whole(kernel.weigh((taps - middles[row] + 0.5) / stretch))
        found.append(_Block(slice(rows.start, rows.stop), slice(low, high), weights))
    return tuple(found)


def _whole(weights: Floats) -> Floats:
    """The weights as whole parts of 2**15 that sum up to it: what rounding down leaves goes where it took most."""
    parts = weights / weights.sum() * _ONE
    whole: Floats = np.floor(parts)
    missing = round(_ONE - whole.sum())
    whole[np.argsort(whole - parts, kind="stable")[:missing]] += 1
    return whole
