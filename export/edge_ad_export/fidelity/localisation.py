"""How much of each defect a map marks at false-positive rates that a factory can live with: AUPIMO.

The per-image overlap curve is the share of a defect's pixels above a threshold, over the mean share of the pixels of
normal images above it. AUPIMO is the mean, over defects, of the area under that curve between two false-positive rates
on a logarithmic axis, divided by the axis's width (Bertoldo, Ayache, Rebaud, Ameln, 2024, arXiv:2401.01984). What a
map's correlation and its ROC-AUC hardly see, a normal pixel that scores higher than it used to, counts here in full.

Where the normal images have too few pixels for a rate, the threshold is their largest value.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge_ad.geometry import Layout

__all__ = ["FPR_BOUNDS", "Aupimo", "PixelValues", "sample_pixels"]

FPR_BOUNDS: Final = (1e-5, 1e-4)
# Evenly spaced on the logarithmic axis, so that the area over its width is the mean overlap at these rates.
_RATES: Final = np.geomspace(*FPR_BOUNDS, 101)
# A rate that is a sum of fractions counts as reached.
_ROUNDING: Final = 1 + 1e-9


@dataclass(frozen=True)
class PixelValues:
    """Of the inspected ones of some camera pixels: ``values`` float32 ``(n,)`` of the map, ``defect`` bool ``(n,)``."""

    values: NDArray[np.float32]
    defect: NDArray[np.bool_]


class Aupimo:
    """Takes in ``normals`` normal images one at a time, then defects; keeps the highest values of the normals alone."""

    def __init__(self, normals: int) -> None:
        self._share = 1 / normals
        self._values = np.empty(0, np.float32)
        self._rates = np.empty(0)
        self._areas: list[float] = []

    def add_normal(self, values: NDArray[np.float32]) -> None:
        """Takes in the inspected pixels of one normal image, float32 ``(n,)``; of none at all, nothing."""
        if not values.size:
            return
        joined = np.concatenate([self._values, values])
        weights = np.concatenate([np.diff(self._rates, prepend=0), np.full(values.size, self._share / values.size)])
        order = np.argsort(-joined, kind="stable")
        rates = np.cumsum(weights[order])
        kept = int(np.searchsorted(rates, FPR_BOUNDS[1] * _ROUNDING, side="right")) + 1
        self._values, self._rates = joined[order[:kept]], rates[:kept]

    def add_defect(self, values: NDArray[np.float32]) -> None:
        """Takes in the inspected pixels of one defect, float32 ``(n,)``; of none at all, nothing."""
        if not values.size or not self._values.size:
            return
        # The lowest thresholds above which lie no more of the normal pixels than the rates allow.
        places = np.searchsorted(self._rates, _RATES * _ROUNDING, side="right").clip(max=self._values.size - 1)
        above = np.searchsorted(np.sort(values), self._values[places], side="right")
        self._areas.append(float(np.mean(1 - above / values.size)))

    @property
    def mean(self) -> float | None:
        """From 0, no defect's pixel is marked, to 1, all of them are; ``None`` without maps or defects."""
        return float(np.mean(self._areas)) if self._areas else None


def sample_pixels(heat: NDArray[np.float32], defect: NDArray[np.bool_], layout: Layout, longest: int) -> PixelValues:
    """Evenly spaced camera pixels, some ``longest`` a side, as :func:`edge_ad.geometry.map_in_camera_pixels` has them.

    Args:
        heat: float32 ``(h', w')``, ``-inf`` where nothing is inspected.
        defect: bool ``(H, W)``, of the camera's frame.
    """
    step = max(max(defect.shape) // longest, 1)
    x, y = layout.x, layout.y
    columns, rows = (np.arange(axis.offset, axis.offset + axis.length, step) for axis in (x, y))
    # OpenCV counts from the middle of a cell.
    across = np.array([x.to_map(column + 0.5) - 0.5 for column in columns], np.float32)
    down = np.array([y.to_map(row + 0.5) - 0.5 for row in rows], np.float32)
    at_x, at_y = np.meshgrid(across, down)
    inspected = np.isfinite(heat)
    filled = np.where(inspected, heat, heat[inspected].min())
    values = cv2.remap(filled, at_x, at_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    seen = cv2.remap(inspected.view(np.uint8), at_x, at_y, cv2.INTER_NEAREST) == 1
    return PixelValues(values[seen], defect[np.ix_(rows, columns)][seen])
