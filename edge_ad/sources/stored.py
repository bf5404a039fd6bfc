"""What an image file says of its own pixels, read from its bytes: decoders differ in what they make of it."""

from __future__ import annotations

import itertools
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "StoredPixels",
    "damaged_strip",
    "has_key_colour",
    "has_more_pictures",
    "has_unnamed_channel",
    "scaled_netpbm",
    "tiff_numbers",
    "without_turn",
]

_ORIENTATION, _SAMPLES, _EXTRA_SAMPLES = 274, 277, 338
_SHORT, _LONG, _LONG8 = 3, 4, 16


@dataclass(frozen=True, slots=True)
class StoredPixels:
    """Bytes to decode, and a table from value to value for the pixels that come out, uint8 (256,)."""

    data: bytes
    levels: NDArray[np.uint8] | None = None


# The kind, then width, height and the largest value; comments reach from # to the end of a line.
_GAP = rb"(?:\s|#[^\n\r]*[\n\r])+"
_NETPBM = re.compile(rb"P([2356])" + _GAP + rb"\d+" + _GAP + rb"\d+" + _GAP + rb"(\d+)")
_FULL = 255


def scaled_netpbm(data: bytes) -> StoredPixels:
    """A PGM or PPM file whose largest value is below 255, with the table that scales it to 255; others as they are.

    OpenCV scales text files in some versions and binary ones in none. With 255 written in its place it scales nothing.
    """
    head = _NETPBM.match(data)
    largest = int(head.group(2)) if head else 0
    if head is None or not 0 < largest < _FULL:
        return StoredPixels(data)
    levels = np.minimum(np.arange(_FULL + 1) * _FULL / largest + 0.5, _FULL).astype(np.uint8)
    return StoredPixels(data[: head.start(2)] + b"255" + data[head.end(2) :], levels)


def without_turn(data: bytes) -> bytes:
    """A TIFF file without its orientation, which OpenCV would apply; other files as they are."""
    for entry in _tiff_entries(data):
        if entry.tag == _ORIENTATION and entry.kind == _SHORT:
            upright = struct.pack(entry.order + "H", 1)
            return data[: entry.value_at] + upright + data[entry.value_at + 2 :]
    return data


def has_unnamed_channel(data: bytes) -> bool:
    """Whether the fourth channel of a TIFF file is no alpha channel: ``ExtraSamples`` 0, or not stated."""
    entries = {entry.tag: entry for entry in _tiff_entries(data)}
    if _SAMPLES not in entries or entries[_SAMPLES].short(data) != 4:
        return False
    extra = entries.get(_EXTRA_SAMPLES)
    return extra is None or extra.short(data) == 0


def tiff_numbers(data: bytes) -> dict[int, int]:
    """The values of a TIFF file's first directory that are whole numbers of 16 or 32 bits, by tag; of several the
    first. Empty for other files."""
    return {
        entry.tag: entry.short(data) if entry.kind == _SHORT else entry.long(data)
        for entry in _tiff_entries(data)
        if entry.kind in (_SHORT, _LONG)
    }


_COMPRESSION, _DEFLATE = 259, (8, 32946)
_PLACES = ((273, 279), (324, 325))


def damaged_strip(data: bytes) -> str:
    """What is wrong with the deflated strips or tiles of a TIFF file; empty: nothing, or it has none.

    Each ends with a checksum, which the TIFF decoder does not look at.
    """
    entries = {entry.tag: entry for entry in _tiff_entries(data)}
    if _COMPRESSION not in entries or entries[_COMPRESSION].short(data) not in _DEFLATE:
        return ""
    for places, sizes in _PLACES:
        if places in entries and sizes in entries:
            found = zip(entries[places].numbers(data), entries[sizes].numbers(data), strict=False)
            try:
                for place, size in found:
                    zlib.decompress(memoryview(data)[place : place + size])
            except zlib.error as error:
                return f"deflated data: {error}"
    return ""


_PNG = b"\x89PNG\r\n\x1a\n"
_COLOUR_TYPE_AT = 25


def has_key_colour(data: bytes) -> bool:
    """Whether a PNG file has no alpha channel but ``tRNS``: colours that are shown as transparent."""
    if not data.startswith(_PNG) or data[_COLOUR_TYPE_AT : _COLOUR_TYPE_AT + 1] in (b"\4", b"\6"):
        return False
    kinds = itertools.takewhile(lambda kind: kind != b"IDAT", (kind for kind, _ in _png_chunks(data)))
    return b"tRNS" in kinds


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, int]]:
    """Each chunk's kind, and where its data begin."""
    position = len(_PNG)
    while position + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, position)
        yield kind, position + 8
        position += 12 + size


