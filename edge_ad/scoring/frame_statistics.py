"""How a frame looks before any model sees it: brightness, contrast, sharpness and colour, in a few microseconds; and
the guard that refuses a frame outside the limits of these."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2

from edge_ad.bundle.records import FrameReference
from edge_ad.errors import FrameError
from edge_ad.verdict import FrameStatistics, Reason

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from cv2.typing import MatLike
    from numpy.typing import NDArray

    from edge_ad.bundle import FrameLimits

__all__ = ["FrameGuard", "frame_reference", "frame_statistics"]

# Whole rows, since sharpness needs neighbours; more pixels would cost time and say nothing new.
_PIXELS = 8_192
# Video decoders leave the channels of a gray picture up to four levels apart.
_GRAY_WITHIN = 4
_MOST_REFERENCES = 2_000


def frame_statistics(canvas: NDArray[np.uint8]) -> FrameStatistics:
    """Brightness, contrast, sharpness and colour of what the model sees, from about 8,000 pixels in evenly spaced rows.

    A darker lamp or a smaller exposure changes the brightness alone: contrast is relative to the mean, sharpness to
    the contrast, colour to the brightest channel.

    Args:
        canvas: uint8 ``(h, w, c)``, the model's input; of BGR the green channel is looked at for all but the colour.
    """
    height, width, _ = canvas.shape
    step = math.ceil(height / max(1, _PIXELS // width))
    planes = cv2.split(canvas[::step])
    rows = planes[len(planes) // 2]
    mean, deviation = (float(value[0, 0]) for value in cv2.meanStdDev(rows))
    steps = cv2.norm(rows[:, 1:], rows[:, :-1], cv2.NORM_L2) if width > 1 else 0.0
    return FrameStatistics(
        brightness=mean,
        contrast=deviation / mean if mean else 0.0,
        sharpness=steps / math.sqrt(rows.size) / deviation if deviation else 0.0,
        colour=_colour(*planes) if len(planes) == 3 else 0.0,
    )


def _colour(blue: MatLike, green: MatLike, red: MatLike) -> float:
    """How far the channels of the pixels lie apart in the mean, over the mean of their brightest channels."""
    brightest = cv2.max(cv2.max(blue, green), red)
    apart = cv2.subtract(brightest, cv2.min(cv2.min(blue, green), red))
    _, counted = cv2.threshold(apart, _GRAY_WITHIN, 0, cv2.THRESH_TOZERO)
    distance = cv2.mean(counted)[0]
    return distance / cv2.mean(brightest)[0] if distance else 0.0


def frame_reference(frames: Sequence[FrameStatistics]) -> FrameReference:
    """What later frames are compared with. ``frames``: of the calibration's normals, one per observation.

    Of more than 2,000 every k-th is taken: a choice that does not depend on the values leaves them
    exchangeable with those to come.
    """
    chosen = frames[:: math.ceil(len(frames) / _MOST_REFERENCES) or 1]
    return FrameReference(
        brightness=tuple(sorted(one.brightness for one in chosen)),
        contrast=tuple(sorted(one.contrast for one in chosen)),
        sharpness=tuple(sorted(one.sharpness for one in chosen)),
    )


class FrameGuard:
    """Refuses a frame that is outside the limits, before any engine runs. Without limits it refuses nothing.

    ``looks``: of the frame that was checked last; ``None`` where there are no limits to check.
    """

    def __init__(self) -> None:
        self.limits: FrameLimits | None = None
        self.looks: FrameStatistics | None = None

    def check(self, frame: NDArray[np.uint8], canvas: NDArray[np.uint8]) -> None:
        """Raises :class:`FrameError` where the size of the camera's frame, or the look of the model's input is out of
        range.

        Args:
            frame: uint8 ``(H, W)`` or ``(H, W, c)``, as the camera gave it.
            canvas: uint8 ``(h, w, c)``, the same as the model gets it.
        """
        self.looks = None
        if self.limits is None:
            return
        height, width = frame.shape[:2]
        fault = self.limits.size_fault(width, height)
        if fault is None:
            self.looks = frame_statistics(canvas)
            fault = self.limits.look_fault(self.looks)
        if fault is not None:
            raise FrameError(Reason.OUT_OF_RANGE.value, f"{fault}: outside the limits of frames")
