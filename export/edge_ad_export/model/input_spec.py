"""The model's own input: its size, colours and layout, and the arithmetic that leads to it from camera pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from edge_ad_export.model.clip_spec import ClipSpec

__all__ = ["Color", "InputSpec", "Kernel", "Layout", "Size"]

Color = Literal["rgb", "bgr", "gray"]
Layout = Literal["nchw", "nhwc"]
Kernel = Literal["area", "linear", "cubic", "nearest", "antialiased-linear", "antialiased-cubic"]


@dataclass(frozen=True)
class Size:
    """Pixels."""

    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


@dataclass(frozen=True)
class InputSpec:
    """The model's own input and the arithmetic that leads to it from uint8 pixels.

    ``value = (pixel / scale - mean) / std``, one mean and std a channel in the order of ``color``. ``batch`` is
    the number of images that the file insists on, 1 where it takes any number. ``clip``: of a model that takes clips.
    """

    name: str
    size: Size
    color: Color
    layout: Layout
    scale: float = 255.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    batch: int = 1
    clip: ClipSpec | None = None

    @property
    def channels(self) -> Literal[1, 3]:
        return 1 if self.color == "gray" else 3

    def shape(self, batch: int) -> tuple[int, ...]:
        """The input's static shape for so many images."""
        if self.clip is not None:
            return self.clip.model_shape(batch, self.size.height, self.size.width)
        if self.layout == "nchw":
            return batch, self.channels, self.size.height, self.size.width
        return batch, self.size.height, self.size.width, self.channels
