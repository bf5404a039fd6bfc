"""When the next picture of a file is due."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge_ad.cameras.messages import Setting
    from edge_ad.cameras.settings import CameraSettings

__all__ = ["Pacer"]


class Pacer:
    """Lets pictures through at the frame rate; at once when they are triggered, or wanted as fast as possible.

    A picture that is late does not push the later ones back, unless it is late by more than a second.
    """

    def __init__(
        self,
        settings: CameraSettings,
        default_fps: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._is_paced = settings.trigger == "free" and settings.pace == "real"
        self._is_asked = settings.fps is not None
        self._period_s = 1 / (settings.fps or default_fps)
        self._clock, self._sleep = clock, sleep
        self._due_s: float | None = None

    def described(self) -> dict[str, Setting]:
        """The frame rate, where there is one."""
        return {"fps": round(1 / self._period_s, 3)} if self._is_paced or self._is_asked else {}

    def wait(self, timeout_s: float) -> bool:
        """Wait until the next picture is due, but not longer; whether it is."""
        if not self._is_paced:
            return True
        now = self._clock()
        due = now if self._due_s is None or now - self._due_s > 1 else self._due_s
        if due - now > timeout_s:
            self._due_s = due
            self._sleep(timeout_s)
            return False
        self._sleep(max(due - now, 0))
        self._due_s = due + self._period_s
        return True
