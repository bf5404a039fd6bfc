"""What a capture process asks of a camera, whatever kind it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edge_ad.cameras.messages import Setting

__all__ = [
    "CameraBackend",
    "CameraGoneError",
    "CameraRefusedError",
    "CounterRange",
    "FetchedPicture",
    "Grab",
    "SourceEndedError",
]


class CameraGoneError(Exception):
    """The camera is not there, or not any more: it is tried again soon."""


class CameraRefusedError(Exception):
    """The camera is there and says no: it is tried again after a longer time."""


class SourceEndedError(Exception):
    """A file or folder has no more pictures."""


@dataclass(frozen=True, slots=True)
class CounterRange:
    """A camera's frame counter goes from ``first`` to ``last`` and then begins again with ``first``."""

    first: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Grab:
    """A frame that was taken and not fetched yet.

    ``captured_at``: seconds since the epoch; ``captured_ns``: the same moment of the monotonic clock.
    """

    captured_at: float
    captured_ns: int
    counter: int | None = None
    camera_time_ns: int | None = None
    exposure_us: float | None = None
    gain: float | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class FetchedPicture:
    """The pixels that were written to a slot: rows packed, 1 channel gray or 3 channels BGR.

    ``damaged``: what the decoder complained of. Without any pixels, ``height`` is 0 and ``damaged`` says why.
    """

    height: int
    width: int
    channels: int
    damaged: str | None = None


class CameraBackend(Protocol):
    """One camera. Everything is called from one thread.

    ``is_live``: frames come by themselves and are lost when nobody takes them; files wait.
    ``has_trigger``: it can be told to take one picture; of others the first one begun after the trigger is taken.
    ``counter_range``: of the camera's frame counter, ``None`` where it has none.
    Every method may raise ``CameraGoneError`` or ``CameraRefusedError``.
    """

    is_live: bool
    has_trigger: bool
    counter_range: CounterRange | None

    def open(self) -> dict[str, Setting]:
        """Open the camera, set what is to be set, and give back what it says that it is set to.

        The names are those of the settings; one that was asked for and is not given back counts as impossible.
        """

    def trigger(self) -> None:
        """Ask for one exposure, in ``software`` mode; the next grab gives it."""

    def grab(self, timeout_s: float) -> Grab | None:
        """Wait for the next frame; ``None``: there was none in this time.

        Raises:
            SourceEndedError: the last one was given.
        """

    def fetch(self, slot: NDArray[np.uint8]) -> FetchedPicture:
        """Write the pixels of the frame that was grabbed last to ``slot``, uint8 (n,). May be left out."""

    def close(self) -> None:
        """Give the camera back."""
