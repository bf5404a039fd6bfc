"""When a frame was captured, from the camera's time stamp and its arrival here; and which were lost on their way."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_ad.capture.backends.protocol import CounterRange

__all__ = ["ArrivalClock", "LostFrames"]

_NS = 1_000_000_000
# No camera's clock is off by more than this part.
_MOST_DRIFT = 2e-4
_LATE_NS = _NS
_MOST_LATE_IN_A_ROW = 20


class ArrivalClock:
    """Tells how long a frame has waited on its way, in the network or in a buffer.

    The camera's clock has another zero than ours. Their difference is at most that of the frame that arrived fastest,
    so that a frame which took longer is seen to be older than its arrival. What all frames take is not seen. When the
    camera's clock jumps, the difference is found anew: at once when it jumps back, or after 20 frames.
    """

    def __init__(self) -> None:
        self._difference_ns: int | None = None
        self._last_stamp_ns = 0
        self._last_arrival_ns = 0
        self._late = 0

    def captured_ns(self, stamp_ns: int, arrival_ns: int) -> int:
        """The moment of capture on our clock, never after the arrival."""
        found_ns = arrival_ns - stamp_ns
        if self._difference_ns is None or stamp_ns < self._last_stamp_ns or self._late >= _MOST_LATE_IN_A_ROW:
            self._difference_ns, self._late = found_ns, 0
        else:
            drift_ns = round((arrival_ns - self._last_arrival_ns) * _MOST_DRIFT)
            self._difference_ns = min(self._difference_ns + drift_ns, found_ns)
        self._last_stamp_ns, self._last_arrival_ns = stamp_ns, arrival_ns
        captured_ns = stamp_ns + self._difference_ns
        self._late = self._late + 1 if arrival_ns - captured_ns > _LATE_NS else 0
        return captured_ns


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
