"""From the anomaly map back to camera pixels."""

from __future__ import annotations

import bisect
import math

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_ad.geometry.layout import Layout
from edge_ad.verdict import Box, Point, Region

__all__ = ["MAX_REGIONS", "area_peak", "find_regions", "highest", "map_in_camera_pixels"]

MAX_REGIONS = 64
"""At most so many regions are listed, those with the highest peaks: a frame that is all anomalous has thousands."""


def find_regions(
    anomaly_map: NDArray[np.float32], threshold: float, layout: Layout, *, min_area_px: int = 0
) -> tuple[Region, ...]:
    """Connected parts (8 neighbours) of a map, float32 ``(h', w')``, above the threshold, highest peak first.

    A box covers every camera pixel that its cells touch; the area is that of the cells. Parts of a smaller area
    than ``min_area_px`` do not count.
    """
    above = (anomaly_map > threshold).view(np.uint8)
    if not above.any():
        return ()
    count, labels, stats, _ = cv2.connectedComponentsWithStats(above, connectivity=8)
    large = [label for label in range(1, count) if _area_px(stats[label, cv2.CC_STAT_AREA], layout) >= min_area_px]
    return highest([_region(anomaly_map, labels, stats[label], label, layout) for label in large])


def highest(regions: list[Region]) -> tuple[Region, ...]:
    """The regions with the highest peaks, highest first, at most ``MAX_REGIONS``."""
    regions.sort(key=lambda region: (-region.peak_score, region.box.y, region.box.x))
    return tuple(regions[:MAX_REGIONS])


def area_peak(anomaly_map: NDArray[np.float32], layout: Layout, min_area_px: int) -> float:
    """The value below which every threshold leaves a region of at least ``min_area_px``: what such a region scores.

    ``find_regions`` finds one exactly when its threshold is below this value. It is the map's largest value where
    one cell is area enough, and ``-inf`` where even the whole map is too small.
    """
    values = np.unique(anomaly_map)
    # A lower level holds all that a higher one does, so the first level that is large enough can be bisected.
    enough = bisect.bisect_left(
        range(values.size), True, key=lambda k: _is_large(anomaly_map, values[-1 - k], layout, min_area_px)
    )
    return float(values[-1 - enough]) if enough < values.size else -math.inf


def _is_large(anomaly_map: NDArray[np.float32], level: np.float32, layout: Layout, min_area_px: int) -> bool:
    stats = cv2.connectedComponentsWithStats((anomaly_map >= level).view(np.uint8), connectivity=8)[2]
    return _area_px(stats[1:, cv2.CC_STAT_AREA].max(), layout) >= min_area_px


def _area_px(cells: int, layout: Layout) -> int:
    return max(round(cells * layout.x.camera_per_cell * layout.y.camera_per_cell), 1)


def _region(
    anomaly_map: NDArray[np.float32], labels: NDArray[np.int32], stat: NDArray[np.int32], label: int, layout: Layout
) -> Region:
    left, top, width, height, cells = (int(value) for value in stat)
    part = (slice(top, top + height), slice(left, left + width))
    inside = np.where(labels[part] == label, anomaly_map[part], np.float32(-np.inf))
    row, column = np.unravel_index(int(inside.argmax()), inside.shape)
    x0, x1 = layout.x.span(left, width)
    y0, y1 = layout.y.span(top, height)
    return Region(
        box=Box(x=x0, y=y0, width=x1 - x0, height=y1 - y0),
        area_px=_area_px(cells, layout),
        peak=Point(x=layout.x.pixel(left + int(column)), y=layout.y.pixel(top + int(row))),
        peak_score=float(inside[row, column]),
    )


def map_in_camera_pixels(anomaly_map: NDArray[np.float32], layout: Layout) -> NDArray[np.float32]:
    """A map, float32 ``(h', w')``, interpolated to camera pixels: float32 ``(H, W)``, NaN where not inspected."""
    x, y = layout.x, layout.y
    inspected = np.isfinite(anomaly_map)
    filled = np.where(inspected, anomaly_map, anomaly_map[inspected].min())
    # OpenCV counts from pixel centres: camera pixel u of the region has its centre at offset + u + 1/2.
    matrix = np.array(
        [
            [x.to_map(1) - x.to_map(0), 0, x.to_map(x.offset + 0.5) - 0.5],
            [0, y.to_map(1) - y.to_map(0), y.to_map(y.offset + 0.5) - 0.5],
        ]
    )
    size = (x.length, y.length)
    how = cv2.WARP_INVERSE_MAP
    region = cv2.warpAffine(filled, matrix, size, flags=cv2.INTER_LINEAR | how, borderMode=cv2.BORDER_REPLICATE)
    seen = cv2.warpAffine(inspected.view(np.uint8), matrix, size, flags=cv2.INTER_NEAREST | how)
    out = np.full((layout.height, layout.width), np.nan, np.float32)
    out[y.offset : y.offset + y.length, x.offset : x.offset + x.length] = np.where(seen == 1, region, np.nan)
    return out
