"""The settings of a GenICam camera, by the names of its Standard Features Naming Convention, for any library."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from edge_ad.capture.backends.protocol import CameraRefusedError
from edge_ad.errors import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edge_ad.cameras.messages import Setting
    from edge_ad.cameras.settings import CameraSettings

__all__ = ["Features", "configure", "number"]

# The names of the convention, and older ones that cameras still have.
_NAMES: dict[str, tuple[str, ...]] = {
    "pixel_format": ("PixelFormat",),
    "width": ("Width",),
    "height": ("Height",),
    "exposure_us": ("ExposureTime", "ExposureTimeAbs"),
    "gain": ("Gain", "GainAbs"),
    "fps": ("AcquisitionFrameRate", "AcquisitionFrameRateAbs"),
}
# What has to be switched before a value can be set.
_BEFORE: dict[str, tuple[tuple[str, str | bool], ...]] = {
    "exposure_us": (("ExposureAuto", "Off"), ("ExposureMode", "Timed")),
    "gain": (("GainAuto", "Off"),),
    "fps": (("AcquisitionFrameRateEnable", True),),
}
_OLD_FORMATS = {"RGB8": "RGB8Packed", "BGR8": "BGR8Packed", "RGBa8": "RGBA8Packed", "BGRa8": "BGRA8Packed"}
_NEW_FORMATS = {old: new for new, old in _OLD_FORMATS.items()}


class Features(Protocol):
    """The features of an open camera. Each method may raise whatever its library raises."""

    def has(self, name: str) -> bool:
        """Whether the camera has the feature, and it can be used now."""

    def get(self, name: str) -> Setting:
        """Its value."""

    def set(self, name: str, value: Setting) -> None:
        """Set it; a command is executed by ``True``."""


def configure(features: Features, settings: CameraSettings) -> dict[str, Setting]:
    """Set what is to be set, in an order that cameras accept, and give back what they then say.

    What was not asked for is read all the same where the camera has it, but for exposure and gain, which the camera may
    change by itself.

    Raises:
        CameraRefusedError: the camera does not take a value, or a feature.
    """
    found: dict[str, Setting] = {}
    _switch(features, "TriggerMode", "Off")  # some cameras allow no other change while they wait for a trigger
    for name, value in settings.features.items():
        _set(features, "features", name, value)
        found[name] = features.get(name) if features.has(name) else value  # a command has no value
    for setting, names in _NAMES.items():
        feature = next((one for one in names if features.has(one)), None)
        wanted: Setting | None = getattr(settings, setting)
        if feature is None:
            continue
        if wanted is not None:
            for switch, position in _BEFORE.get(setting, ()):
                _switch(features, switch, position)
            _set(features, setting, feature, wanted)
        if wanted is not None or setting not in ("exposure_us", "gain"):
            found[setting] = _read(features, setting, feature)
    return found | _configure_trigger(features, settings)


def _configure_trigger(features: Features, settings: CameraSettings) -> dict[str, Setting]:
    if settings.trigger == "free" or not features.has("TriggerMode"):
        return {"trigger": "free"}
    source = "Software" if settings.trigger == "software" else settings.trigger_line
    _switch(features, "TriggerSelector", "FrameStart")
    _set(features, "trigger", "TriggerMode", "On")
    _set(features, "trigger_line", "TriggerSource", source)
    is_set = features.get("TriggerMode") == "On" and features.get("TriggerSource") == source
    return {"trigger": settings.trigger if is_set else "free"}


def _switch(features: Features, name: str, value: str | bool) -> None:
    """Set what many cameras have and others do not."""
    if features.has(name) and features.get(name) != value:
        _set(features, name, name, value)


def _set(features: Features, setting: str, name: str, value: Setting) -> None:
    try:
        features.set(name, value)
    except Exception as error:  # each library has errors of its own
        if value in _OLD_FORMATS:
            _set(features, setting, name, _OLD_FORMATS[str(value)])
            return
        raise CameraRefusedError(
            f"{setting}: the camera does not take {value} for {name}: {one_line(error)}"
        ) from error


def _read(features: Features, setting: str, name: str) -> Setting:
    value = features.get(name)
    if isinstance(value, str):
        return _NEW_FORMATS.get(value, value)
    return round(value, 3) if setting in ("exposure_us", "gain", "fps") else value


def number(found: Mapping[str, Setting], name: str) -> float | None:
    """A number that was read back, where it was."""
    value = found.get(name)
    return None if value is None else float(value)
