"""How many pixels a picture declares, read from its first bytes: a file of a kilobyte can declare gigabytes."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable

from edge_ad.sources.stored import tiff_numbers

__all__ = ["MOST_PIXELS", "declared_size"]

MOST_PIXELS = 1 << 28
"""The largest picture that is decoded: 268 megapixels, such as 16384 x 16384. FFmpeg has the same limit for frames."""

_WIDTH, _HEIGHT = 256, 257
_JPEG_SEGMENT = re.compile(rb"\xff+([^\x00\xff])", re.DOTALL)
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_GAP = rb"(?:\s|#[^\n\r]*[\n\r])+"
_NETPBM = re.compile(rb"P[1-6]" + _GAP + rb"(\d{1,10})" + _GAP + rb"(\d{1,10})")
_PAM = re.compile(rb"P7\n(?:.*\n)*?WIDTH +(\d{1,10})\n(?:.*\n)*?HEIGHT +(\d{1,10})\n")
_BOX = re.compile(rb"(?:ispe....|ihdr)(........)", re.DOTALL)
_HEAD_BYTES = 1 << 16


def declared_size(data: bytes) -> tuple[int, int] | None:
    """Width and height as a picture's header has them; ``None`` where it is of no known format or cut off."""
    try:
        return _size(data)
    except (struct.error, IndexError):
        return None


def _size(data: bytes) -> tuple[int, int] | None:
    reader = next((reader for signature, reader in _READERS if re.match(signature, data, re.DOTALL)), None)
    return None if reader is None else reader(data)


def _pair(layout: str, data: bytes, start: int) -> tuple[int, int]:
    first, second = struct.unpack_from(layout, data, start)
    return abs(first), abs(second)


def _png(data: bytes) -> tuple[int, int]:
    return _pair(">II", data, 16)


def _gif(data: bytes) -> tuple[int, int]:
    return _pair("<HH", data, 6)


def _tiff(data: bytes) -> tuple[int, int] | None:
    numbers = tiff_numbers(data)
    return (numbers[_WIDTH], numbers[_HEIGHT]) if {_WIDTH, _HEIGHT} <= numbers.keys() else None


def _netpbm(data: bytes) -> tuple[int, int] | None:
    found = _NETPBM.match(data) or _PAM.match(data[:_HEAD_BYTES])
    return (int(found.group(1)), int(found.group(2))) if found else None


def _boxes(data: bytes) -> tuple[int, int] | None:
    """JPEG 2000 and AVIF: the largest picture in the file; their order of width and height does not matter here."""
    sizes = [_pair(">II", found.group(1), 0) for found in _BOX.finditer(data[:_HEAD_BYTES])]
    return max(sizes, key=lambda size: size[0] * size[1], default=None)


def _jpeg(data: bytes) -> tuple[int, int] | None:
    position = 2
    while found := _JPEG_SEGMENT.match(data, position):
        if found.group(1)[0] in _JPEG_FRAMES:
            height, width = _pair(">HH", data, found.end() + 3)
            return width, height
        position = found.end() + int(struct.unpack_from(">H", data, found.end())[0])
    return None


def _bmp(data: bytes) -> tuple[int, int]:
    (header,) = struct.unpack_from("<I", data, 14)
    return _pair("<HH", data, 18) if header == 12 else _pair("<ii", data, 18)


def _webp(data: bytes) -> tuple[int, int] | None:
    kind = data[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    return None if kind != b"VP8 " else (_word(data, 26) & 0x3FFF, _word(data, 28) & 0x3FFF)


def _word(data: bytes, start: int) -> int:
    return int(struct.unpack_from("<H", data, start)[0])


_READERS: tuple[tuple[bytes, Callable[[bytes], tuple[int, int] | None]], ...] = (
    (rb"\x89PNG\r\n\x1a\n", _png),
    (rb"\xff\xd8", _jpeg),
    (rb"BM", _bmp),
    (rb"RIFF....WEBP", _webp),
    (rb"GIF8[79]a", _gif),
    (rb"II|MM", _tiff),
    (rb"P[1-7]", _netpbm),
    (rb"....(ftyp|jP  )", _boxes),
)
