"""What the decoding process says to its parent: a greeting, then frames, all little-endian over one pipe."""

from __future__ import annotations

import struct
from enum import IntEnum

__all__ = ["FRAME", "GREETING", "SPEC", "Ended"]

SPEC = struct.Struct("<cI")
"""To the child: ``i`` (camera index) or ``n`` (name of a file or URL), and the bytes of text that follow."""

GREETING = struct.Struct("<qd")
"""From the child, once opened: frames and frames per second as the container states them, 0 for unknown."""

FRAME = struct.Struct("<IIId")
"""Before each picture's uint8 pixels: height, width, channels, seconds since the epoch."""


class Ended(IntEnum):
    """The child's exit status. A negative one is the signal that killed it."""

    CLEANLY = 0
    CANNOT_OPEN = 3
    WRONG_PIXELS = 4
