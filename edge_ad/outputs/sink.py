"""The interface of everything that takes results: files, pictures, videos, standard output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edge_ad.sources import Frame
    from edge_ad.verdict import Verdict

__all__ = ["Sink"]


class Sink(Protocol):
    """Takes the frames and verdicts of one run in order.

    ``needs_map``: whether ``write`` wants the anomaly map, which costs an upsampling per frame to make.
    """

    needs_map: bool

    def write(self, frame: Frame, verdict: Verdict, anomaly_map: NDArray[np.float32] | None) -> None:
        """Report one frame. ``anomaly_map``: float32 (H, W) in camera pixels, NaN outside the inspected area.

        Raises:
            OutputError: it cannot be written.
        """

    def close(self) -> None:
        """Finish what was begun. May be called twice.

        Raises:
            OutputError: it cannot be finished.
        """
