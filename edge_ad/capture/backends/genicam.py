"""Any GenICam camera through harvesters and the GenTL producer (a ``.cti`` file) of its maker."""

from __future__ import annotations

import ctypes
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_ad.capture.backends.features import configure, number
from edge_ad.capture.backends.pixels import RawImage, convert
from edge_ad.capture.backends.protocol import CameraGoneError, CameraRefusedError, CounterRange, FetchedPicture, Grab
from edge_ad.errors import MissingExtraError, one_line

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge_ad.cameras.messages import Setting
    from edge_ad.cameras.settings import CameraSettings

__all__ = ["GenicamCamera"]

_GIGE = CounterRange(1, 65_535)
_PLAIN = CounterRange(0, 2**64 - 1)


class GenicamCamera:
    """The camera of a producer file and a serial number; without a number, the only one of this producer."""

    is_live = True

    def __init__(self, settings: CameraSettings) -> None:
        try:
            from harvesters.core import Harvester
        except ImportError as error:
            raise MissingExtraError("harvesters, which source 'genicam:' needs,", "genicam") from error
        producer, _, self._serial = settings.source.partition(":")[2].partition("#")
        self._producer = Path(producer)
        self._settings = settings
        self._harvester: Any = Harvester()
        self._acquirer: Any = None
        self._nodes: _Nodes | None = None
        self._buffer: Any = None
        self._exposure_us: float | None = None
        self._gain: float | None = None
        self.has_trigger = False
        self.counter_range: CounterRange | None = _PLAIN

    def open(self) -> dict[str, Setting]:
        """Load the producer, open the camera, configure it, and start it."""
        if not self._producer.is_file():
            raise CameraRefusedError(f"{self._producer}: expected the producer's .cti file, found no such file")
        try:
            ctypes.CDLL(str(self._producer.absolute()))  # harvesters passes over what does not load
            self._harvester.add_file(str(self._producer.absolute()))
            self._harvester.update()
        except Exception as error:  # a producer may raise anything
            raise CameraRefusedError(f"{self._producer}: the producer does not load: {one_line(error)}") from error
        info = self._find(self._harvester.device_info_list)
        try:
            self._acquirer = self._harvester.create(info)
        except Exception as error:
            raise CameraRefusedError(f"GenICam {info.serial_number} cannot be opened: {one_line(error)}") from error
        self.counter_range = _GIGE if info.tl_type == "GEV" else _PLAIN
        self._nodes = _Nodes(self._acquirer.remote_device.node_map)
        found = configure(self._nodes, self._settings)
        self.has_trigger = found["trigger"] == "software"
        self._exposure_us, self._gain = number(found, "exposure_us"), number(found, "gain")
        self._acquirer.start()
        return {"serial": info.serial_number, "model": info.model} | found

    def trigger(self) -> None:
        """Send the software trigger."""
        if self._nodes is not None:
            self._nodes.run("TriggerSoftware")

    def grab(self, timeout_s: float) -> Grab | None:
        """Wait for the next frame that arrived whole; others show as lost."""
        self._requeue()
        try:
            self._buffer = self._acquirer.try_fetch(timeout=timeout_s)
        except Exception as error:  # a producer may raise anything
            raise CameraGoneError(f"the camera is gone: {one_line(error)}") from error
        if self._buffer is None:
            return None
        return Grab(
            captured_at=time.time(),
            captured_ns=time.monotonic_ns(),
            counter=_known(self._buffer.module, "frame_id"),
            camera_time_ns=_known(self._buffer.module, "timestamp_ns") or None,
            exposure_us=self._exposure_us,
            gain=self._gain,
        )

    def fetch(self, slot: NDArray[np.uint8]) -> FetchedPicture:
        """Convert the frame's buffer into the slot."""
        component = self._buffer.payload.components[0]
        data = component.data.view(np.uint8).reshape(-1)
        raw = RawImage(data, component.data_format, component.height, component.width, component.x_padding or 0)
        return convert(raw, self._settings.bit_depth_rule, slot)

    def close(self) -> None:
        """Stop the camera and give it back."""
        self._requeue()
        if self._acquirer is not None:
            self._acquirer.destroy()
            self._acquirer = None
        self._harvester.reset()

    def _find(self, devices: list[Any]) -> Any:
        serials = [device.serial_number for device in devices]
        if not self._serial and len(serials) == 1:
            return devices[0]
        if self._serial in serials:
            return devices[serials.index(self._serial)]
        there = f"the producer knows {', '.join(serials)}" if serials else "the producer finds none"
        if not self._serial and serials:
            raise CameraRefusedError(f"{self._producer}: expected one camera, but {there}: add # and a serial number")
        raise CameraGoneError(f"no GenICam camera {self._serial or 'at all'}: {there}")

    def _requeue(self) -> None:
        if self._buffer is not None:
            self._buffer.queue()
            self._buffer = None


class _Nodes:
    """The features of a node map as GenApi has it."""

    def __init__(self, nodes: Any) -> None:
        self._nodes = nodes

    def has(self, name: str) -> bool:
        try:
            return self._nodes.get_node(name) is not None and self.get(name) is not None
        except Exception:  # noqa: BLE001  there but not readable now
            return False

    def get(self, name: str) -> Setting:
        value: Setting = self._nodes.get_node(name).value
        return value

    def set(self, name: str, value: Setting) -> None:
        node = self._nodes.get_node(name)
        if hasattr(node, "execute") and value is True:
            node.execute()
        else:
            node.value = value

    def run(self, name: str) -> None:
        try:
            self._nodes.get_node(name).execute()
        except Exception as error:
            raise CameraGoneError(f"the camera does not answer {name}: {one_line(error)}") from error


def _known(module: Any, name: str) -> int | None:
    """What a producer may not know."""
    try:
        return int(getattr(module, name))
    except Exception:  # noqa: BLE001  every producer says so in its own way
        return None
