"""Anomaly maps between scoring and measuring: on the disk, so that memory does not grow with the data set."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edge_ad.errors import InputError
from edge_ad.files import output_error
from edge_ad.geometry import heatmap
from edge_ad_calibration.evaluation.masks import read_mask
from edge_ad_calibration.evaluation.pixels import PixelSample

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from typing_extensions import Self

    from edge_ad.geometry import Layout
    from edge_ad_calibration.evaluation.dataset import LabelledImage

__all__ = ["MapStore"]


@dataclass(frozen=True, slots=True)
class _Entry:
    image: LabelledImage
    layout: Layout
    start: int
    shape: tuple[int, ...]
    marked: bool


class MapStore:
    """A context manager; the maps are gone when it is left. One map in memory at a time."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="edge-ad-maps-")  # noqa: SIM115  closed by close()
        self._entries: list[_Entry] = []
        self.unmarked: list[LabelledImage] = []
        """Anomalous images whose mask marks no pixel: they are left out."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, image: LabelledImage, heat: NDArray[np.float32], layout: Layout) -> None:
        """Takes a map ``(h', w')`` in, with the mask of its image checked.

        Raises:
            InputError: the mask is unreadable or not of the image's size.
            OutputError: the folder for temporary files is full.
        """
        marked = image.mask is not None and bool(read_mask(image.mask, layout.height, layout.width).any())
        if image.anomalous and not marked:
            self.unmarked.append(image)
            return
        if marked and not image.anomalous:
            raise InputError(
                f"{image.mask}: marks a defect in {image.path}, which is labelled normal: correct one of the two"
            )
        try:
            start = self._file.seek(0, 2)
            self._file.write(np.ascontiguousarray(heat, np.float32).data)
        except OSError as error:
            raise output_error(f"anomaly maps in {tempfile.gettempdir()}", error) from error
        self._entries.append(_Entry(image, layout, start, heat.shape, marked))

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
            yield PixelSample(heatmap(self._read(entry), layout), mask, entry.image.type)

    def _read(self, entry: _Entry) -> NDArray[np.float32]:
        self._file.seek(entry.start)
        count = int(np.prod(entry.shape))
        return np.frombuffer(self._file.read(4 * count), np.float32).reshape(entry.shape)
