"""GigE Vision cameras through aravis."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from edge_ad.capture.backends.aravis import AravisBuffer, AravisCamera, AravisError
from edge_ad.capture.backends.features import configure, number
from edge_ad.capture.backends.pixels import RawImage, convert, format_name
from edge_ad.capture.backends.protocol import CameraGoneError, CameraRefusedError, CounterRange, FetchedPicture, Grab
from edge_ad.errors import one_line

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edge_ad.cameras.messages import Setting
    from edge_ad.cameras.settings import CameraSettings

__all__ = ["GigeCamera"]

_BUFFERS = 10
_ASK_AFTER_S = 1.0


class GigeCamera:
    """The camera of an address, a name or a serial number."""

    is_live = True
    # Extended 64-bit counters go on beyond, where differences are the same.
    counter_range: CounterRange | None = CounterRange(1, 65_535)

    def __init__(self, settings: CameraSettings) -> None:
        self._settings = settings
        self._camera: AravisCamera | None = None
        self._buffer: AravisBuffer | None = None
        self._exposure_us: float | None = None
        self._gain: float | None = None
        self._heard_s = 0.0
        self.has_trigger = False

    def open(self) -> dict[str, Setting]:
        """Take control of the camera, configure it, and start it."""
        name = self._settings.source.partition(":")[2]
        try:
            camera = self._camera = AravisCamera(name)
            if not camera.is_ours():
                raise CameraRefusedError(f"GigE camera {name}: another program controls it: end that program")
            found = configure(camera, self._settings)
            camera.start(_BUFFERS)
        except AravisError as error:
            raise CameraGoneError(f"GigE camera {name}: {one_line(error)}") from error
        self.has_trigger = found["trigger"] == "software"
        self._exposure_us, self._gain = number(found, "exposure_us"), number(found, "gain")
        self._heard_s = time.monotonic()
        return found

    def trigger(self) -> None:
        """Send the software trigger."""
        try:
            self._opened().run("TriggerSoftware")
        except AravisError as error:
            raise CameraGoneError(f"the camera does not answer: {one_line(error)}") from error

    def grab(self, timeout_s: float) -> Grab | None:
        """Wait for the next frame, whole or not."""
        self._give_back()
        self._buffer = buffer = self._opened().pop(timeout_s)
        captured_at, captured_ns = time.time(), time.monotonic_ns()
        if buffer is None:
            self._ask_whether_it_is_there()
            return None
        self._heard_s = time.monotonic()
        return Grab(
            captured_at=captured_at,
            captured_ns=captured_ns,
            counter=buffer.counter,
            camera_time_ns=buffer.time_ns or None,
            exposure_us=self._exposure_us,
            gain=self._gain,
        )

    def fetch(self, slot: NDArray[np.uint8]) -> FetchedPicture:
        """Convert the frame's buffer into the slot."""
        buffer = self._buffer
        if buffer is None:
            raise CameraRefusedError("fetch was called before grab")
        if buffer.failure is not None:
            return FetchedPicture(0, 0, 0, f"the frame did not arrive whole: {buffer.failure}")
        name = format_name(buffer.format_code)
        raw = RawImage(buffer.data(), name, buffer.height, buffer.width, buffer.padding)
        return convert(raw, self._settings.bit_depth_rule, slot)

    def close(self) -> None:
        """Stop the camera and give up control of it."""
        self._give_back()
        if self._camera is not None:
            self._camera.close()
            self._camera = None

    def _ask_whether_it_is_there(self) -> None:
        """A camera that waits for a trigger gives no frame, and neither does one that was unplugged."""
        if time.monotonic() - self._heard_s < _ASK_AFTER_S:
            return
        try:
            self._opened().get("Width")
        except AravisError as error:
            raise CameraGoneError(f"the camera does not answer: {one_line(error)}") from error
        self._heard_s = time.monotonic()

    def _give_back(self) -> None:
        buffer, self._buffer = self._buffer, None
        if buffer is not None:
            self._opened().give_back(buffer)

    def _opened(self) -> AravisCamera:
        if self._camera is None:
            raise CameraRefusedError("the camera was not opened")
        return self._camera
