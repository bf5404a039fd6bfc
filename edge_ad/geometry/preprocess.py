"""From a camera frame to the model's input, and which cells of the map count."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_ad.bundle.records import Geometry, MapSize, ModelInput
from edge_ad.errors import BundleFormatError, FrameError, InputError
from edge_ad.geometry.layout import Layout, plan
from edge_ad.geometry.resample import Resampler
from edge_ad.verdict import Reason

__all__ = ["PreparedFrame", "Preprocessor", "Tile", "check_frame"]

# Frames are of one size; objects are of several that come back, and their buffers are small.
_MOST_PLANS = 16


@dataclass(frozen=True, slots=True)
class Tile:
    """Where a tile's map goes: the first cell of its row and column in the whole map."""

    row: int
    column: int


@dataclass(frozen=True, slots=True)
class PreparedFrame:
    """A frame as the model takes it.

    ``canvas``: uint8 ``(h, w, c)``, what :meth:`tiles` are cut from. ``valid``: bool ``(h', w')``, the cells of the
    whole map that show inspected camera pixels; ``None``: all do.
    """

    canvas: NDArray[np.uint8]
    layout: Layout
    valid: NDArray[np.bool_] | None

    def tiles(self, out: NDArray[np.uint8]) -> Iterator[Tile]:
        """Writes the tiles into ``out``, uint8 ``[h, w, c]``, one after the other; yields after each."""
        if self.canvas is out:
            yield Tile(0, 0)
            return
        x, y = self.layout.x, self.layout.y
        for top in y.starts:
            for left in x.starts:
                np.copyto(out, self.canvas[top : top + y.tile, left : left + x.tile])
                yield Tile(round(top / y.cell), round(left / x.cell))


@dataclass(frozen=True)
class _Plan:
    """What is worked out once for frames of one shape."""

    shape: tuple[int, ...]
    layout: Layout
    resample: Resampler
    resized: NDArray[np.uint8] | None
    canvas: NDArray[np.uint8] | None
    valid: NDArray[np.bool_] | None


class Preprocessor:
    """Region of interest, resize, tiles and ignore mask of a bundle, for frames as they come.

    ``ignore_mask``: uint8 ``(H, W)`` of the camera's frame, above 127 = not inspected; it takes a model with a map.
    Not thread-safe: its buffers are reused from frame to frame.
    """

    def __init__(
        self,
        geometry: Geometry,
        model_input: ModelInput,
        ignore_mask: NDArray[np.uint8] | None = None,
        *,
        map_size: MapSize | None = None,
    ) -> None:
        if ignore_mask is not None and map_size is None:
            raise InputError("an ignore mask needs a model with an anomaly map, and this one gives a score alone")
        self.geometry = geometry
        self.model_input = model_input
        self.ignore_mask = ignore_mask
        self.map_size = map_size
        self._last: _Plan | None = None
        self._plans: dict[tuple[int, ...], _Plan] = {}
        self._most_plans = _MOST_PLANS if geometry.level == "object" else 1

    def layout(self, frame: NDArray[np.uint8]) -> Layout:
        """How this frame lies on the model's input. Raises :class:`FrameError` as :meth:`tiles` does."""
        return self._planned(frame).layout

    def valid(self, frame: NDArray[np.uint8]) -> NDArray[np.bool_] | None:
        """Bool ``(h', w')``: the cells of the whole map that show inspected camera pixels. ``None``: all do."""
        return self._planned(frame).valid

    def tiles(self, frame: NDArray[np.uint8], out: NDArray[np.uint8]) -> Iterator[Tile]:
        """Writes the frame's tiles into ``out``, uint8 ``[h, w, c]``, one after the other; yields after each.

        Raises :class:`FrameError` as :meth:`prepare` does.
        """
        yield from self.prepare(frame, out).tiles(out)

    def prepare(self, frame: NDArray[np.uint8], out: NDArray[np.uint8] | None = None) -> PreparedFrame:
        """The frame as the model takes it.

        Args:
            frame: uint8, ``(H, W)`` gray, ``(H, W, 1)`` gray or ``(H, W, 3)`` BGR. Gray and BGR are converted to
                what the model takes.
            out: uint8 ``[h, w, c]``, the model's input. A frame of one tile is drawn there, another one in memory
                that the next frame overwrites. ``None``: in memory of its own.

        Raises:
            FrameError: the frame has another type or shape than the bundle expects.
        """
        ready = self._planned(frame)
        x, y = ready.layout.x, ready.layout.y
        if out is None:
            canvas = np.empty((y.canvas, x.canvas, self.model_input.channels), np.uint8)
        else:
            canvas = out if ready.canvas is None else ready.canvas
        region = frame[y.offset : y.offset + y.length, x.offset : x.offset + x.length]
        self._draw(region, ready, canvas)
        return PreparedFrame(canvas, ready.layout, ready.valid)

    def _draw(self, region: NDArray[np.uint8], ready: _Plan, canvas: NDArray[np.uint8]) -> None:
        """Resizes the region and puts it on the canvas ``[h, w, c]`` in the model's colours."""
        x, y = ready.layout.x, ready.layout.y
        view = canvas[y.visible, x.visible]
        if ready.layout.padded:
            canvas.fill(self.geometry.resize.fill if self.geometry.resize else 0)
        image = region[:, :, 0] if region.ndim == 3 and region.shape[2] == 1 else region
        if ready.resized is None:
            ready.resample(image, view[:, :, 0] if image.ndim == 2 else view)
            return
        ready.resample(image, ready.resized)
        cut = ready.resized[_cut(y.shift, y.canvas), _cut(x.shift, x.canvas)]
        if image.ndim == 2 and canvas.shape[2] == 3:
            cv2.cvtColor(cut, cv2.COLOR_GRAY2BGR, dst=view)
        elif image.ndim == 3 and canvas.shape[2] == 1:
            cv2.cvtColor(cut, cv2.COLOR_BGR2GRAY, dst=view[:, :, 0])
        else:
            np.copyto(view, cut.reshape(view.shape))

    def _planned(self, frame: NDArray[np.uint8]) -> _Plan:
        ready = self._last
        if ready is None or frame.shape != ready.shape or frame.dtype != np.uint8:
            check_frame(frame, self.geometry)
            ready = self._last = self._plans.get(frame.shape) or self._remember(self._plan(frame))
        return ready

    def _remember(self, planned: _Plan) -> _Plan:
        if len(self._plans) == self._most_plans:
            del self._plans[next(iter(self._plans))]
        self._plans[planned.shape] = planned
        return planned

    def _plan(self, frame: NDArray[np.uint8]) -> _Plan:
        height, width = frame.shape[:2]
        layout = plan(self.geometry, self.model_input, self.map_size, height, width)
        x, y = layout.x, layout.y
        channels = 1 if frame.ndim == 2 else frame.shape[2]
        kernel = self.geometry.resize.kernel if self.geometry.resize else "area"
        resample = Resampler((x.length, y.length), (x.resized, y.resized), channels, kernel)
        direct = channels == self.model_input.channels and min(x.shift, y.shift) >= 0
        resized_shape = (y.resized, x.resized, channels)[: 2 + (channels > 1)]
        tiled = (y.canvas, x.canvas) != (y.tile, x.tile)
        return _Plan(
            shape=frame.shape,
            layout=layout,
            resample=resample,
            resized=None if direct else np.empty(resized_shape, np.uint8),
            canvas=np.empty((y.canvas, x.canvas, self.model_input.channels), np.uint8) if tiled else None,
            valid=self._valid(layout),
        )

    def _valid(self, layout: Layout) -> NDArray[np.bool_] | None:
        if self.map_size is None or (self.ignore_mask is None and not layout.padded):
            return None
        x, y = layout.x, layout.y
        columns = [x.offset <= x.to_camera(i + 0.5) <= x.offset + x.length for i in range(x.map_length)]
        rows = [y.offset <= y.to_camera(i + 0.5) <= y.offset + y.length for i in range(y.map_length)]
        valid = np.outer(rows, columns)
        if not valid.any():
            raise FrameError(
                Reason.WRONG_SHAPE.value,
                f"a picture of {x.length}x{y.length} is too long and thin: letterboxed it fills no cell of the map",
            )
        if self.ignore_mask is not None:
            valid &= ~_ignored_cells(self.ignore_mask, layout)
        if not valid.any():
            raise InputError("the ignore mask covers all of the region of interest: nothing is left to inspect")
        return valid


