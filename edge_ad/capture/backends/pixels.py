"""From a camera's pixel format to the pixels that are scored: uint8, gray or BGR, written to where they are to lie.

Formats have their names in the GenICam Pixel Format Naming Convention 2.1. More than 8 bits become 8 by a stated rule:
``high-bits`` takes the upper eight (the value shifted right by ``bits - 8``), ``low-bits`` takes the value as it is,
and 255 for larger ones. Nothing is stretched or rounded, so that equal light gives equal pixels in every frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np

from edge_ad.capture.backends.protocol import CameraRefusedError, FetchedPicture

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["FORMATS", "RawImage", "convert", "format_name"]

BitDepthRule = Literal["high-bits", "low-bits"]


@dataclass(frozen=True, slots=True)
class _Format:
    """``samples``: numbers a pixel, of ``bits`` bits in 1 or 2 bytes, little-endian.

    ``code``: OpenCV's conversion to BGR of the 8-bit pixels; ``None``: they stay as they are.
    """

    samples: int
    bits: int
    code: int | None = None

    @property
    def bytes(self) -> int:
        return self.samples * (1 if self.bits == 8 else 2)

    @property
    def channels(self) -> int:
        return 1 if self.samples == 1 and self.code is None else 3


# OpenCV's new names for Bayer patterns are those of the first two rows, as GenICam's are those of the first two pixels.
_BAYER = {
    "RG": cv2.COLOR_BayerRGGB2BGR,
    "BG": cv2.COLOR_BayerBGGR2BGR,
    "GR": cv2.COLOR_BayerGRBG2BGR,
    "GB": cv2.COLOR_BayerGBRG2BGR,
}
_DEPTHS = (8, 10, 12, 16)
FORMATS: dict[str, _Format] = {
    **{f"Mono{bits}": _Format(1, bits) for bits in _DEPTHS},
    **{f"Bayer{pattern}{bits}": _Format(1, bits, code) for pattern, code in _BAYER.items() for bits in _DEPTHS},
    "RGB8": _Format(3, 8, cv2.COLOR_RGB2BGR),
    "BGR8": _Format(3, 8),
    "RGBa8": _Format(4, 8, cv2.COLOR_RGBA2BGR),
    "BGRa8": _Format(4, 8, cv2.COLOR_BGRA2BGR),
}
"""What can be converted. Packed formats of 10 and 12 bits are not among it: cameras that have them have these, too."""

_CODES: dict[int, str] = {
    **dict(zip((0x01080001, 0x01100003, 0x01100005, 0x01100007), ("Mono8", "Mono10", "Mono12", "Mono16"), strict=True)),
    **{
        base + place: f"Bayer{pattern}{bits}"
        for base, bits in ((0x01080008, 8), (0x0110000C, 10), (0x01100010, 12), (0x0110002E, 16))
        for place, pattern in enumerate(("GR", "RG", "GB", "BG"))
    },
    0x02180014: "RGB8",
    0x02180015: "BGR8",
    0x02200016: "RGBa8",
    0x02200017: "BGRa8",
}


def format_name(code: int) -> str:
    """The name of a pixel format by its number in the convention; the number where it has no name here."""
    return _CODES.get(code, f"pixel format {code:#x}")


@dataclass(frozen=True, slots=True)
class RawImage:
    """An image as the camera gave it. ``padding``: bytes at the end of each row that are no pixels."""

    data: NDArray[np.uint8]
    pixel_format: str
    height: int
    width: int
    padding: int = 0


def convert(raw: RawImage, rule: BitDepthRule, slot: NDArray[np.uint8]) -> FetchedPicture:
    """Write the image to the slot, uint8 (n,), in one pass over its pixels; an image with missing bytes is damaged.

    Raises:
        CameraRefusedError: the format is none of ``FORMATS``, or the slot is too small.
    """
    layout = FORMATS.get(raw.pixel_format)
    if layout is None:
        raise CameraRefusedError(
            f"pixel_format: the camera sends {raw.pixel_format}, which is not understood: set one of "
            f"{', '.join(FORMATS)}"
        )
    size = raw.height * raw.width * layout.channels
    if size > len(slot):
        needed = -(-size // (1 << 20))
        raise CameraRefusedError(f"a frame has {size} bytes and a slot {len(slot)}: set max_frame_mib to {needed}")
    stride = raw.width * layout.bytes + raw.padding
    expected = stride * raw.height - raw.padding
    if len(raw.data) < expected:
        return FetchedPicture(
            0, 0, 0, f"expected {expected} bytes, found {len(raw.data)}: the frame did not arrive whole"
        )
    shape = (raw.height, raw.width) if layout.channels == 1 else (raw.height, raw.width, 3)
    _write(_samples(raw, layout, stride), layout, rule, slot[:size].reshape(shape))
    return FetchedPicture(raw.height, raw.width, layout.channels)


def _samples(raw: RawImage, layout: _Format, stride: int) -> NDArray[np.generic]:
    """The camera's numbers, (H, W) or (H, W, samples), not copied."""
    kind = np.dtype(np.uint8 if layout.bits == 8 else "<u2")
    shape, strides = (raw.height, raw.width, layout.samples), (stride, layout.bytes, kind.itemsize)
    numbers: NDArray[np.generic] = np.ndarray(shape, kind, raw.data.data, strides=strides)
    return numbers if layout.samples > 1 else numbers[..., 0]


def _write(samples: NDArray[np.generic], layout: _Format, rule: BitDepthRule, target: NDArray[np.uint8]) -> None:
    if layout.bits > 8:
        eight = target if layout.code is None else np.empty(samples.shape, np.uint8)
        _to_eight_bits(samples, layout.bits, rule, eight)
        samples = eight
    if layout.code is not None:
        cv2.cvtColor(np.ascontiguousarray(samples), layout.code, target)
    elif samples is not target:
        np.copyto(target, samples, casting="same_kind")


def _to_eight_bits(samples: NDArray[np.generic], bits: int, rule: BitDepthRule, target: NDArray[np.uint8]) -> None:
    values = np.right_shift(samples, bits - 8) if rule == "high-bits" else samples
    np.copyto(target, np.minimum(values, 255), casting="unsafe")
