"""What is wrong with a frame before it is scored: frames lost before it, stale, frozen, damaged, of a wrong size."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_ad.cameras.backends.protocol import CounterRange

__all__ = ["LostFrames"]


class LostFrames:
    """How many frames the camera has counted that never arrived, over the wrap of its counter."""

    def __init__(self, counter_range: CounterRange | None) -> None:
        self._range = counter_range
        self._last: int | None = None

    def before(self, counter: int | None) -> int:
        """Frames between the last one and this one, 0 where the counter cannot tell: at first, and when it jumps back.

        A step of more than half of the range counts as a jump back.
        """
        last, self._last = self._last, counter
        if self._range is None or counter is None or last is None:
            return 0
        period = self._range.last - self._range.first + 1
        step = (counter - last) % period
        return step - 1 if 0 < step <= period // 2 else 0
