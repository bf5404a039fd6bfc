"""Kept frames as people see them: shrunk, with the boxes of their verdict."""

from __future__ import annotations

from typing import Literal

import msgspec

from edge_ad.station.evidence import EvidenceRecord

__all__ = ["Size", "shown_frame"]

Size = Literal["small", "large"]

_SIDE_PX: dict[str, int] = {"small": 240, "large": 1_600}
_QUALITY = 82
_DARK, _LIGHT = (20, 20, 20), (245, 245, 245)


def shown_frame(frame: bytes, record: bytes, size: Size) -> bytes | None:
    """A JPEG of a kept frame, given as PNG with its record; ``None`` where one of them is damaged."""
    import cv2
    import numpy as np

    try:
        known = msgspec.json.decode(record, type=EvidenceRecord)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    reduced = cv2.IMREAD_REDUCED_COLOR_4 if size == "small" and len(frame) > 2_000_000 else cv2.IMREAD_COLOR
    picture = cv2.imdecode(np.frombuffer(frame, np.uint8), reduced)
    if picture is None:
        return None
    whole_width = int.from_bytes(frame[16:20], "big")  # of the PNG's header
    scale = min(1.0, _SIDE_PX[size] / max(picture.shape[:2]))
    if scale < 1:
        picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    ratio = picture.shape[1] / whole_width
    line = max(1, max(picture.shape[:2]) // 200)
    for region in known.verdict.regions:
        box = region.box
        first = (round(box.x * ratio) - line, round(box.y * ratio) - line)
        last = (round((box.x + box.width) * ratio) + line, round((box.y + box.height) * ratio) + line)
        cv2.rectangle(picture, first, last, _DARK, 3 * line)
        cv2.rectangle(picture, first, last, _LIGHT, line)
    return cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()
