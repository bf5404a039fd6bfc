"""A folder of images as a camera: each picture is a frame, a damaged one too."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from edge_ad.capture.backends.pacing import Pacer
from edge_ad.capture.backends.protocol import (
    CameraRefusedError,
    CounterRange,
    FetchedPicture,
    Grab,
    SourceEndedError,
)
from edge_ad.errors import FrameError, InputError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from edge_ad.cameras.messages import Setting
    from edge_ad.cameras.settings import CameraSettings

__all__ = ["FolderCamera"]

_DEFAULT_FPS = 10.0


class FolderCamera:
    """The pictures of a folder or glob, in natural order; ``first``: how many of them were given already."""

    is_live = False
    has_trigger = True
    counter_range: CounterRange | None = None

    def __init__(self, settings: CameraSettings, first: int) -> None:
        self._settings = settings
        self._next = first
        self._paths: list[Path] = []
        self._pacer = Pacer(settings, _DEFAULT_FPS)
        self._grabbed: Path | None = None

    def open(self) -> dict[str, Setting]:
        """List the pictures."""
        from edge_ad.sources.listing import list_images

        try:
            self._paths = list_images(self._settings.source)
        except InputError as error:
            raise CameraRefusedError(str(error)) from error
        return {"pictures": len(self._paths)} | self._pacer.described()

    def trigger(self) -> None:
        """Nothing to do: the next picture is given whenever it is asked for."""

    def grab(self, timeout_s: float) -> Grab | None:
        """The next picture, when its time has come."""
        if self._next >= len(self._paths) and not self._settings.loop:
            raise SourceEndedError(f"{self._settings.source}: all {len(self._paths)} pictures were given")
        if not self._pacer.wait(timeout_s):
            return None
        self._grabbed = self._paths[self._next % len(self._paths)]
        self._next += 1
        return Grab(captured_at=time.time(), captured_ns=time.monotonic_ns(), name=str(self._grabbed))

    def fetch(self, slot: NDArray[np.uint8]) -> FetchedPicture:
        """Read the picture; a file that cannot be scored is a damaged frame."""
        from edge_ad.sources.image_file import read_image

        if self._grabbed is None:
            raise CameraRefusedError("fetch was called before grab")
        try:
            image = read_image(self._grabbed)
        except FrameError as error:
            return FetchedPicture(0, 0, 0, str(error))
        if image.size > len(slot):
            return FetchedPicture(0, 0, 0, too_large(str(self._grabbed), image.size, len(slot)))
        slot[: image.size] = image.reshape(-1)
        height, width = image.shape[:2]
        return FetchedPicture(height, width, 1 if image.ndim == 2 else image.shape[2])

    def close(self) -> None:
        """Does nothing: no file is open between two pictures."""


def too_large(name: str, found: int, slot: int) -> str:
    """Why a frame does not fit into a slot."""
    return (
        f"{name}: expected at most {slot} bytes a frame, found {found}: set max_frame_mib to {-(-found // (1 << 20))}"
    )
