"""The options of ``edge-ad export`` about the way from the camera's frame to the model's input."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import click

from edge_ad.cli.option_groups import OptionGroup, Parsed, option
from edge_ad.cli.options import PATH, parse_size
from edge_ad_export.cli.model_options import SIZE
from edge_ad_export.model.input_spec import Size

if TYPE_CHECKING:
    from edge_ad.bundle.records import Roi
    from edge_ad_export.samples.geometry import TileGrid

__all__ = ["GEOMETRY"]

# The engine runs once for each cell.
_CELLS_MAX = 32
_MODES = ("stretch", "letterbox", "center-crop")


def _parse_frame_size(text: str) -> Size | Literal["auto", "any"]:
    if text == "auto":
        return "auto"
    if text == "any":
        return "any"
    return Size(*parse_size(text))


def _parse_grid(text: str) -> TileGrid:
    from edge_ad_export.samples.geometry import TileGrid

    parts = text.lower().split("x")
    if len(parts) != 2 or not all(part.isdecimal() and 0 < int(part) <= _CELLS_MAX for part in parts):
        raise ValueError(f"expected COLUMNSxROWS, such as 3x2, at most {_CELLS_MAX} each")
    return TileGrid(int(parts[0]), int(parts[1]))


def _parse_roi(text: str) -> Roi:
    from edge_ad.bundle.records import Roi

    parts = text.split(",")
    if len(parts) != 4 or not all(p.isdecimal() and int(p) <= 65_535 for p in parts) or "0" in parts[2:]:
        raise ValueError("expected X,Y,WIDTH,HEIGHT in pixels, such as 100,50,640,480")
    x, y, width, height = map(int, parts)
    return Roi(x=x, y=y, width=width, height=height)


def _parse_mode(text: str) -> str:
    """The names in the record have underscores, those of the command line dashes."""
    if text not in _MODES:
        raise ValueError(f"expected one of {', '.join(_MODES)}")
    return text.replace("-", "_")


GEOMETRY = OptionGroup(
    "From the camera's frame to the model's input",
    "edge_ad_export.samples.geometry:GeometryOptions",
    (
        option(
            "--level",
            type=click.Choice(["frame", "object"]),
            help="What gets a score: the whole frame, or each object in it. With object, a list of boxes comes with "
            "each frame, and every image of --images shows one object.",
        ),
        option(
            "--roi",
            type=Parsed("X,Y,W,H", _parse_roi),
            help="The region of interest in pixels of the camera. Without this option it is the whole frame.",
        ),
        option(
            "--resize",
            into="mode",
            type=Parsed("|".join(_MODES), _parse_mode),
            help="How the region is fitted to the model's input: stretch changes its proportions, letterbox adds bars, "
            "center-crop cuts its edges off.",
        ),
        option(
            "--kernel",
            type=click.Choice(["area", "linear", "cubic", "nearest", "antialiased-linear", "antialiased-cubic"]),
            metavar="NAME",
            help="The method of resizing: area, linear, cubic, nearest, antialiased-linear or antialiased-cubic. The "
            "last two are bilinear and bicubic of Pillow and torchvision. Without this "
            "option it is the one that the model was trained with, or area if the model's file does not say.",
        ),
        option("--tiles", is_flag=True, help="Cut the region into tiles of the model's input size and score each."),
        option(
            "--tile-overlap",
            type=click.IntRange(min=0),
            metavar="PX",
            help="The number of pixels by which neighbouring tiles overlap.",
        ),
        option("--canvas", type=SIZE, help="Resize the region to this size before it is cut into tiles."),
        option(
            "--grid",
            type=Parsed("CxR", _parse_grid),
            help="Cut the region into C columns and R rows, and resize each cell to the model's input.",
        ),
        option(
            "--ignore-mask",
            type=PATH,
            metavar="FILE",
            help="A gray PNG image of the frame's size. What is white in it is not inspected.",
        ),
        option(
            "--frame-size",
            into="frame",
            type=Parsed("auto|any|WxH", _parse_frame_size),
            help="The size that every frame must have; others are INVALID. With auto it is the size of the images, if "
            "all have the same.",
        ),
    ),
)
