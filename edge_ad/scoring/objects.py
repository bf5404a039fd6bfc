"""Scores objects: each box that the caller gives is cropped from the frame and scored as a picture of its own."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge_ad.errors import FrameError
from edge_ad.geometry import find_regions, map_in_camera_pixels
from edge_ad.geometry.mapping import highest
from edge_ad.geometry.preprocess import check_frame
from edge_ad.scoring.scorer import MeasuredObject, Measurement, Scorer
from edge_ad.verdict import Box, FrameStatistics, Point, Reason, Region

if TYPE_CHECKING:
    from edge_ad.bundle import Bundle
    from edge_ad.engines.base import Engine
    from edge_ad.geometry import Preprocessor

__all__ = ["ObjectScorer", "check_boxes", "crop", "sole_object"]


class ObjectScorer(Scorer):
    """Scores the objects of a frame with one engine. Not thread-safe.

    :meth:`measure` takes a picture of one object, cropped already, as golden frames are. :meth:`measure_objects` takes
    the camera's frame and crops it; the scores are the same to the last bit.
    """

    takes_objects = True

    def __init__(self, preprocessor: Preprocessor, engine: Engine) -> None:
        super().__init__(preprocessor, engine)
        self._statistics: list[FrameStatistics | None] = []

    def measure_objects(self, frame: NDArray[np.uint8], objects: Sequence[Box]) -> Measurement:
        """The scores and maps of the objects whose boxes are given, uint8 frames as :meth:`measure` takes them.

        Raises:
            FrameError: no box, one that is not inside the frame, or an object or frame that cannot be scored.
            EngineError: the engine failed.
        """
        check_frame(frame, self.preprocessor.geometry)
        boxes = check_boxes(objects, frame.shape[1], frame.shape[0])
        self._statistics.clear()
        found: list[MeasuredObject] = []
        maps: NDArray[np.float32] | None = None
        geometry_ms = engine_ms = 0.0
        for index, box in enumerate(boxes):
            measured = self._measure(frame, box, f"object {index + 1} of {len(boxes)}")
            found.append(MeasuredObject(box, measured.score))
            geometry_ms += measured.geometry_ms
            engine_ms += measured.engine_ms
            self._statistics += super().statistics()
            if measured.map is not None:
                maps = np.empty((len(boxes), *measured.map.shape), np.float32) if maps is None else maps
                maps[index] = measured.map
        return Measurement(max(one.score for one in found), maps, geometry_ms, engine_ms, objects=tuple(found))

    def regions(
        self, frame: NDArray[np.uint8], measured: Measurement, threshold: float, *, min_area_px: int
    ) -> tuple[Region, ...]:
        if measured.map is None:
            return ()
        found: list[Region] = []
        for one, anomaly_map in zip(measured.objects, measured.map, strict=True):
            layout = self.preprocessor.layout(crop(frame, one.box))
            inside = find_regions(anomaly_map, threshold, layout, min_area_px=min_area_px)
            found += [_shifted(region, one.box) for region in inside]
        return highest(found)

    def map_in_camera_pixels(
        self, anomaly_map: NDArray[np.float32], frame: NDArray[np.uint8], objects: Sequence[Box] = ()
    ) -> NDArray[np.float32]:
        out: NDArray[np.float32] = np.full(frame.shape[:2], np.nan, np.float32)
        for box, one in zip(objects, anomaly_map, strict=True):
            part = crop(out, box)
            np.fmax(
                part, map_in_camera_pixels(one, self.preprocessor.layout(crop(frame, box))), out=part
            )  # NaN counts for nothing
        return out

    def statistics(self) -> tuple[FrameStatistics | None, ...]:
        return tuple(self._statistics)

    def _measure(self, frame: NDArray[np.uint8], box: Box, which: str) -> Measurement:
        try:
            return self.measure(crop(frame, box))
        except FrameError as error:
            raise FrameError(error.reason, f"{which}, {_text(box)}: {error}") from error


def crop(picture: NDArray[np.generic], box: Box) -> NDArray[Any]:
    """The pixels of the box; a view."""
    return picture[box.y : box.y + box.height, box.x : box.x + box.width]


def check_boxes(boxes: Sequence[Box], width: int, height: int) -> list[Box]:
    """The boxes, in Python's own whole numbers, of a frame of ``width`` x ``height`` pixels.

    Raises:
        FrameError: ``no_objects``, no box was given; ``bad_object``, one is not whole pixels inside the frame. A box is
            never cut to fit: an object that is only half seen is not what was calibrated.
    """
    if not boxes:
        raise FrameError(
            Reason.NO_OBJECTS.value,
            "expected the boxes of the objects in the frame, found none: this bundle scores objects",
        )
    checked = []
    for number, box in enumerate(boxes, start=1):
        which = f"object {number} of {len(boxes)}, {_text(box)}"
        try:
            whole = Box(*map(operator.index, (box.x, box.y, box.width, box.height)))
        except TypeError:
            raise FrameError(Reason.BAD_OBJECT.value, f"{which}: expected whole pixels; round the box") from None
        fits = whole.x + whole.width <= width and whole.y + whole.height <= height
        if min(whole.x, whole.y) < 0 or min(whole.width, whole.height) < 1 or not fits:
            raise FrameError(
                Reason.BAD_OBJECT.value, f"{which}: expected 1x1 pixels or more, inside the frame of {width}x{height}"
            )
        checked.append(whole)
    return checked


def sole_object(bundle: Bundle, picture: NDArray[np.uint8]) -> list[Box] | None:
    """The box of a picture that shows exactly one object: all of it. ``None`` for a bundle that scores whole frames."""
    if bundle.manifest.geometry.level != "object":
        return None
    return [Box(0, 0, picture.shape[1], picture.shape[0])]


def _text(box: Box) -> str:
    return f"{box.width}x{box.height} at ({box.x}, {box.y})"


def _shifted(region: Region, by: Box) -> Region:
    box, peak = region.box, region.peak
    return msgspec.structs.replace(
        region, box=Box(box.x + by.x, box.y + by.y, box.width, box.height), peak=Point(peak.x + by.x, peak.y + by.y)
    )
