"""The images that an evaluation is about, with anomaly map, verdict and the marked defect."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_ad.outputs.annotate import annotate
from edge_ad.outputs.anomaly_map import ColourScale
from edge_ad.scoring.objects import sole_object
from edge_ad_calibration.normals.distinct import pick_distinct
from edge_ad_calibration.normals.measured import read_frame
from edge_ad_calibration.pages.verdict_picture import verdict_picture
from edge_ad_metrics.datasets.masks import read_masks
from edge_ad_report import outline

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from edge_ad.detector import Detector
    from edge_ad_calibration.evaluation.records import ScoredRow
    from edge_ad_report import Picture

__all__ = ["ExamplePictures"]


class ExamplePictures:
    """Pictures of scored rows, made with a detector; one colour scale for all of them.

    ``masks``: by the path of their image.
    """

    def __init__(self, detector: Detector, masks: dict[str, tuple[Path, ...]]) -> None:
        self._detector = detector
        self._masks = masks
        self._scale = ColourScale()

    def of(self, rows: Sequence[ScoredRow], most: int) -> tuple[Picture, ...]:
        """Pictures of at most ``most`` of the rows, in their order: one of each part, and none that looks like another.

        Raises:
            FrameError: an image cannot be read any more.
        """
        picked = pick_distinct([row.path for row in rows], [row.part or row.path for row in rows], most, read_frame)
        return tuple(self._picture(rows[one.place], one.alike) for one in picked)

    def _picture(self, row: ScoredRow, alike: int) -> Picture:
        image = read_frame(row.path)
        inspected = self._detector.score_with_map(image, objects=sole_object(self._detector.bundle, image))
        objects = inspected.verdict.objects
        heat = None if inspected.map is None else self._detector.map_in_camera_pixels(inspected.map, image, objects)
        colour_range = None if heat is None else self._scale.fit(heat, inspected.verdict.pixel_threshold)
        shown = annotate(self._outlined(row, image), inspected.verdict, heat, colour_range, captioned=False)
        remark = f"and {alike} more like this" if alike else ""
        return verdict_picture(shown, inspected.verdict, row.type, remark=remark, detail=f"{row.type}: {row.path}")

    def _outlined(self, row: ScoredRow, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        masks = self._masks.get(row.path)
        return image if masks is None else outline(image, read_masks(masks, *image.shape[:2]))
