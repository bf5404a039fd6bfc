"""What a frame, or an object in it, is called: ``clip.avi#12`` and ``clip.avi#12#xywh=160,120,320,240``."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path

from edge_ad.sources.listing import is_stream
from edge_ad.verdict import Box

__all__ = ["FrameName"]

# A fragment as the W3C's Media Fragments have it.
_OBJECT = re.compile(r"(?P<frame>.*)#xywh=(?P<box>\d+,\d+,\d+,\d+)", re.DOTALL)
_FRAME = re.compile(r"(?P<file>.*)#(?P<index>\d{1,12})", re.DOTALL)
_LIVE = re.compile(r"camera \d+|[A-Za-z][A-Za-z0-9+.-]*://.*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class FrameName:
    """The parts of a name.

    ``file``: the image, video, folder of frames or file of vectors, or the label of a camera or URL. ``index``: which
    frame of a stream or folder, from 0; ``None`` for an image. ``box``: an object of the frame, in camera pixels;
    ``None`` for the whole frame.
    """

    file: str
    index: int | None = None
    box: Box | None = None

    @classmethod
    def parse(cls, name: str) -> FrameName:
        """Takes a name apart. A number after ``#`` is a frame's index only behind the name of a stream or of a folder
        of frames: an image may itself be called ``odd.png#12``."""
        box = None
        if match := _OBJECT.fullmatch(name):
            name, box = match["frame"], Box(*map(int, match["box"].split(",")))
        match = _FRAME.fullmatch(name)
        if match and _holds_frames(match["file"], name):
            return cls(match["file"], int(match["index"]), box)
        return cls(name, None, box)

    @property
    def frame(self) -> FrameName:
        """The whole frame that an object lies in."""
        return replace(self, box=None)

    @property
    def fragment(self) -> str:
        """What the name says after the file: ``#12``, ``#12#xywh=160,120,320,240``, or nothing."""
        index = "" if self.index is None else f"#{self.index}"
        box = self.box
        return index if box is None else f"{index}#xywh={box.x},{box.y},{box.width},{box.height}"

    def __str__(self) -> str:
        return self.file + self.fragment


def _holds_frames(file: str, name: str) -> bool:
    """Whether ``file`` is a stream or a folder, whose frames are numbered; not where a file is called ``name``."""
    if _LIVE.fullmatch(file) or is_stream(Path(file)):
        return True
    return os.path.isdir(file) and not os.path.exists(name)  # noqa: PTH112, PTH110  these never raise
