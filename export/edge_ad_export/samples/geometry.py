"""From the user's geometry options to the bundle's record."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from edge_ad.bundle.records import FrameSize, Geometry, ModelInput, Resize, Roi, Tiles
from edge_ad.errors import InputError
from edge_ad.sources import read_image
from edge_ad_export.model.input_spec import Kernel, Size

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["MASK_NAME", "GeometryOptions", "TileGrid", "build_geometry", "frame_size", "read_mask"]

MASK_NAME = "geometry/ignore.png"
_LISTED_SIZES = 3


@dataclass(frozen=True)
class TileGrid:
    """The region of interest is cut into this grid of cells, and each cell is resized to the model's input."""

    columns: int
    rows: int

    def canvas(self, model: ModelInput) -> Size:
        """The size to which the region is resized before it is cut into cells."""
        return Size(self.columns * model.width, self.rows * model.height)

    def __str__(self) -> str:
        return f"{self.columns}x{self.rows}"


@dataclass(frozen=True)
class GeometryOptions:
    """What the user says about the way from the camera's frame to the model's input.

    ``level``: whether the model scores whole frames, or objects that are cropped from them; see ``Geometry``.
    ``canvas``: the size to which the region of interest is resized before tiling; ``None`` keeps its size.
    ``kernel``: how pixels are resampled; ``None`` takes the method that the model was trained with, or ``area`` if its
    file does not say. ``frame``: the size that every frame must have; ``auto`` takes the size of the images if all have
    the same. ``grid``: replaces tiles and canvas.
    """

    level: Literal["frame", "object"] = "frame"
    roi: Roi | None = None
    mode: Literal["stretch", "letterbox", "center_crop"] = "stretch"
    kernel: Kernel | None = None
    tiles: bool = False
    tile_overlap: int = 0
    canvas: Size | None = None
    grid: TileGrid | None = None
    ignore_mask: Path | None = None
    frame: Size | Literal["auto", "any"] = "auto"


def frame_size(options: GeometryOptions, sizes: frozenset[Size]) -> Size | None:
    """The size that the bundle will ask of every frame, ``None`` for any.

    Raises:
        InputError: the images do not have the size that was asked for; or they have several sizes, but a region of
            interest or a mask needs a single one; or one of these is asked for although objects come in any size.
    """
    if options.level == "object":
        _check_objects(options)
        return None
    found = _listed(sizes)
    if isinstance(options.frame, Size):
        if sizes != {options.frame}:
            raise InputError(f"--frame-size asks for {options.frame}, but the images are {found}")
        return options.frame
    if options.frame == "auto" and len(sizes) == 1:
        return next(iter(sizes))
    if options.roi is not None or options.ignore_mask is not None:
        what = "--roi" if options.roi is not None else "--ignore-mask"
        raise InputError(f"{what} is in camera pixels and needs frames of one size, but the images are {found}")
    return None


def _check_objects(options: GeometryOptions) -> None:
    fixed = {
        "--roi": options.roi is not None,
        "--ignore-mask": options.ignore_mask is not None,
        "--frame-size": isinstance(options.frame, Size),
    }
    for option, given in fixed.items():
        if given:
            raise InputError(
                f"{option} is given in camera pixels, but objects come in any size and place: leave it out"
            )


def _listed(sizes: frozenset[Size]) -> str:
    ordered = sorted(sizes, key=lambda size: (size.width, size.height))
    names = [str(size) for size in ordered]
    return " and ".join(names) if len(names) <= _LISTED_SIZES else f"of {len(names)} sizes, {names[0]} to {names[-1]}"


def build_geometry(options: GeometryOptions, model: ModelInput, frame: Size | None) -> Geometry:
    """The bundle's geometry record. Raises :class:`InputError` where the options contradict each other."""
    if options.grid is not None:
        options = _with_grid(options, options.grid, model)
    if not options.tiles and (options.canvas is not None or options.tile_overlap):
        raise InputError("--canvas and --tile-overlap are for tiles: add --tiles")
    if options.tiles and options.canvas is None and options.roi is None and frame is None:
        what = "objects come in any size" if options.level == "object" else "the images have several sizes"
        raise InputError(f"{what}: say with --canvas WxH which size they are resized to before tiles are cut")
    canvas = options.canvas if options.tiles else Size(model.width, model.height)
    resize = None
    if canvas is not None:
        resize = Resize(width=canvas.width, height=canvas.height, mode=options.mode, kernel=options.kernel or "area")
    return Geometry(
        frame=None if frame is None else FrameSize(width=frame.width, height=frame.height),
        roi=options.roi,
        resize=resize,
        tiles=Tiles(overlap=options.tile_overlap) if options.tiles else None,
        ignore=None if options.ignore_mask is None else MASK_NAME,
        level=options.level,
    )


def _with_grid(options: GeometryOptions, grid: TileGrid, model: ModelInput) -> GeometryOptions:
    """The same options with the grid written as tiles: a canvas on which whole tiles lie side by side."""
    if options.tiles or options.canvas is not None or options.tile_overlap:
        raise InputError("--grid says how the region is cut: leave out --tiles, --canvas and --tile-overlap")
    if options.mode != "stretch":
        raise InputError("--grid stretches each cell: leave out --resize, or use --tiles and --canvas instead")
    return replace(options, tiles=True, canvas=grid.canvas(model), grid=None)


def read_mask(path: Path, frame: Size | None) -> NDArray[np.uint8]:
    """The ignore mask, uint8 ``(H, W)``; pixels above 127 are not inspected. Raises :class:`InputError`."""
    mask = read_image(path)
    found = Size(mask.shape[1], mask.shape[0])
    if mask.ndim != 2 or found != frame:
        raise InputError(
            f"the ignore mask {path} is {found} with {'1 channel' if mask.ndim == 2 else '3 channels'}: "
            f"expected a gray image of {frame}, white where nothing is inspected"
        )
    return mask
