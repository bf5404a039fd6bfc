"""How much of an MP4 or QuickTime recording its edit list shows (ISO/IEC 14496-12, 8.6.6)."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

__all__ = ["shown_share"]

_LARGEST_INDEX_BYTES = 1 << 28


def shown_share(path: Path) -> float:
    """The part of the video track that is shown, 0 to 1; 1 for all files without an edit list that can be read.

    The container counts all frames of the file, and the decoder gives those that are shown.
    """
    try:
        with path.open("rb") as file:
            index = _find_index(file)
        return min(1.0, _share(index))
    except (OSError, struct.error, StopIteration, ZeroDivisionError):
        return 1.0


def _find_index(file: BinaryIO) -> bytes:
    """The body of the box ``moov``; empty where there is none."""
    end = os.fstat(file.fileno()).st_size
    start = 0
    while start + 8 <= end:
        file.seek(start)
        size, kind = struct.unpack(">I4s", file.read(8))
        header = 8
        if size == 1:
            (size,) = struct.unpack(">Q", file.read(8))
            header = 16
        size = size or end - start
        if size < header:
            break
        if kind == b"moov":
            return file.read(size - header) if size <= _LARGEST_INDEX_BYTES else b""
        start += size
    return b""


def _share(index: bytes) -> float:
    movie = _box(index, b"mvhd")
    if not movie:
        return 1.0
    movie_scale, _ = _scale_and_duration(movie)
    for track in _boxes(index, b"trak"):
        media = _box(track, b"mdia")
        if _box(media, b"hdlr")[8:12] == b"vide":
            scale, duration = _scale_and_duration(_box(media, b"mdhd"))
            edits = _box(_box(track, b"edts"), b"elst")
            return _shown_s(edits, movie_scale, scale, duration) / (duration / scale) if edits else 1.0
    return 1.0


def _shown_s(edits: bytes, movie_scale: int, scale: int, duration: int) -> float:
    """Seconds that the edits show. Their start says little: it also makes up for frames stored out of order."""
    version, count = edits[0], struct.unpack_from(">I", edits, 4)[0]
    layout = struct.Struct(">QqI" if version == 1 else ">IiI")
    shown = 0.0
    for number in range(count):
        length, start, _ = layout.unpack_from(edits, 8 + number * layout.size)
        if start >= 0:
            # A length of 0, as in fragmented files: to the end.
            shown += length / movie_scale if length else max(0, duration - start) / scale
    return shown


def _scale_and_duration(header: bytes) -> tuple[int, int]:
    """Of ``mvhd`` and ``mdhd``: units a second, and how many of them."""
    scale, duration = struct.unpack_from(">16xIQ" if header[:1] == b"\1" else ">8xII", header, 4)
    return scale, duration


def _box(data: bytes, kind: bytes) -> bytes:
    return next(_boxes(data, kind), b"")


def _boxes(data: bytes, kind: bytes) -> Iterator[bytes]:
    """The bodies of the boxes of a kind, one level deep."""
    start = 0
    while start + 8 <= len(data):
        size, found = struct.unpack_from(">I4s", data, start)
        if size < 8:
            return
        if found == kind:
            yield data[start + 8 : start + size]
        start += size
