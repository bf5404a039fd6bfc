"""From an image file to pixels that can be scored, or to the reason why not."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from edge_ad.errors import FrameError, one_line
from edge_ad.sources.declared_size import MOST_PIXELS, declared_size
from edge_ad.sources.stored import (
    damaged_strip,
    has_key_colour,
    has_more_pictures,
    has_unnamed_channel,
    scaled_netpbm,
    without_turn,
)
from edge_ad.sources.watched_decoder import decode_watched
from edge_ad.verdict import Reason

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["decode_image", "decode_stored", "is_jpeg", "is_whole_jpeg", "read_file", "read_image"]


_OPAQUE = 255


def read_image(path: Path) -> NDArray[np.uint8]:
    """The pixels of an image file as they are stored: uint8, (H, W, 3) BGR or (H, W) gray.

    An orientation in the file (EXIF, TIFF) is not applied: the tools that models are trained with (Pillow,
    torchvision, anomalib) read pixels as stored, and a turned picture is something that the model has never seen.
    An alpha channel is dropped where it is opaque everywhere, which changes nothing; palettes become colours. A key
    colour (``tRNS``) and a fourth channel of which a TIFF file says nothing are no transparency and are dropped.
    PGM and PPM whose largest value is below 255 are scaled to 255.

    Raises:
        FrameError: ``unreadable`` (missing, no permission, empty, cut off, not an image), ``wrong_type`` (16
            bit or float, whose scale would have to be guessed; transparent pixels), ``wrong_shape`` (channels, several
            pages or an animation).
    """
    return decode_image(path, read_file(path))


def decode_image(path: Path, data: bytes) -> NDArray[np.uint8]:
    """As :func:`read_image`, of bytes that are in memory already; ``path`` is what messages call them."""
    pixels = decode_stored(path, data)
    if has_more_pictures(data):
        raise FrameError(
            Reason.WRONG_SHAPE,
            f"{path}: expected one picture, found several pages or an animation: save each as a file of its own",
        )
    if pixels.dtype != np.uint8:
        raise FrameError(
            Reason.WRONG_TYPE,
            f"{path}: expected 8 bits per channel, found {pixels.dtype}: convert it the way the training "
            "images were converted; a scale is never guessed",
        )
    values = pixels.astype(np.uint8, copy=False)
    if values.ndim == 3 and values.shape[2] == 4 and (has_unnamed_channel(data) or has_key_colour(data)):
        return np.ascontiguousarray(values[..., :3])
    return _without_alpha(path, values)


def read_file(path: Path) -> bytes:
    """The bytes of an image file. Raises ``FrameError`` (``unreadable``) where there are none."""
    try:
        data = path.read_bytes()
    except IsADirectoryError:
        raise FrameError(Reason.UNREADABLE, f"{path}: expected an image file, found a folder") from None
    except OSError as error:
        raise FrameError(Reason.UNREADABLE, f"{path}: cannot be read: {error.strerror}") from error
    if not data:
        raise FrameError(Reason.UNREADABLE, f"{path}: expected an image file, found an empty file")
    return data


def decode_stored(path: Path, data: bytes) -> NDArray[np.generic]:
    """The numbers of an image file as they are stored, of any type. Raises ``FrameError`` (``unreadable``)."""
    import cv2

    if is_jpeg(data) and not is_whole_jpeg(data):
        raise FrameError(Reason.UNREADABLE, f"{path}: the JPEG file is cut off after {len(data)} bytes: copy it again")
    size = declared_size(data)
    if size is not None and size[0] * size[1] > MOST_PIXELS:
        raise FrameError(
            Reason.UNREADABLE,
            f"{path}: expected at most {MOST_PIXELS} pixels, found {size[0]} x {size[1]}: it is damaged, or must be "
            "cut into smaller pictures",
        )
    stored = scaled_netpbm(without_turn(data))
    try:
        decoded = decode_watched(stored.data)
    except cv2.error as error:
        raise FrameError(Reason.UNREADABLE, f"{path}: cannot be decoded: {one_line(error.err)}") from error
    pixels = decoded.pixels
    if pixels is None:
        raise FrameError(
            Reason.UNREADABLE,
            f"{path}: {_unknown(data)}: expected PNG, JPEG, BMP, TIFF or WebP",
        )
    complaint = decoded.complaints[0] if decoded.complaints else damaged_strip(data)
    if complaint:
        raise FrameError(
            Reason.UNREADABLE, f"{path}: damaged ({complaint}): copy it again, or save it anew if it looks right"
        )
    return pixels if stored.levels is None else stored.levels[pixels]


_HEIC = re.compile(rb".{4}ftyp(heic|heix|hevc|heim|heis|mif1|msf1)", re.DOTALL)
_TWELVE_BITS = re.compile(rb"\xff[\xc0-\xc3]\0[\x0b-\x17]\x0c")


def _unknown(data: bytes) -> str:
    """What a picture is that OpenCV does not decode."""
    if _HEIC.match(data):
        return "a HEIC picture, whatever it is called; convert it"
    if is_jpeg(data) and _TWELVE_BITS.search(data):
        return "a JPEG picture of 12 bits; convert it to 8 bits"
    return "damaged, cut off or not an image"


def _without_alpha(path: Path, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    if channels == 1:
        return pixels.reshape(pixels.shape[:2])
    if channels == 3:
        return pixels
    if channels != 4:
        raise FrameError(Reason.WRONG_SHAPE, f"{path}: expected 1 or 3 channels, found {channels}: convert it")
    if pixels[..., 3].min() < _OPAQUE:
        raise FrameError(
            Reason.WRONG_TYPE,
            f"{path}: its alpha channel is not opaque everywhere: flatten it onto the background that the "
            "training images have",
        )
    return np.ascontiguousarray(pixels[..., :3])


_START = b"\xff\xd8"
_END = 0xD9
# In a scan's data, ff is followed by 00 (an escaped ff) or d0-d7 (restart); all else begins a segment.
# Of several ff in a row the last one counts. A literal first byte is what makes the search fast.
_MARKER = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])", re.DOTALL)


def is_jpeg(data: bytes) -> bool:
    """True where ``data`` begins like a JPEG file."""
    return data.startswith(_START)


def is_whole_jpeg(data: bytes) -> bool:
    """True where the segments of the JPEG file ``data`` lead to its end marker (ITU-T T.81, annex B).

    Looking at the last two bytes would not do: cameras append previews and padding after the end marker, and
    an embedded thumbnail carries an end marker of its own.
    """
    position = len(_START)
    while found := _MARKER.search(data, position):
        marker = found.group(1)[0]
        if marker == _END:
            return True
        length = int.from_bytes(data[found.end() : found.end() + 2], "big")
        position = found.end() + length
    return False
