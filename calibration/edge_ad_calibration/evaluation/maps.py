"""Anomaly maps between scoring and measuring."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_ad.errors import InputError
from edge_ad.geometry import map_in_camera_pixels
from edge_ad_metrics.datasets.masks import read_defect
from edge_ad_metrics.pixels import PixelSample

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
        if read_defect(image, layout.height, layout.width) is None:
            self.unmarked.append(image)
        else:
            self._entries.append(_Entry(image, layout, place))

    @property
    def normals(self) -> int:
        return sum(not entry.image.anomalous for entry in self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[PixelSample]:
        """Each map in camera pixels, through the geometry that made it, beside its mask."""
        for entry in self._entries:
            layout = entry.layout
            mask = read_defect(entry.image, layout.height, layout.width)
            if mask is None:
                raise InputError(f"{entry.image.mask}: marked a defect when it was first read, and marks none now")
            yield PixelSample(map_in_camera_pixels(self._journal.read(entry.place), layout), mask, entry.image.type)
