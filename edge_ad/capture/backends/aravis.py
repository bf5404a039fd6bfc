"""The part of the aravis library that a camera needs, by its C interface.

Its usual binding, PyGObject, belongs to the distribution's own Python and does not install into others without a
compiler; and it copies every frame into a Python object. The C interface needs the distribution's library alone.
"""

from __future__ import annotations

import contextlib
import ctypes
from ctypes import POINTER, byref, c_char_p, c_double, c_int, c_int64, c_size_t, c_uint32, c_uint64, c_void_p
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_ad.capture.backends.protocol import CameraRefusedError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge_ad.cameras.messages import Setting

__all__ = ["AravisBuffer", "AravisCamera", "AravisError"]

_LIBRARY = "libaravis-0.8.so.0"
_MISSING = "aravis, which source 'gige:' needs, is not installed: run  apt-get install libaravis-0.8-0"
_PACKET_SOCKET_DISABLED = 1
_SUCCESS = 0
_STATUS = {
    1: "cleared",
    2: "not complete in time",
    3: "packets are missing",
    4: "wrong packet",
    5: "wrong size",
    7: "aborted",
}


class AravisError(Exception):
    """What the library says went wrong."""


class _GError(ctypes.Structure):
    _fields_ = (("domain", c_uint32), ("code", c_int), ("message", c_char_p))


# Result and arguments; those that end with an error take a pointer to it as their last argument.
_FAILING: dict[str, tuple[Any, ...]] = {
    "arv_camera_new": (c_void_p, c_char_p),
    "arv_camera_create_stream": (c_void_p, c_void_p, c_void_p, c_void_p),
    "arv_camera_get_payload": (c_uint32, c_void_p),
    "arv_camera_start_acquisition": (None, c_void_p),
    "arv_camera_stop_acquisition": (None, c_void_p),
    "arv_camera_execute_command": (None, c_void_p, c_char_p),
    "arv_camera_is_feature_available": (c_int, c_void_p, c_char_p),
    "arv_camera_get_string": (c_char_p, c_void_p, c_char_p),
    "arv_camera_set_string": (None, c_void_p, c_char_p, c_char_p),
    "arv_camera_get_integer": (c_int64, c_void_p, c_char_p),
    "arv_camera_set_integer": (None, c_void_p, c_char_p, c_int64),
    "arv_camera_get_float": (c_double, c_void_p, c_char_p),
    "arv_camera_set_float": (None, c_void_p, c_char_p, c_double),
    "arv_camera_get_boolean": (c_int, c_void_p, c_char_p),
    "arv_camera_set_boolean": (None, c_void_p, c_char_p, c_int),
}
_PLAIN: dict[str, tuple[Any, ...]] = {
    "arv_camera_get_device": (c_void_p, c_void_p),
    "arv_camera_gv_set_stream_options": (None, c_void_p, c_int),
    "arv_camera_is_gv_device": (c_int, c_void_p),
    "arv_gv_device_is_controller": (c_int, c_void_p),
    "arv_buffer_new_allocate": (c_void_p, c_size_t),
    "arv_stream_push_buffer": (None, c_void_p, c_void_p),
    "arv_stream_timeout_pop_buffer": (c_void_p, c_void_p, c_uint64),
    "arv_buffer_get_status": (c_int, c_void_p),
    "arv_buffer_get_frame_id": (c_uint64, c_void_p),
    "arv_buffer_get_timestamp": (c_uint64, c_void_p),
    "arv_buffer_get_image_width": (c_int, c_void_p),
    "arv_buffer_get_image_height": (c_int, c_void_p),
    "arv_buffer_get_image_pixel_format": (c_uint32, c_void_p),
    "arv_buffer_get_image_padding": (None, c_void_p, POINTER(c_int), POINTER(c_int)),
    "arv_buffer_get_data": (c_void_p, c_void_p, POINTER(c_size_t)),
    "g_object_unref": (None, c_void_p),
    "g_error_free": (None, c_void_p),
}


def _load() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(_LIBRARY)  # finds the functions of the libraries that it needs, too
    except OSError as error:
        raise CameraRefusedError(_MISSING) from error
    for name, (result, *arguments) in _FAILING.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, [*arguments, POINTER(POINTER(_GError))]
    for name, (result, *arguments) in _PLAIN.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


class AravisBuffer:
    """A frame that came; its bytes are valid until it is given back."""

    def __init__(self, library: ctypes.CDLL, pointer: int) -> None:
        self._library = library
        self.pointer = pointer
        self.counter = int(library.arv_buffer_get_frame_id(pointer))
        self.time_ns = int(library.arv_buffer_get_timestamp(pointer))
        status = int(library.arv_buffer_get_status(pointer))
        self.failure = None if status == _SUCCESS else _STATUS.get(status, f"status {status}")
        """Why it is not whole; ``None``: it is."""

    @property
    def height(self) -> int:
        """In pixels."""
        return int(self._library.arv_buffer_get_image_height(self.pointer))

    @property
    def width(self) -> int:
        """In pixels."""
        return int(self._library.arv_buffer_get_image_width(self.pointer))

    @property
    def format_code(self) -> int:
        """The number of its pixel format."""
        return int(self._library.arv_buffer_get_image_pixel_format(self.pointer))

    @property
    def padding(self) -> int:
        """Bytes at the end of each row."""
        across, down = c_int(), c_int()
        self._library.arv_buffer_get_image_padding(self.pointer, byref(across), byref(down))
        return across.value

    def data(self) -> NDArray[np.uint8]:
        """Its bytes, not copied."""
        size = c_size_t()
        address = self._library.arv_buffer_get_data(self.pointer, byref(size))
        if not address:
            return np.empty(0, np.uint8)
        return np.ctypeslib.as_array((ctypes.c_uint8 * size.value).from_address(address))


