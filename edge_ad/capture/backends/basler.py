"""Basler cameras through pylon: GigE, USB and CoaXPress, and pylon's own emulator."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_ad.capture.backends.features import configure, number
from edge_ad.capture.backends.pixels import RawImage, convert, format_name
from edge_ad.capture.backends.protocol import CameraGoneError, CameraRefusedError, CounterRange, FetchedPicture, Grab
from edge_ad.errors import MissingExtraError, one_line

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge_ad.cameras.messages import Setting
    from edge_ad.cameras.settings import CameraSettings

__all__ = ["BaslerCamera"]

_GIGE = CounterRange(1, 65_535)
_PLAIN = CounterRange(0, 2**64 - 1)
_READY_MS = 1_000


class BaslerCamera:
    """The camera of a serial number; without one, the only one there is."""

    is_live = True
    has_trigger = True

    def __init__(self, settings: CameraSettings) -> None:
        try:
            from pypylon import genicam, pylon
        except ImportError as error:
            raise MissingExtraError("pypylon, which source 'basler:' needs,", "basler") from error
        self._pylon: Any = pylon
        self._genicam: Any = genicam
        self._settings = settings
        self._serial = settings.source.partition(":")[2]
        self._camera: Any = None
        self._result: Any = None
        self._exposure_us: float | None = None
        self._gain: float | None = None
        self._ticks_per_s = 1_000_000_000
        self.counter_range: CounterRange | None = _PLAIN

    def open(self) -> dict[str, Setting]:
        """Open, configure, and start grabbing."""
        factory = self._pylon.TlFactory.GetInstance()
        device = self._find(factory.EnumerateDevices())
        self.counter_range = _GIGE if device.GetDeviceClass() == "BaslerGigE" else _PLAIN
        try:
            self._camera = self._pylon.InstantCamera(factory.CreateDevice(device))
            self._camera.Open()
        except self._genicam.GenericException as error:
            raise CameraRefusedError(
                f"Basler {device.GetSerialNumber()} cannot be opened: {one_line(error)}"
            ) from error
        features = _Nodes(self._camera.GetNodeMap(), self._genicam)
        found = configure(features, self._settings)
        if features.has("GevTimestampTickFrequency"):
            self._ticks_per_s = int(features.get("GevTimestampTickFrequency"))
        self._exposure_us, self._gain = number(found, "exposure_us"), number(found, "gain")
        self._camera.StartGrabbing(self._pylon.GrabStrategy_OneByOne)
        return {"serial": device.GetSerialNumber(), "model": device.GetModelName()} | found

    def trigger(self) -> None:
        """Send the software trigger, as soon as the camera takes one: it drops those that come while it is busy."""
        with _Errors(self):
            if self._camera.CanWaitForFrameTriggerReady():
                self._camera.WaitForFrameTriggerReady(_READY_MS, self._pylon.TimeoutHandling_Return)
            self._camera.TriggerSoftware.Execute()

    def grab(self, timeout_s: float) -> Grab | None:
        """Wait for the next frame."""
        self._release()
        with _Errors(self):
            result = self._camera.RetrieveResult(round(timeout_s * 1000), self._pylon.TimeoutHandling_Return)
            if not result.IsValid():
                if self._camera.IsCameraDeviceRemoved():
                    raise CameraGoneError("the camera was unplugged")
                return None
        captured_at, captured_ns = time.time(), time.monotonic_ns()
        self._result = result
        ticks = result.TimeStamp
        return Grab(
            captured_at=captured_at,
            captured_ns=captured_ns,
            counter=result.BlockID,
            camera_time_ns=ticks * 1_000_000_000 // self._ticks_per_s if ticks else None,
            exposure_us=self._exposure_us,
            gain=self._gain,
        )

    def fetch(self, slot: NDArray[np.uint8]) -> FetchedPicture:
        """Convert the frame's buffer into the slot."""
        result = self._result
        if not result.GrabSucceeded():
            return FetchedPicture(0, 0, 0, f"the frame did not arrive whole: {one_line(result.ErrorDescription)}")
        data = np.frombuffer(result.GetMemoryView(), np.uint8)
        raw = RawImage(data, format_name(result.PixelType), result.Height, result.Width, result.PaddingX)
        return convert(raw, self._settings.bit_depth_rule, slot)

    def close(self) -> None:
        """Stop grabbing and give the camera back."""
        self._release()
        if self._camera is not None and self._camera.IsOpen():
            self._camera.Close()

    def _find(self, devices: Any) -> Any:
        serials = [device.GetSerialNumber() for device in devices]
        if not self._serial and len(serials) == 1:
            return devices[0]
        if self._serial in serials:
            return devices[serials.index(self._serial)]
        there = f"there are {', '.join(serials)}" if serials else "there is none"
        if not self._serial and serials:
            raise CameraRefusedError(
                f"source 'basler:': expected the only Basler camera, but {there}: add a serial number"
            )
        raise CameraGoneError(f"no Basler camera {self._serial or 'at all'}: {there}")

    def _release(self) -> None:
        if self._result is not None:
            self._result.Release()
            self._result = None

    def failure(self, error: Exception) -> Exception:
        """What a failed call means."""
        if self._camera is not None and self._camera.IsCameraDeviceRemoved():
            return CameraGoneError("the camera was unplugged")
        return CameraGoneError(one_line(error))


class _Errors:
    """Turns pylon's errors into those of a camera."""

    def __init__(self, camera: BaslerCamera) -> None:
        self._camera = camera

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, CameraGoneError):
            raise self._camera.failure(error) from error


class _Nodes:
    """The features of a node map as pylon has it."""

    def __init__(self, nodes: Any, genicam: Any) -> None:
        self._nodes = nodes
        self._genicam = genicam

    def has(self, name: str) -> bool:
        node = self._nodes.GetNode(name)
        return node is not None and self._genicam.IsReadable(node)

    def get(self, name: str) -> Setting:
        value: Setting = self._nodes.GetNode(name).Value
        return value

    def set(self, name: str, value: Setting) -> None:
        node = self._nodes.GetNode(name)
        if hasattr(node, "Execute") and value is True:
            node.Execute()
        else:
            node.Value = value
