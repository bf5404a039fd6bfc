"""Anomaly maps between scoring and measuring."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edge_ad.errors import InputError
from edge_ad.geometry import map_in_camera_pixels
from edge_ad_calibration.evaluation.pixels import PixelSample
from edge_ad_metrics.datasets.masks import read_mask

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge_ad.geometry import Layout
    from edge_ad_calibration.scoring.journal import MapJournal
    from edge_ad_metrics.datasets.dataset import LabelledImage

__all__ = ["MapStore"]


@dataclass(frozen=True, slots=True)
class _Entry:
    image: LabelledImage
    layout: Layout
    place: int
    marked: bool


class MapStore:
    """Which maps of a journal are measured, beside the masks of their images. One map in memory at a time."""

    def __init__(self, journal: MapJournal) -> None:
        self._journal = journal
        self._entries: list[_Entry] = []
        self.unmarked: list[LabelledImage] = []
        """Anomalous images whose mask marks no pixel: they are left out."""

    def add(self, image: LabelledImage, place: int, layout: Layout) -> None:
        """Takes the map at a place of the journal in, with the mask of its image checked.

        Raises:
            InputError: the mask is unreadable or not of the image's size.
        """
        marked = image.mask is not None and bool(read_mask(image.mask, layout.height, layout.width).any())
        if image.anomalous and not marked:
            self.unmarked.append(image)
            return
        if marked and not image.anomalous:
            raise InputError(
                f"{image.mask}: marks a defect in {image.path}, which is labelled normal: correct one of the two"
            )
        self._entries.append(_Entry(image, layout, place, marked))

    @property
    def normals(self) -> int:
        return sum(not entry.marked for entry in self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[PixelSample]:
        """Each map in camera pixels, through the geometry that made it, beside its mask."""
        for entry in self._entries:
            layout = entry.layout
            mask = np.zeros((layout.height, layout.width), np.bool_)
            if entry.marked and entry.image.mask is not None:
                mask = read_mask(entry.image.mask, layout.height, layout.width)
            yield PixelSample(map_in_camera_pixels(self._journal.read(entry.place), layout), mask, entry.image.type)
