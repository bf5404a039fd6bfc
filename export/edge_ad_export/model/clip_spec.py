"""The clip that a model takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge_ad.bundle.records import Smoothing

__all__ = ["ORDERS", "ClipInput", "ClipOptions", "ClipOrder", "ClipSpec"]

ClipOrder = Literal["tchw", "cthw", "thwc", "stacked", "vectors"]
ClipInput = Literal["frame", "flow", "features"]

# From [1, t, c, h, w].
ORDERS: dict[ClipOrder, tuple[int, ...]] = {
    "tchw": (0, 1, 2, 3, 4),
    "cthw": (0, 2, 1, 3, 4),
    "thwc": (0, 1, 3, 4, 2),
    "stacked": (0, 1, 2, 3, 4),
    "vectors": (0, 1, 2),
}


@dataclass(frozen=True)
class ClipOptions:
    """What the user says about clips. ``None``: found from the model's input.

    ``length``: samples a clip, the predicted one included. ``stride``, ``hop``, ``smoothing``, ``input``: see
    :class:`~edge_ad.bundle.clip.Clip`.
    """

    length: int | None = None
    stride: int = 1
    hop: int = 1
    order: ClipOrder | None = None
    input: ClipInput = "frame"
    smoothing: Smoothing | None = None


@dataclass(frozen=True)
class ClipSpec:
    """The bundle's graph takes ``length`` samples ``[1, length, channels, h, w]``, of which the model takes the first
    ``taken``, in its own ``order``; ``stacked`` has them on its channel axis. Vectors are ``[1, length, size]``."""

    length: int
    taken: int
    channels: int
    order: ClipOrder
    input: ClipInput

    def model_shape(self, batch: int, height: int, width: int) -> tuple[int, ...]:
        """Of the model's own input."""
        if self.order == "vectors":
            return batch, self.taken, width
        if self.order == "stacked":
            return batch, self.taken * self.channels, height, width
        canonical = (batch, self.taken, self.channels, height, width)
        return tuple(canonical[axis] for axis in ORDERS[self.order])

    def entry_shape(self, height: int, width: int) -> tuple[int, ...]:
        """Of the bundle's input."""
        if self.order == "vectors":
            return 1, self.length, width
        return 1, self.length, height, width, self.channels

    def arrange(self, samples: NDArray[Any]) -> NDArray[Any]:
        """Of all samples ``[1, length, ...]`` those that the model takes, in its order."""
        taken = samples[:, : self.taken]
        if self.order == "stacked":
            return taken.reshape(1, -1, *taken.shape[3:])
        return np.ascontiguousarray(taken.transpose(ORDERS[self.order]))
