"""The options of ``edge-ad export`` that describe the model and the geometry, and how they are read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from edge_ad.cli.options import add_options, parse_size
from edge_ad_export.model.imported import Size

if TYPE_CHECKING:
    from edge_ad.bundle.records import Roi
    from edge_ad_export.samples.geometry import TileGrid

__all__ = ["geometry_options", "import_options", "model_argument", "shrink_options"]

# The engine runs once a cell.
_MOST_CELLS = 32

_F = TypeVar("_F", bound=Callable[..., Any])

model_argument = click.argument("model", type=click.Path(path_type=Path))


def _size(ctx: click.Context, param: click.Parameter, value: str | None) -> Size | None:
    size = parse_size(ctx, param, value)
    return None if size is None else Size(*size)


def _frame_size(ctx: click.Context, param: click.Parameter, value: str) -> Size | Literal["auto", "any"] | None:
    if value == "auto":
        return "auto"
    if value == "any":
        return "any"
    return _size(ctx, param, value)


def _grid(ctx: click.Context, param: click.Parameter, value: str | None) -> TileGrid | None:
    from edge_ad_export.samples.geometry import TileGrid

    if value is None:
        return None
    parts = value.lower().split("x")
    if len(parts) != 2 or not all(part.isdecimal() and 0 < int(part) <= _MOST_CELLS for part in parts):
        raise click.BadParameter(
            f"expected COLUMNSxROWS, such as 3x2, at most {_MOST_CELLS} each, found {value!r}", ctx=ctx, param=param
        )
    return TileGrid(int(parts[0]), int(parts[1]))


def _numbers(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[float, ...] | None:
    try:
        return None if value is None else tuple(float(number) for number in value.split(","))
    except ValueError:
        raise click.BadParameter(
            f"expected numbers with commas between, found {value!r}", ctx=ctx, param=param
        ) from None


def _roi(ctx: click.Context, param: click.Parameter, value: str | None) -> Roi | None:
    from edge_ad.bundle.records import Roi

    if value is None:
        return None
    parts = value.split(",")
    if len(parts) != 4 or not all(p.isdecimal() and int(p) <= 65_535 for p in parts) or "0" in parts[2:]:
        raise click.BadParameter(
            f"expected X,Y,WIDTH,HEIGHT in pixels, such as 100,50,640,480, found {value!r}", ctx=ctx, param=param
        )
    x, y, width, height = map(int, parts)
    return Roi(x=x, y=y, width=width, height=height)


def _mode(_ctx: click.Context, _param: click.Parameter, value: str) -> str:
    return value.replace("-", "_")


_IMPORT_OPTIONS = (
    click.option(
        "--importer",
        metavar="NAME",
        help="anomalib2, anomalib1, anomalib0, anomavision or onnx (any other graph); found from the file otherwise.",
    ),
    click.option("--score-output", metavar="NAME", help="Plain ONNX: which value is the score, higher = worse."),
    click.option("--map-output", metavar="NAME", help="Plain ONNX: which value is the anomaly map."),
    click.option("--size", metavar="WxH", callback=_size, help="Input size of a model that takes any."),
    click.option("--color", type=click.Choice(["rgb", "bgr", "gray"]), help="Plain ONNX: colour order. [assumed: rgb]"),
    click.option(
        "--scale", type=float, help="Plain ONNX: pixels are divided by this. [assumed: 255; 1 for a uint8 input]"
    ),
    click.option("--mean", metavar="M,M,M", callback=_numbers, help="Plain ONNX: subtracted after that. [assumed: 0]"),
    click.option("--std", metavar="S,S,S", callback=_numbers, help="Plain ONNX: divided by after that. [assumed: 1]"),
    click.option("--state-dict", type=click.Path(path_type=Path), help="PyTorch: weights for package.module:factory."),
    click.option("--trust-pickle", is_flag=True, help="PyTorch: load a pickle, which may run any code."),
    click.option("--layout", type=click.Choice(["nchw", "nhwc"]), help="Plain ONNX: found from the shape otherwise."),
)

_SHRINK_OPTIONS = (
    click.option("--coreset", type=int, metavar="N", help="Memory bank: keep N vectors. Changes scores; says how far."),
    click.option("--project", type=int, metavar="K", help="Memory bank: search it in K dimensions. Changes scores."),
    click.option(
        "--energy",
        type=float,
        default=1.0,
        show_default=True,
        help="Gaussian (PaDiM): drop directions of its whitening beyond this part. Changes scores.",
    ),
)

_GEOMETRY_OPTIONS = (
    click.option(
        "--level",
        type=click.Choice(["frame", "object"]),
        default="frame",
        show_default=True,
        help="Score frames, or objects whose boxes come with each frame; then an image is one object, cropped.",
    ),
    click.option("--roi", metavar="X,Y,W,H", callback=_roi, help="Region of interest in camera pixels; all otherwise."),
    click.option(
        "--resize",
        "mode",
        type=click.Choice(["stretch", "letterbox", "center-crop"]),
        default="stretch",
        show_default=True,
        callback=_mode,
        help="How the region is fitted to the model's input.",
    ),
    click.option(
        "--kernel",
        type=click.Choice(["area", "linear", "cubic", "nearest"]),
        help="Resampling kernel; area (antialiasing) unless the model's file says how it was trained.",
    ),
    click.option("--tiles", is_flag=True, help="Cut the region into tiles of the model's input size."),
    click.option("--tile-overlap", type=click.IntRange(min=0), default=0, metavar="PX", help="Tiles overlap by this."),
    click.option("--canvas", metavar="WxH", callback=_size, help="Resize the region to this before tiling."),
    click.option(
        "--grid",
        metavar="CxR",
        callback=_grid,
        help="Cut the region into C columns and R rows, each brought to the model's input.",
    ),
    click.option(
        "--ignore-mask",
        type=click.Path(path_type=Path),
        help="Gray PNG of the frame's size, white where nothing is inspected.",
    ),
    click.option(
        "--frame-size",
        "frame",
        default="auto",
        show_default=True,
        metavar="auto|any|WxH",
        callback=_frame_size,
        help="Frames of another size are INVALID. auto: the images' common size.",
    ),
)


def shrink_options(function: _F) -> _F:
    """Adds what trades accuracy of the head for size and speed."""
    return add_options(function, _SHRINK_OPTIONS)


def import_options(function: _F) -> _F:
    """Adds what says how the model's file is to be read."""
    return add_options(function, _IMPORT_OPTIONS)


def geometry_options(function: _F) -> _F:
    """Adds what lies between the camera's frame and the model's input."""
    return add_options(function, _GEOMETRY_OPTIONS)
