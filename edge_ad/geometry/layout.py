"""How frames of one size lie on the model's input: two axes, worked out once per frame size."""

from __future__ import annotations

from dataclasses import dataclass

from edge_ad.bundle.records import Geometry, MapSize, ModelInput, Resize
from edge_ad.errors import FrameError, InputError
from edge_ad.geometry.axis import Axis, tile_starts
from edge_ad.verdict import Reason

__all__ = ["Layout", "plan"]

# Beyond that, memory would be asked for a picture of which nearly everything is cut off.
_LONGEST_PX = 32_767


@dataclass(frozen=True)
class Layout:
    """The horizontal axis ``x`` and the vertical axis ``y`` of frames of ``height`` x ``width`` pixels."""

    height: int
    width: int
    x: Axis
    y: Axis

    @property
    def tiles(self) -> int:
        """How often the model runs on one frame."""
        return len(self.x.starts) * len(self.y.starts)

    @property
    def padded(self) -> bool:
        """True where part of the canvas shows no camera pixel."""
        return any(axis.visible != slice(0, axis.canvas) for axis in (self.x, self.y))


def plan(geometry: Geometry, model: ModelInput, map_size: MapSize | None, height: int, width: int) -> Layout:
    """The layout of frames of ``height`` x ``width`` pixels.

    Raises:
        FrameError: such a frame does not hold the region of interest.
        InputError: the geometry contradicts itself or the model.
    """
    roi = geometry.roi
    left, top, roi_width, roi_height = (roi.x, roi.y, roi.width, roi.height) if roi else (0, 0, width, height)
    if left + roi_width > width or top + roi_height > height:
        raise FrameError(
            Reason.WRONG_SHAPE.value,
            f"the region of interest ends at ({left + roi_width}, {top + roi_height}) but the frame is "
            f"{width}x{height}: expected a larger frame",
        )
    resized_w, resized_h = _resized(geometry.resize, roi_width, roi_height)
    canvas_w, canvas_h = _canvas(geometry, model, roi_width, roi_height)
    overlap = geometry.tiles.overlap if geometry.tiles else 0
    cells_w, cells_h = (map_size.width, map_size.height) if map_size else (model.width, model.height)
    # Centred; where the difference is odd the extra pixel goes to the far side.
    x = Axis(left, roi_width, resized_w, (canvas_w - resized_w) // 2, canvas_w, model.width, cells_w,
             tile_starts(canvas_w, model.width, overlap, cells_w, "width"))  # fmt: skip
    y = Axis(top, roi_height, resized_h, (canvas_h - resized_h) // 2, canvas_h, model.height, cells_h,
             tile_starts(canvas_h, model.height, overlap, cells_h, "height"))  # fmt: skip
    return Layout(height, width, x, y)


def _resized(resize: Resize | None, width: int, height: int) -> tuple[int, int]:
    if resize is None:
        return width, height
    if resize.mode == "stretch":
        return resize.width, resize.height
    fits = (resize.width / width, resize.height / height)
    scale = min(fits) if resize.mode == "letterbox" else max(fits)
    resized = max(round(width * scale), 1), max(round(height * scale), 1)
    if max(resized) > _LONGEST_PX:
        raise FrameError(
            Reason.WRONG_SHAPE.value,
            f"a picture of {width}x{height} is too long and thin to be centre-cropped to "
            f"{resize.width}x{resize.height}: it would be resized to {resized[0]}x{resized[1]}",
        )
    return resized


def _canvas(geometry: Geometry, model: ModelInput, width: int, height: int) -> tuple[int, int]:
    canvas = (geometry.resize.width, geometry.resize.height) if geometry.resize else (width, height)
    if geometry.tiles is None and canvas != (model.width, model.height):
        raise InputError(
            f"the canvas is {canvas[0]}x{canvas[1]} but the model takes {model.width}x{model.height}: "
            "resize to the model's input, or use tiles"
        )
    return canvas