def _cut(shift: int, canvas: int) -> slice:
    """The part of the resized image that the canvas shows."""
    return slice(max(-shift, 0), max(-shift, 0) + canvas)


def _ignored_cells(mask: NDArray[np.uint8], layout: Layout) -> NDArray[np.bool_]:
    """Bool ``(h', w')``: cells of which at least half lies under the mask."""
    if mask.shape != (layout.height, layout.width):
        raise BundleFormatError(
            f"the ignore mask is {mask.shape[1]}x{mask.shape[0]}, the frame {layout.width}x{layout.height}: "
            "expected the same size"
        )
    x, y = layout.x, layout.y
    covered = np.where(mask > 127, np.float32(1), np.float32(0))
    integral = cv2.integral(covered, sdepth=cv2.CV_64F)
    left, right = zip(*(x.span(i, 1) for i in range(x.map_length)), strict=True)
    top, bottom = zip(*(y.span(i, 1) for i in range(y.map_length)), strict=True)
    corner = [integral[np.ix_(rows, columns)] for rows in (top, bottom) for columns in (left, right)]
    area = np.outer(np.subtract(bottom, top), np.subtract(right, left))
    ignored: NDArray[np.bool_] = corner[0] - corner[1] - corner[2] + corner[3] >= 0.5 * area
    return ignored


def check_frame(frame: NDArray[np.uint8], geometry: Geometry) -> None:
    """Raises :class:`FrameError` unless the frame has a type and shape that the geometry takes."""
    if frame.dtype != np.uint8:
        raise FrameError(
            Reason.WRONG_TYPE.value,
            f"expected a frame of 8 bits per channel, found {frame.dtype}: convert it with the camera's own scale",
        )
    if frame.ndim not in (2, 3) or 0 in frame.shape or (frame.ndim == 3 and frame.shape[2] not in (1, 3)):
        raise FrameError(
            Reason.WRONG_SHAPE.value,
            f"expected a frame of shape (height, width) or (height, width, 3), found {frame.shape}",
        )
    expected = geometry.frame
    if expected is not None and frame.shape[:2] != (expected.height, expected.width):
        raise FrameError(
            Reason.WRONG_SHAPE.value,
            f"expected a frame of {expected.width}x{expected.height} pixels as in calibration, "
            f"found {frame.shape[1]}x{frame.shape[0]}",
        )
