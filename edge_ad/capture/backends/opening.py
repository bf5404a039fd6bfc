"""From the settings to the backend of a camera: an explicit table, each module loaded when it is needed."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, cast

from edge_ad.cameras.settings import source_kind
from edge_ad.capture.backends.protocol import CameraRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge_ad.cameras.settings import CameraSettings, SourceKind
    from edge_ad.capture.backends.protocol import CameraBackend

__all__ = ["BACKENDS", "open_backend"]

BACKENDS: dict[SourceKind, str] = {
    "folder": "edge_ad.capture.backends.folder:FolderCamera",
    "video": "edge_ad.capture.backends.video:VideoCamera",
    "device": "edge_ad.capture.backends.opencv:OpencvCamera",
    "url": "edge_ad.capture.backends.opencv:OpencvCamera",
    "gst": "edge_ad.capture.backends.opencv:OpencvCamera",
    "basler": "edge_ad.capture.backends.basler:BaslerCamera",
    "genicam": "edge_ad.capture.backends.genicam:GenicamCamera",
    "gige": "edge_ad.capture.backends.gige:GigeCamera",
    "fake": "edge_ad.capture.backends.fake:FakeBackend",
}


def open_backend(settings: CameraSettings, first: int) -> CameraBackend:
    """The camera of these settings, not opened yet. ``first``: the picture with which files go on.

    Raises:
        CameraRefusedError: no camera is behind a source of this kind.
    """
    kind = source_kind(settings.source)
    if kind not in BACKENDS:
        raise CameraRefusedError(f"source {settings.source!r}: its frames are not captured here")
    module, _, name = BACKENDS[kind].partition(":")
    maker = cast("Callable[..., CameraBackend]", getattr(importlib.import_module(module), name))
    return maker(settings, first) if settings.is_files else maker(settings)
