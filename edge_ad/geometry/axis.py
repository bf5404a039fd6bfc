"""One image axis on its way from the camera to the anomaly map, and the exact way back.

Coordinates are continuous: pixel ``i`` covers ``[i, i + 1)``. Both axes of an image follow the same rule, so a
frame's layout is two of these.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from edge_ad.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_Position = TypeVar("_Position", float, "NDArray[np.float64]")

__all__ = ["Axis", "tile_starts"]


@dataclass(frozen=True)
class Axis:
    """``length`` camera pixels from ``offset`` on are resized to ``resized`` pixels; the first of these lands on
    canvas pixel ``shift`` (negative where the canvas cuts off). The canvas is seen through tiles of ``tile``
    pixels that begin at ``starts``; the model's map has ``cells`` values a tile.
    """

    offset: int
    length: int
    resized: int
    shift: int
    canvas: int
    tile: int
    cells: int
    starts: tuple[int, ...]

    @property
    def cell(self) -> float:
        """Canvas pixels a map cell."""
        return self.tile / self.cells

    @property
    def map_length(self) -> int:
        """Cells of the whole map, all tiles joined."""
        return round(self.canvas / self.cell)

    @property
    def camera_per_cell(self) -> float:
        """Camera pixels a map cell."""
        return self.cell * self.length / self.resized

    @property
    def visible(self) -> slice:
        """The canvas pixels that show the camera's picture; the rest is padding."""
        return slice(max(self.shift, 0), min(self.shift + self.resized, self.canvas))

    def to_camera(self, position: float) -> float:
        """From a position on the map, in cells, to one in the camera's frame, in pixels."""
        return self.offset + (position * self.cell - self.shift) * self.length / self.resized

    def to_map(self, position: _Position) -> _Position:
        """From a position in the camera's frame, or from many, in pixels, to those on the map, in cells."""
        return ((position - self.offset) * self.resized / self.length + self.shift) / self.cell

    def span(self, first: int, count: int) -> tuple[int, int]:
        """The camera pixels that ``count`` cells from cell ``first`` on touch: begin and end, inside the region."""
        # The tolerance keeps a cell's edge that falls on a pixel's edge from taking in the next pixel.
        begin = math.floor(self.to_camera(first) + 1e-6)
        end = math.ceil(self.to_camera(first + count) - 1e-6)
        low, high = self.offset, self.offset + self.length
        return min(max(begin, low), high - 1), max(min(end, high), low + 1)

    def pixel(self, cell: int) -> int:
        """The camera pixel under the middle of a cell, inside the region."""
        middle = math.floor(self.to_camera(cell + 0.5))
        return min(max(middle, self.offset), self.offset + self.length - 1)


def tile_starts(canvas: int, tile: int, overlap: int, cells: int, name: str) -> tuple[int, ...]:
    """Where tiles begin so that they cover the canvas, overlap by at least ``overlap`` and share one map grid.

    Raises :class:`InputError` where no such tiling exists; ``name`` (width or height) goes into the message.
    """
    if canvas == tile:
        return (0,)
    if canvas < tile:
        raise InputError(f"the canvas {name} of {canvas} px is smaller than the model's input of {tile} px")
    if tile % cells:
        raise InputError(f"tiles need a map of whole pixels: {tile} px of {name} give {cells} cells")
    cell = tile // cells
    step = (tile - overlap) // cell * cell
    if step < 1:
        raise InputError(f"an overlap of {overlap} px leaves no step in tiles of {tile} px; ask for less")
    if (canvas - tile) % cell:
        low = tile + (canvas - tile) // cell * cell
        raise InputError(
            f"tiles of {tile} px with map cells of {cell} px do not fit a canvas {name} of {canvas} px: "
            f"resize to {low} or {low + cell} px"
        )
    last = canvas - tile
    return (*range(0, last, step), last)
