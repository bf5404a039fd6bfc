"""Reads the previews that scorers write."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import msgspec

from edge_ad.station.preview_writer import PREVIEW_SUFFIX, PreviewHead

__all__ = ["Preview", "find_previews", "read_preview"]

_INSPECTION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Preview:
    """``data``: the whole file, a line of JSON with JPEG and PNG after it. ``tag``: another one for each preview."""

    head: PreviewHead
    data: bytes

    @property
    def tag(self) -> str:
        """For ``ETag``."""
        return f'"{self.head.verdict.frame_id}-{self.head.verdict.captured_at}"'


def find_previews(folder: Path) -> tuple[str, ...]:
    """The inspections that have a preview."""
    if not folder.is_dir():
        return ()
    names = (one.name.removesuffix(PREVIEW_SUFFIX) for one in folder.glob(f"*{PREVIEW_SUFFIX}"))
    return tuple(sorted(name for name in names if _INSPECTION.fullmatch(name)))


def read_preview(folder: Path, inspection: str) -> Preview | None:
    """The newest preview of an inspection; ``None`` where there is none that is whole."""
    if inspection not in find_previews(folder):  # what is there decides, not what a client says
        return None
    try:
        data = (folder / f"{inspection}{PREVIEW_SUFFIX}").read_bytes()
        line, _, rest = data.partition(b"\n")
        head = msgspec.json.decode(line, type=PreviewHead)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None
    return Preview(head, data) if len(rest) == head.picture + head.map else None