class AravisCamera:
    """An open camera, by its address, name, or serial number.

    Raises:
        AravisError: there is none, or it does not answer; by every method.
        CameraRefusedError: the library is not installed.
    """

    def __init__(self, name: str) -> None:
        self._library = _load()
        self._stream: int | None = None
        self._kinds: dict[str, str] = {}
        self._camera = self._call("arv_camera_new", name.encode() or None, owner=False)
        if not self._camera:
            raise AravisError("no such camera")

    def is_ours(self) -> bool:
        """Whether this process may control the camera: another one may have it already."""
        if not self._library.arv_camera_is_gv_device(self._camera):
            return True
        return bool(self._library.arv_gv_device_is_controller(self._library.arv_camera_get_device(self._camera)))

    def start(self, buffers: int) -> None:
        """Have frames come, to so many buffers."""
        if self._library.arv_camera_is_gv_device(self._camera):
            # It needs the right to open raw sockets, and gives no frame on loopback.
            self._library.arv_camera_gv_set_stream_options(self._camera, _PACKET_SOCKET_DISABLED)
        self._stream = self._call("arv_camera_create_stream", None, None)
        size = self._call("arv_camera_get_payload")
        for _ in range(buffers):
            self._library.arv_stream_push_buffer(self._stream, self._library.arv_buffer_new_allocate(size))
        self._call("arv_camera_start_acquisition")

    def pop(self, timeout_s: float) -> AravisBuffer | None:
        """The next frame, whole or not; ``None``: there was none in this time."""
        pointer = self._library.arv_stream_timeout_pop_buffer(self._stream, round(timeout_s * 1_000_000))
        return AravisBuffer(self._library, pointer) if pointer else None

    def give_back(self, buffer: AravisBuffer) -> None:
        """The buffer may be filled again."""
        self._library.arv_stream_push_buffer(self._stream, buffer.pointer)

    def has(self, name: str) -> bool:
        """Whether the camera has the feature, and it can be used now."""
        return bool(self._call("arv_camera_is_feature_available", name.encode()))

    def get(self, name: str) -> Setting:
        """The value of a feature; text unless it was set to something else or is known to be."""
        value = self._call(f"arv_camera_get_{self._kind(name)}", name.encode())
        return value.decode() if isinstance(value, bytes) else bool(value) if self._kind(name) == "boolean" else value

    def set(self, name: str, value: Setting) -> None:
        """Set a feature; a command is executed by ``True``."""
        self._kinds.setdefault(name, _KINDS.get(name) or _kind_of(value))
        argument = value.encode() if isinstance(value, str) else value
        try:
            self._call(f"arv_camera_set_{self._kind(name)}", name.encode(), argument)
        except AravisError:
            if value is not True:
                raise
            self.run(name)

    def run(self, name: str) -> None:
        """Execute a command."""
        self._call("arv_camera_execute_command", name.encode())

    def close(self) -> None:
        """Stop the camera and give it back. May be called twice."""
        stream, self._stream = self._stream, None
        if stream:
            with contextlib.suppress(AravisError):  # it is gone
                self._call("arv_camera_stop_acquisition")
            self._library.g_object_unref(stream)
        camera, self._camera = self._camera, None
        if camera:
            self._library.g_object_unref(camera)

    def _kind(self, name: str) -> str:
        return self._kinds.get(name) or _KINDS.get(name, "string")

    def _call(self, function: str, *arguments: Any, owner: bool = True) -> Any:
        error = POINTER(_GError)()
        all_arguments = (self._camera, *arguments) if owner else arguments
        result = getattr(self._library, function)(*all_arguments, byref(error))
        if error:
            message = (error.contents.message or b"no reason given").decode(errors="replace")
            self._library.g_error_free(error)
            raise AravisError(message)
        return result


_KINDS = {
    **dict.fromkeys(("Width", "Height"), "integer"),
    **dict.fromkeys(("ExposureTime", "ExposureTimeAbs", "Gain", "GainAbs"), "float"),
    **dict.fromkeys(("AcquisitionFrameRate", "AcquisitionFrameRateAbs"), "float"),
    "AcquisitionFrameRateEnable": "boolean",
}


def _kind_of(value: Setting) -> str:
    if isinstance(value, bool):
        return "boolean"
    return "string" if isinstance(value, str) else "integer" if isinstance(value, int) else "float"
