"""An annotated picture per frame, in a folder."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from edge_ad.errors import OutputError
from edge_ad.files import atomic_write, output_error
from edge_ad.outputs.annotate import BLANK, annotate
from edge_ad.outputs.anomaly_map import ColourScale
from edge_ad.outputs.sink import Sink
from edge_ad.sources.frame_name import FrameName

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edge_ad.sources import Frame
    from edge_ad.verdict import Verdict

__all__ = ["PictureSink"]

_QUALITY = 92
_LARGEST_JPEG_PX = 65_500
_LONGEST_NAME = 60  # a character may take 4 of a name's 255 bytes


class PictureSink(Sink):
    """Writes ``<name of the source>.verdict.jpg`` into ``folder``, which is made if need be.

    The ``.verdict`` keeps a picture from ever replacing the image it was made from. Sources of the same name from
    different folders are told apart by a number: ``a.verdict.jpg``, ``a.2.verdict.jpg``. A later run into the
    same folder replaces the pictures of the earlier one.

    Raises:
        OutputError: the folder cannot be made.
    """

    needs_map = True

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._scale = ColourScale()
        self._taken: set[str] = set()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise output_error(folder, error) from error

    def write(self, frame: Frame, verdict: Verdict, anomaly_map: NDArray[np.float32] | None) -> None:
        colour_range = None if anomaly_map is None else self._scale.fit(anomaly_map, verdict.pixel_threshold)
        picture = annotate(BLANK if frame.image is None else frame.image, verdict, anomaly_map, colour_range)
        path = self._folder / self._name(frame.source)
        atomic_write(path, _jpeg(path, picture))

    def close(self) -> None:
        """Does nothing: every picture is complete already."""

    def _name(self, source: str) -> str:
        stem = _stem(source)
        name, number = stem, 1
        while name.casefold() in self._taken:  # some file systems do not tell cases apart
            number += 1
            name = f"{stem}.{number}"
        self._taken.add(name.casefold())
        return f"{name}.verdict.jpg"


def _jpeg(path: Path, picture: NDArray[np.uint8]) -> bytes:
    import cv2

    height, width = picture.shape[:2]
    if max(height, width) > _LARGEST_JPEG_PX:
        raise OutputError(f"{path}: a picture of {width} x {height} pixels is too large for JPEG")
    return bytes(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1])


def _stem(source: str) -> str:
    """A safe file name: ``shots/a.png`` -> ``a``, ``line.avi#12`` -> ``line_000012``."""
    name = FrameName.parse(source)
    stem = Path(name.file).stem if name.index is None else f"{Path(name.file).stem}_{name.index:06d}"
    return re.sub(r"[^\w.-]+", "_", stem)[-_LONGEST_NAME:].lstrip(".") or "frame"
