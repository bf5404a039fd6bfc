"""Reads how anomalib 0.7, OTX and Geti describe their preprocessing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from edge_ad.errors import ModelError
from edge_ad_export.model.imported import Provenance
from edge_ad_export.model.input_spec import Color, Kernel, Size

__all__ = ["Preprocessing", "from_metadata", "from_model_info", "is_true", "unused_entries"]

# OpenCV's codes, which albumentations stores.
_KERNELS: Mapping[int, Kernel] = {0: "nearest", 1: "linear", 2: "cubic", 3: "area"}


@dataclass(frozen=True)
class Preprocessing:
    """``resize``: what the picture is stretched to, ``None`` where nothing says. ``(pixel / scale - mean) / std``."""

    resize: Size | None
    kernel: Kernel | None
    color: Color
    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    statistics: Provenance = field(default_factory=dict)


class _Step(msgspec.Struct):
    """One of albumentations' transforms, with the arguments of those that anomalib uses."""

    kind: str = msgspec.field(name="__class_fullname__")
    height: int = 0
    width: int = 0
    interpolation: int = 1
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    max_pixel_value: float = 255.0
    max_value: float = 255.0


class _Compose(msgspec.Struct):
    transforms: list[_Step]


class _Transform(msgspec.Struct):
    transform: _Compose


class _Metadata(msgspec.Struct):
    transform: _Transform
    image_threshold: float | None = None
    pixel_threshold: float | None = None
    min: float | None = None
    max: float | None = None


def from_metadata(data: bytes, model: Path) -> Preprocessing:
    """From ``metadata.json``.

    Raises:
        ModelError: it is not what anomalib writes, or has a transform that the runtime does not have.
    """
    try:
        metadata = msgspec.json.decode(data, type=_Metadata)
    except msgspec.DecodeError as error:
        raise ModelError(f"the metadata.json beside {model} is not anomalib 0.7's: {error}; copy it again") from None
    resize, kernel = None, None
    scale = 1.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    for step in metadata.transform.transform.transforms:
        kind = step.kind.rpartition(".")[2]
        if kind == "Resize":
            resize, kernel = Size(step.width, step.height), _KERNELS.get(step.interpolation)
        elif kind == "Normalize":
            scale, mean, std = step.max_pixel_value, step.mean, step.std
        elif kind == "ToFloat":
            scale = step.max_value
        elif kind not in ("CenterCrop", "ToTensorV2"):
            raise ModelError(
                f"the metadata.json beside {model} has the transform {kind}, which the runtime does not have: expected "
                "Resize, CenterCrop, Normalize, ToFloat and ToTensorV2; train without it"
            )
    statistics = {
        f"baked_{name}": getattr(metadata, name) for name in ("image_threshold", "pixel_threshold", "min", "max")
    }
    return Preprocessing(resize, kernel, "rgb", scale, mean, std, statistics)


def from_model_info(info: Mapping[str, str], model: Path) -> Preprocessing:
    """From an IR's ``rt_info/model_info``; its mean and scale are of pixels from 0 to 255.

    Raises:
        ModelError: a value cannot be read.
    """
    try:
        mean = _triple(info.get("mean_values", "")) or (0.0,)
        std = _triple(info.get("scale_values", "")) or (1.0,)
        resize = Size(int(info["orig_width"]), int(info["orig_height"])) if "orig_width" in info else None
    except (KeyError, ValueError) as error:
        raise ModelError(f"the rt_info of {model} is not anomalib 0.7's: {error!r}; export the model again") from None
    reverse = is_true(info.get("reverse_input_channels", "YES"))
    kept = ("image_threshold", "pixel_threshold", "normalization_scale")
    statistics = {f"baked_{name}": _number(info[name]) for name in kept if name in info}
    # The exporter resized with albumentations, whose kernel is OpenCV's linear one.
    return Preprocessing(resize, "linear", "rgb" if reverse else "bgr", 1.0, mean, std, statistics)


def is_true(text: str) -> bool:
    """A switch of ``model_info``."""
    return text.strip().upper() in ("YES", "TRUE", "1")


def unused_entries(info: Mapping[str, str]) -> tuple[str, ...]:
    """A line for each entry of ``model_info`` that would change pixels and is not used here."""
    unused = [
        f"{name} {text}" for name, text in info.items() if name in _PLAIN and text.strip().lower() not in _PLAIN[name]
    ]
    return tuple(f"the file's model_info says {entry}, which is not used" for entry in unused)


# Entries that the bundle does not follow, and the values with which they say nothing.
_PLAIN: Mapping[str, tuple[str, ...]] = {
    "resize_type": ("", "standard"),
    "pad_value": ("", "0", "none"),
    "intensity_mode": ("", "none", "scale_to_unit"),
}


def _triple(text: str) -> tuple[float, ...]:
    """Numbers between blanks, commas or brackets."""
    return tuple(map(float, re.sub(r"[\[\](),;]", " ", text).split()))


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
