"""Is a JPEG file whole? Older OpenCV fills what is missing with gray and says nothing."""

from __future__ import annotations

import re

__all__ = ["is_jpeg", "is_whole_jpeg"]

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
