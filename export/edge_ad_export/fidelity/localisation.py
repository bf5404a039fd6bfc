"""Anomaly maps of one frame on a grid of camera pixels, beside the defect in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge_ad_metrics.pixels import PixelSample

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge_ad.geometry import Layout

__all__ = ["sample_pixels"]


def sample_pixels(
    anomaly_map: NDArray[np.float32], defect: NDArray[np.bool_], layout: Layout, longest: int, kind: str = ""
) -> PixelSample:
    """Evenly spaced camera pixels, ``longest`` to twice as many a side, valued as in
    :func:`edge_ad.geometry.map_in_camera_pixels` and NaN where nothing is inspected.

    Args:
        anomaly_map: float32 ``(h, w)``, ``-inf`` where nothing is inspected.
        defect: bool ``(H, W)``, of the camera's frame.
        longest: the fewest grid points along the longer side; fewer where the frame has fewer pixels.
        kind: the type of defect.
    """
    step = max(max(defect.shape) // longest, 1)
    x, y = layout.x, layout.y
    columns, rows = (np.arange(0, size, step) for size in defect.shape[::-1])
    # OpenCV counts from the middle of a cell.
    across, down = ((axis.to_map(places + 0.5) - 0.5).astype(np.float32) for axis, places in ((x, columns), (y, rows)))
    at_x, at_y = np.meshgrid(across, down)
    inspected = np.isfinite(anomaly_map)
    filled = np.where(inspected, anomaly_map, anomaly_map[inspected].min())
    values = cv2.remap(filled, at_x, at_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    seen = cv2.remap(inspected.view(np.uint8), at_x, at_y, cv2.INTER_NEAREST) == 1
    for axis, places, along in ((x, columns, seen.T), (y, rows, seen)):
        along[(places < axis.offset) | (places >= axis.offset + axis.length)] = False
    values[~seen] = np.nan
    return PixelSample(values, defect[np.ix_(rows, columns)], kind)
