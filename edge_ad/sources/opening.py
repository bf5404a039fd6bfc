"""Opens a source by its name: image files, a video, vectors, a camera or a URL."""

from __future__ import annotations

import importlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from edge_ad.sources.listing import is_vectors, is_video

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge_ad.sources.frame import FrameSource

__all__ = ["open_source"]

Kind = Literal["stills", "video", "vectors", "camera", "url"]

_KINDS: dict[Kind, str] = {
    "stills": "edge_ad.sources.stills:open_stills",
    "video": "edge_ad.sources.video:open_video",
    "vectors": "edge_ad.sources.vectors:open_vectors",
    "camera": "edge_ad.sources.live:open_camera",
    "url": "edge_ad.sources.live:open_url",
}
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def open_source(spec: str | Path) -> FrameSource:
    """The frames of an image file, a folder of images, a glob, a video file, a camera or a URL; the vectors of an
    ``.npy`` file.

    Text of digits alone is a camera's index and text with ``://`` is a URL; a file or folder of such a name
    is reached as ``./0`` or as a ``Path``. A file is a video, or holds vectors, by its suffix; one of an unknown
    suffix is a video by its first bytes, and any other is taken for an image.

    Raises:
        InputError: nothing of that name, no image in it, or no vectors.
        SourceError: the video, camera or URL cannot be opened.
    """
    module, _, name = _KINDS[_kind(spec)].partition(":")
    opener = cast("Callable[[str | Path], FrameSource]", getattr(importlib.import_module(module), name))
    return opener(spec)


def _kind(spec: str | Path) -> Kind:
    if isinstance(spec, str):
        if spec.isascii() and spec.isdigit():
            return "camera"
        if _URL.match(spec):
            return "url"
    path = Path(spec)
    if os.path.isdir(path):  # noqa: PTH112  never raises
        return "stills"
    if is_vectors(path):
        return "vectors"
    return "video" if is_video(path) else "stills"
