"""The settings of one camera: the table ``[camera.NAME]`` of a station file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CameraSettings", "PixelFormat", "SourceKind", "source_kind", "unmet_settings"]

SourceKind = Literal["device", "url", "gst", "folder", "video", "basler", "genicam", "gige", "link", "fake"]

_PREFIXES: tuple[SourceKind, ...] = ("gst", "basler", "genicam", "gige", "fake")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_DEVICE = re.compile(r"\d+|/dev/(?!shm/).+")  # /dev/shm holds files

_Positive = Annotated[float, msgspec.Meta(gt=0)]
_Pixels = Annotated[int, msgspec.Meta(ge=1, le=65535)]
PixelFormat = Literal[
    "Mono8",
    "Mono10",
    "Mono12",
    "Mono16",
    "BayerRG8",
    "BayerRG10",
    "BayerRG12",
    "BayerRG16",
    "BayerBG8",
    "BayerBG10",
    "BayerBG12",
    "BayerBG16",
    "BayerGR8",
    "BayerGR10",
    "BayerGR12",
    "BayerGR16",
    "BayerGB8",
    "BayerGB10",
    "BayerGB12",
    "BayerGB16",
    "RGB8",
    "BGR8",
    "RGBa8",
    "BGRa8",
]
"""The pixel formats that are understood, by their names in the GenICam Pixel Format Naming Convention."""


class CameraSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one camera is reached, and what it is set to. What is not given stays as the camera has it.

    ``source``: ``0`` or ``/dev/video0``, a URL, ``gst:PIPELINE``, a video file, a folder or glob of images,
    ``basler:SERIAL`` (``basler:`` alone: the only one), ``genicam:PRODUCER.cti`` with ``#SERIAL``, ``gige:ADDRESS``,
    ``link``: frames are handed in by a client, ``fake:FAULTS`` for trials.
    ``trigger``: ``free`` takes every frame; ``software`` takes one when asked; ``hardware`` leaves it to the
    camera's input ``trigger_line``.
    ``features``: other features of a GenICam camera by their own names, set in this order before
    all else; ``true`` executes a command.
    ``pace``: files in ``free`` mode come at ``fps`` (``real``) or as fast as they are taken, none dropped (``fast``).
    ``queue``: frames that wait are scored one after the other (``in-order``), or only the newest one (``latest``).
    ``bit_depth_rule``: 10, 12 and 16 bits become 8 by the upper eight bits (``high-bits``), or by the lower eight,
    larger values becoming 255 (``low-bits``).
    ``stale_after_s``: a camera that gives no frame for so long, in ``free`` mode or after a trigger, is lost, and a
    frame of this age is stale.
    ``hang_after_s``: a capture process whose loop has not come round for so long is ended and started again.
    ``slots``, ``max_frame_mib``: the ring of frames; memory is taken only for the part that frames really use.
    """

    source: Annotated[str, msgspec.Meta(min_length=1)]
    trigger: Literal["free", "software", "hardware"] = "free"
    trigger_line: Annotated[str, msgspec.Meta(min_length=1)] = "Line1"
    pixel_format: PixelFormat | None = None
    exposure_us: _Positive | None = None
    gain: float | None = None
    width: _Pixels | None = None
    height: _Pixels | None = None
    fps: _Positive | None = None
    features: dict[str, str | int | float | bool] = {}
    pace: Literal["real", "fast"] = "real"
    loop: bool = False
    queue: Literal["in-order", "latest"] = "in-order"
    bit_depth_rule: Literal["high-bits", "low-bits"] = "high-bits"
    allow_repeats: bool = False
    stale_after_s: _Positive = 2.0
    hang_after_s: Annotated[float, msgspec.Meta(ge=2)] = 10.0
    open_timeout_s: Annotated[float, msgspec.Meta(ge=1)] = 30.0
    slots: Annotated[int, msgspec.Meta(ge=2, le=64)] = 4
    max_frame_mib: Annotated[int, msgspec.Meta(ge=1, le=1024)] = 64

    def __post_init__(self) -> None:
        if self.is_files and self.trigger == "hardware":
            raise ValueError(f"source {self.source!r}: files have no trigger line: set trigger to 'software' or 'free'")
        if self.loop and not self.is_files:
            raise ValueError(f"loop: is for files and folders, and source is {self.source!r}: leave it out")
        if self.trigger == "free" and self.fps is not None and self.fps * self.stale_after_s < 1 and not self.is_files:
            raise ValueError(
                f"stale_after_s: {self.stale_after_s:g} s is shorter than the time between two frames at fps "
                f"{self.fps:g}: set it to {2 / self.fps:g} or more"
            )
        if (self.width is None) != (self.height is None):
            raise ValueError("width and height: give both, or neither")

    @property
    def is_files(self) -> bool:
        """Whether frames come from a folder or a video file: they are read when they are wanted, and end."""
        return source_kind(self.source) in ("folder", "video")


def source_kind(source: str) -> SourceKind:
    """Which kind of camera a source names; whether it is there is found out when it is opened."""
    if source == "link":
        return "link"
    if _DEVICE.fullmatch(source):
        return "device"
    for prefix in _PREFIXES:
        if source.startswith(f"{prefix}:"):
            return prefix
    if _URL.match(source):
        return "url"
    return "video" if _is_video(Path(source)) else "folder"


def _is_video(path: Path) -> bool:
    from edge_ad.sources.listing import is_video

    return path.is_file() and is_video(path)


_READ_BACK = ("trigger", "pixel_format", "width", "height", "exposure_us", "gain", "fps")
_STEPPED = ("exposure_us", "gain", "fps")
# Cameras round these to a step of their own.
_TOLERANCE = 0.05


def unmet_settings(asked: CameraSettings, found: Mapping[str, str | int | float | bool]) -> str | None:
    """What a camera was asked for and, by what was read back from it, does not do; ``None``: it does everything.

    Exposure, gain and frame rate may be off by 5 %, as cameras round them.
    """
    for name, wanted in asked.features.items():
        if found.get(name) != wanted:
            return f"features: expected {name} = {wanted}, but the camera says {found.get(name, 'nothing of it')}"
    for name in _READ_BACK:
        wanted = getattr(asked, name)
        if wanted is None or (name == "trigger" and wanted != "hardware"):
            continue
        if name not in found:
            return f"{name}: expected {wanted}, but a camera of this kind cannot be set to it: leave {name} out"
        if not _is_met(name, wanted, found[name]):
            return f"{name}: expected {wanted}, but the camera says {found[name]}: ask for what it can do"
    return None


def _is_met(name: str, wanted: str | float, found: str | float) -> bool:
    if name in _STEPPED and not isinstance(wanted, str) and not isinstance(found, str):
        return abs(found - wanted) <= _TOLERANCE * max(abs(wanted), 1)
    return wanted == found
