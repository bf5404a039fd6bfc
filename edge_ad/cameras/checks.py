"""What is wrong with a frame before it is scored: stale, frozen, damaged, of a wrong size."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_ad.verdict import Reason

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edge_ad.cameras.messages import FrameInfo
    from edge_ad.cameras.settings import CameraSettings

__all__ = ["FrameChecks", "FrameFault", "sample_digest"]

_NS = 1_000_000_000
_EVERY_ROWS = 8


@dataclass(frozen=True, slots=True)
class FrameFault:
    """Why a frame is INVALID, whatever a model would say of it."""

    reason: Reason
    detail: str


class FrameChecks:
    """The checks of one camera that need no calibration, on the frames of the camera in their order.

    They outlive its capture processes: a camera that comes back with the last frame of before is frozen, too.
    """

    def __init__(self, settings: CameraSettings) -> None:
        self._stale_ns = round(settings.stale_after_s * _NS)
        self._allow_repeats = settings.allow_repeats
        self._is_live = not settings.is_files
        self._keeps_size = self._is_live and settings.source != "link"  # clients may hand in cut-outs of any size
        self._size = (settings.height, settings.width) if settings.height and settings.width else None
        self._channels: int | None = None
        self._digest: int | None = None

    def check(self, info: FrameInfo, now_ns: int) -> FrameFault | None:
        """What is wrong with the frame at this moment of the monotonic clock; ``None``: nothing.

        To be called once a frame.
        """
        if info.damaged is not None:
            return FrameFault(Reason.UNREADABLE, info.damaged)
        last, self._digest = self._digest, info.digest
        fault = self._wrong_size(info) or self._wrong_channels(info)
        return fault or self._frozen(info, last) or self._stale(info, now_ns)

    def _wrong_size(self, info: FrameInfo) -> FrameFault | None:
        found = (info.height, info.width)
        if self._size is None and self._keeps_size:
            self._size = found
        if self._size is None or self._size == found:
            return None
        return FrameFault(
            Reason.WRONG_SHAPE,
            f"expected {self._size[1]} x {self._size[0]} pixels as before, found {found[1]} x {found[0]}: "
            "check the camera's settings",
        )

    def _wrong_channels(self, info: FrameInfo) -> FrameFault | None:
        if self._channels is None and self._is_live:
            self._channels = info.channels
        if self._channels in {None, info.channels}:
            return None
        was, is_now = ("gray" if one == 1 else "colour" for one in (self._channels, info.channels))
        return FrameFault(
            Reason.WRONG_SHAPE, f"expected a {was} picture as before, found a {is_now} one: check the camera's settings"
        )

    def _frozen(self, info: FrameInfo, last: int | None) -> FrameFault | None:
        if self._allow_repeats or info.digest is None or info.digest != last:
            return None
        return FrameFault(
            Reason.FROZEN,
            "the same pixels as the frame before: the camera may be frozen; if frames do repeat, set allow_repeats",
        )

    def _stale(self, info: FrameInfo, now_ns: int) -> FrameFault | None:
        age_ns = now_ns - info.captured_ns
        if age_ns <= self._stale_ns:
            return None
        return FrameFault(
            Reason.STALE, f"captured {age_ns / _NS:.1f} s ago, expected {self._stale_ns / _NS:g} s at most"
        )


def sample_digest(pixels: NDArray[np.uint8]) -> int:
    """A checksum of every eighth row of (H, W) or (H, W, 3): noise makes it another one each time."""
    import numpy as np

    digest = 0
    for row in pixels[::_EVERY_ROWS]:
        digest = zlib.crc32(np.ascontiguousarray(row).data, digest)
    return digest