_SUBFILE, _COPY = 254, 1 | 4  # a picture of lower resolution, and a mask


def has_more_pictures(data: bytes) -> bool:
    """Whether a TIFF file has further pages, or a PNG, WebP or GIF file is animated.

    Smaller copies and masks of a TIFF file's picture are no pages, nor is what is appended to a JPEG file.
    """
    if data.startswith(_PNG):
        return any(kind == b"acTL" and data[start : start + 4] > b"\0\0\0\1" for kind, start in _png_chunks(data))
    if data[:4] == b"RIFF" and data[8:16] == b"WEBPVP8X":
        return bool(data[20:21] > b"" and data[20] & 2) and data.count(b"ANMF") > 1
    if data.startswith(b"GIF8"):
        return len(list(itertools.islice(_gif_pictures(data), 2))) > 1
    pages = (page for page in _tiff_directories(data) if not _is_copy(page, data))
    return len(list(itertools.islice(pages, 2))) > 1


def _gif_pictures(data: bytes) -> Iterator[int]:
    """Where the pictures of a GIF file begin, as far as its blocks lead."""
    position = 13 + _palette_bytes(data[10:11])
    while (block := data[position : position + 1]) in (b"\x2c", b"\x21"):
        if block == b"\x2c":
            yield position
            position += 11 + _palette_bytes(data[position + 9 : position + 10])
        else:
            position += 2
        while size := data[position : position + 1].ljust(1, b"\0")[0]:
            position += 1 + size
        position += 1


def _palette_bytes(flags: bytes) -> int:
    return 3 << (flags[0] % 8 + 1) if flags and flags[0] & 0x80 else 0


def _is_copy(page: list[_Entry], data: bytes) -> bool:
    return any(entry.tag == _SUBFILE and entry.kind == _LONG and entry.long(data) & _COPY for entry in page)


@dataclass(frozen=True, slots=True)
class _Entry:
    """An entry of a TIFF file's first directory. ``value_at``: where its value lies, or the place of its values."""

    tag: int
    kind: int
    count: int
    value_at: int
    order: str
    is_big: bool

    def short(self, data: bytes) -> int:
        return int(struct.unpack_from(self.order + "H", data, self.value_at)[0])

    def long(self, data: bytes) -> int:
        return int(struct.unpack_from(self.order + "I", data, self.value_at)[0])

    def numbers(self, data: bytes) -> tuple[int, ...]:
        """All whole numbers of the entry; none where it holds something else or lies outside of the file."""
        letter = {_SHORT: "H", _LONG: "I", _LONG8: "Q"}.get(self.kind)
        if letter is None or self.count > len(data):
            return ()
        layout = struct.Struct(f"{self.order}{self.count}{letter}")
        pointer = "Q" if self.is_big else "I"
        is_inside = layout.size <= struct.calcsize(pointer)
        place = self.value_at if is_inside else struct.unpack_from(self.order + pointer, data, self.value_at)[0]
        return layout.unpack_from(data, place) if place + layout.size <= len(data) else ()


def _tiff_entries(data: bytes) -> list[_Entry]:
    """The entries of the first directory of a TIFF or BigTIFF file; none of what is no such file, or cut off."""
    return next(_tiff_directories(data), [])


def _tiff_directories(data: bytes) -> Iterator[list[_Entry]]:
    """The entries of each directory, which is a page, as far as the file goes."""
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None:
        return
    is_big = data[2:4] == struct.pack(order + "H", 43)
    if not is_big and data[2:4] != struct.pack(order + "H", 42):
        return
    pointer, count_of = struct.Struct(order + ("Q" if is_big else "I")), struct.Struct(order + ("Q" if is_big else "H"))
    size = 20 if is_big else 12
    link, seen = pointer.size, set[int]()
    while link + pointer.size <= len(data):
        (start,) = pointer.unpack_from(data, link)
        if start == 0 or start in seen or start + count_of.size > len(data):
            return
        seen.add(start)
        (count,) = count_of.unpack_from(data, start)
        first = start + count_of.size
        whole = min(count, (len(data) - first) // size)
        yield [_entry(data, first + index * size, order, is_big=is_big) for index in range(whole)]
        link = first + count * size


def _entry(data: bytes, place: int, order: str, *, is_big: bool) -> _Entry:
    head = struct.Struct(order + ("HHQ" if is_big else "HHI"))
    tag, kind, number = head.unpack_from(data, place)
    return _Entry(tag, kind, number, place + head.size, order, is_big)
