"""``[output.NAME]``: where results go, and which keys belong to which kind."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from edge_ad.bundle.fields import Record
from edge_ad.errors import InputError
from edge_ad.station.video_writer import VideoChoice

__all__ = ["OutputSettings", "check_output"]

_VIDEO_QUEUE = 4
_VIDEO_FPS, _VIDEO_MINUTES, _VIDEO_FILE_MB, _VIDEO_LIMIT_MB = 10.0, 60.0, 200.0, 1_000.0
_OF_FILES, _OF_GPIO = ("path",), ("chip", "line", "active_low", "signal", "pulse_ms")
_OF_VIDEO = ("fps", "file_minutes", "file_mb", "limit_mb")


class OutputSettings(Record, frozen=True, kw_only=True):
    """``[output.NAME]``: where results go.

    ``kind``: ``jsonl`` and ``csv`` append a line for each part to the file ``path``; ``gpio`` drives the line ``line``
    (its offset or name) of ``chip``. ``signal``, ``pulse_ms``: what it is driven for, and for how long. ``video``
    writes annotated frames to the folder ``path``, played at ``fps``; a new file begins after ``file_minutes``, or at
    ``file_mb``, and all of them take ``limit_mb`` at most (in 10**6 bytes).
    """

    kind: Literal["jsonl", "csv", "gpio", "video"]
    path: str | None = None
    chip: str | None = None
    line: Annotated[int, msgspec.Meta(ge=0, le=1_023)] | str | None = None
    active_low: bool | None = None
    signal: Literal["reject", "accept"] | None = None
    pulse_ms: Annotated[int, msgspec.Meta(ge=1, le=60_000)] | None = None
    fps: Annotated[float, msgspec.Meta(gt=0, le=240)] | None = None
    file_minutes: Annotated[float, msgspec.Meta(gt=0, le=1_440)] | None = None
    file_mb: Annotated[float, msgspec.Meta(gt=0, le=2_000)] | None = None
    limit_mb: Annotated[float, msgspec.Meta(gt=0, le=100_000_000)] | None = None
    queue: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] | None = None

    def video(self, name: str, inspections: int) -> VideoChoice:
        """A ``video``, as each of so many inspections writes it."""
        return VideoChoice(
            name=name,
            folder=self.path or "",
            fps=self.fps or _VIDEO_FPS,
            file_s=60 * (self.file_minutes or _VIDEO_MINUTES),
            file_bytes=int(1e6 * (self.file_mb or _VIDEO_FILE_MB)),
            limit_bytes=int(1e6 * (self.limit_mb or _VIDEO_LIMIT_MB)) // inspections,
            queue=self.queue or _VIDEO_QUEUE,
        )


def check_output(where: str, output: OutputSettings) -> None:
    """Raises :class:`InputError` where a key is missing, or does not belong to this kind; it names the key."""
    of_kind = {"gpio": _OF_GPIO, "video": _OF_FILES + _OF_VIDEO}.get(output.kind, _OF_FILES)
    for key in ("chip", "line") if output.kind == "gpio" else _OF_FILES:
        if getattr(output, key) is None:
            raise InputError(f'{where}.{key} is missing: kind = "{output.kind}" needs it')
    for key in (*_OF_FILES, *_OF_GPIO, *_OF_VIDEO):
        if key not in of_kind and getattr(output, key) is not None:
            raise InputError(f'{where}.{key} does not belong to kind = "{output.kind}"')
    limit_mb, file_mb = output.limit_mb or _VIDEO_LIMIT_MB, output.file_mb or _VIDEO_FILE_MB
    if output.kind == "video" and limit_mb < file_mb:
        raise InputError(f"{where}: expected limit_mb >= file_mb, found {limit_mb:g} < {file_mb:g}")
