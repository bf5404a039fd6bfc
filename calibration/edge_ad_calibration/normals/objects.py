"""Normals of a bundle that scores objects: pictures of one object each, or boxes in whole frames."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from edge_ad.errors import FrameError, InputError
from edge_ad.scoring.objects import check_boxes, crop
from edge_ad.sources.frame_name import FrameName
from edge_ad_metrics.datasets.image_table import named

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from edge_ad.sources import Frame
    from edge_ad.sources.object_table import ObjectTable
    from edge_ad.verdict import Box

__all__ = ["object_frames", "object_names"]


def object_names(images: Sequence[Path], table: ObjectTable) -> list[str]:
    """The names of all objects of the images.

    Raises:
        InputError: the table names no object in some of them.
    """
    found = {str(image): table.boxes(str(image)) for image in images}
    missing = [image for image, boxes in found.items() if not boxes]
    if missing:
        raise InputError(
            f"{table.file} names no object in {len(missing)} of {len(images)} images: {named(missing)}. Add rows for "
            "them or leave them out of --normal: edge-ad leaves out no image by itself"
        )
    return [str(FrameName(image, box=box)) for image, boxes in found.items() for box in boxes]


def object_frames(frames: Iterable[Frame], table: ObjectTable) -> Iterator[Frame]:
    """Yields each object as a frame of its own.

    A frame with a box that does not fit becomes a frame with an error. Frames without objects are skipped, because
    objects are what is counted.
    """
    for frame in frames:
        boxes = table.boxes(frame.source)
        if frame.image is None:
            yield frame
        elif boxes:
            yield from _cropped(frame, boxes)


def _cropped(frame: Frame, boxes: Sequence[Box]) -> Iterator[Frame]:
    if frame.image is None:
        return
    try:
        checked = check_boxes(boxes, frame.image.shape[1], frame.image.shape[0])
    except FrameError as error:
        yield replace(frame, image=None, error=FrameError(error.reason, f"{frame.source}: {error}"))
        return
    name = FrameName.parse(frame.source)
    for box in checked:
        yield replace(frame, image=crop(frame.image, box), source=str(replace(name, box=box)))
