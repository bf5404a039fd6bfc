"""What a file holds, by its first bytes, whatever its name says."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["holds_picture", "holds_video"]

_HEAD_BYTES = 16 + 4 * 192
_PICTURES = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|BM.{4}\0{4}|II[*+]\0|MM\0[*+]|RIFF.{4}WEBP|P[1-6]\s|\0\0\0\x0cjP  "
    rb"|.{4}ftyp(heic|heix|hevc|mif1|msf1|avif|avis)",
    re.DOTALL,
)
_VIDEOS = re.compile(
    rb"RIFF.{4}AVI |\x1a\x45\xdf\xa3|\x30\x26\xb2\x75\x8e\x66\xcf\x11|FLV\x01|OggS|\0\0\x01[\xb3\xba]"
    rb"|.{4}(ftyp|moov|mdat|wide|free)|\x06\x0e\x2b\x34\x02\x05\x01\x01|YUV4MPEG2 |DKIF",
    re.DOTALL,
)
# Packets of a transport stream begin with this byte; those of cameras and discs have four bytes of time before it.
_SYNC = 0x47
_PACKETS = ((0, 188), (4, 192))


def holds_picture(path: Path) -> bool:
    """Whether the file begins like a picture: JPEG, PNG, BMP, TIFF, WebP, JPEG 2000, HEIC, AVIF or Netpbm."""
    return _is_picture(_head(path))


def holds_video(path: Path) -> bool:
    """Whether the file begins like a recording: AVI, MP4, Matroska, MPEG, transport stream, ASF, FLV, Ogg or MXF."""
    head = _head(path)
    if _is_picture(head):
        return False
    return _VIDEOS.match(head) is not None or any(_is_transport(head, start, size) for start, size in _PACKETS)


def _is_picture(head: bytes) -> bool:
    return _PICTURES.match(head) is not None


def _is_transport(head: bytes, start: int, size: int) -> bool:
    signs = head[start : start + 4 * size : size]
    return len(signs) >= 3 and set(signs) == {_SYNC}


def _head(path: Path) -> bytes:
    """The first bytes; none of what is no file or may not be read, which is said where it is opened."""
    try:
        if not path.is_file():
            return b""
        with path.open("rb") as file:
            return file.read(_HEAD_BYTES)
    except OSError:
        return b""
