"""The images that an evaluation is about, with heat map, verdict and the marked defect."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edge_ad.outputs.annotate import annotate
from edge_ad.outputs.anomaly_map import ColourScale
from edge_ad.scoring.objects import sole_object
from edge_ad_calibration.normals.measured import read_frame
from edge_ad_metrics.datasets.masks import read_masks
from edge_ad_report import Picture, image_data_uri

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from edge_ad.detector import Detector
    from edge_ad_calibration.evaluation.records import ScoredRow

__all__ = ["ExamplePictures"]

_MASK_COLOUR = (255, 255, 0)  # cyan: no colour of the heat map
_OUTLINE_PER_PX = 250


class ExamplePictures:
    """Pictures of scored rows, made with a detector; one colour scale for all of them.

    ``masks``: by the path of their image.
    """

    def __init__(self, detector: Detector, masks: dict[str, tuple[Path, ...]]) -> None:
        self._detector = detector
        self._masks = masks
        self._scale = ColourScale()

    def of(self, rows: Sequence[ScoredRow]) -> tuple[Picture, ...]:
        """A picture of each row, in their order."""
        return tuple(self._picture(row) for row in rows)

    def _picture(self, row: ScoredRow) -> Picture:
        image = read_frame(row.path)
        inspected = self._detector.score_with_map(image, objects=sole_object(self._detector.bundle, image))
        objects = inspected.verdict.objects
        heat = None if inspected.map is None else self._detector.map_in_camera_pixels(inspected.map, image, objects)
        colour_range = None if heat is None else self._scale.fit(heat, inspected.verdict.pixel_threshold)
        shown = annotate(self._outlined(row, image), inspected.verdict, heat, colour_range)
        return Picture(
            uri=image_data_uri(shown),
            alt=f"{row.type}, {inspected.verdict.state.value}, score {row.score:.6g}",
            caption=f"{row.type}: score {row.score:.6g}, {row.path}",
        )

    def _outlined(self, row: ScoredRow, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        import cv2

        masks = self._masks.get(row.path)
        if masks is None:
            return image
        colour = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR) if image.ndim == 2 else image.copy()
        marked = read_masks(masks, *image.shape[:2]).view(np.uint8)
        contours, _ = cv2.findContours(marked, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(colour, contours, -1, _MASK_COLOUR, max(1, max(image.shape) // _OUTLINE_PER_PX))
        outlined: NDArray[np.uint8] = colour.astype(np.uint8, copy=False)
        return outlined
