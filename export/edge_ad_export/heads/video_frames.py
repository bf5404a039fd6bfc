"""Frames that a model makes: how its output lies beside the clip that it was given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from edge_ad.errors import ModelError
from edge_ad_export.heads.base import Array
from edge_ad_export.heads.tail import MapTail
from edge_ad_export.video.spec import ORDERS

if TYPE_CHECKING:
    import onnx_ir as ir
    from numpy.typing import NDArray

    from edge_ad_export.heads.builder import GraphBuilder
    from edge_ad_export.heads.request import HeadRequest
    from edge_ad_export.video.spec import ClipOrder, ClipSpec

__all__ = ["MadeFrames", "MadeFramesHead", "clip_of", "made_frames"]

_BLUR_PX = 4.0


@dataclass(frozen=True)
class MadeFrames:
    """A value ``name`` that holds ``count`` frames of ``planes`` x ``rows`` x ``columns`` in the model's ``order``."""

    name: str
    count: int
    planes: int
    rows: int
    columns: int
    order: ClipOrder

    def build(self, graph: GraphBuilder, value: ir.Value) -> ir.Value:
        """As ``[1, count, planes, h, w]``."""
        value = graph.reshape(value, *(self._shape()))
        back = [int(axis) for axis in np.argsort(ORDERS[self.order])]
        return value if back == sorted(back) else graph.op("Transpose", value, perm=back)

    def reference(self, array: NDArray[Any]) -> Array:
        """As ``(count, planes, h, w)``."""
        frames: Array = np.asarray(array, np.float64).reshape(self._shape())
        first: Array = frames.transpose(np.argsort(ORDERS[self.order]))[0]
        return first

    def tail(self, request: HeadRequest) -> MapTail:
        """What comes after the error of every pixel."""
        return request.tail(self.rows, self.columns, blur_px=_BLUR_PX)

    def _shape(self) -> tuple[int, ...]:
        canonical = (1, self.count, self.planes, self.rows, self.columns)
        return tuple(canonical[axis] for axis in ORDERS[self.order])


@dataclass(frozen=True)
class MadeFramesHead:
    """What heads share that hold such frames against the clip: a map of every pixel's error, put through ``tail``."""

    predicted: MadeFrames
    tail: MapTail

    @property
    def taps(self) -> tuple[str, ...]:
        return (self.predicted.name,)

    @property
    def roles(self) -> tuple[Literal["score", "map"], ...]:
        return ("score", "map")


def clip_of(request: HeadRequest) -> ClipSpec:
    """The clip of a model for clips. Raises :class:`ModelError` for pictures and vectors."""
    clip = request.spec.clip
    if clip is None or clip.input != "frame":
        raise ModelError(f"--family {request.family} compares frames of a clip: this model takes none")
    return clip


def made_frames(request: HeadRequest, count: int) -> MadeFrames:
    """The frames that ``--predicted-output``, or the only output, holds. Raises :class:`ModelError`."""
    clip, size = clip_of(request), request.spec.size
    name = request.options.predicted_output[0] if request.options.predicted_output else request.only_output()
    frames = MadeFrames(name, count, clip.planes, size.height, size.width, clip.order)
    shape = request.shape(name)
    wanted = [dim for dim in frames._shape() if dim != 1]
    if clip.order == "stacked":
        wanted = [dim for dim in (count * clip.planes, size.height, size.width) if dim != 1]
    if shape is None or [dim for dim in shape if dim != 1] != wanted:
        raise ModelError(
            f"{name} has {'an unknown shape' if shape is None else f'the shape {list(shape)}'}: expected {count} "
            f"{'frame' if count == 1 else 'frames'} of {clip.planes}x{size.height}x{size.width} in the order of the "
            "input; name another with --predicted-output"
        )
    return frames
