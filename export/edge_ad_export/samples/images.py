"""The normal images that export measures with, read one at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from edge_ad.errors import InputError, counted
from edge_ad.sources import list_images, read_image
from edge_ad_export.model.input_spec import Size
from edge_ad_metrics.sampling import evenly_spaced, evenly_stepped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from edge_ad.geometry import Preprocessor

__all__ = ["IMAGES_MIN", "ImageSet", "Images", "collect_pixels", "find_repeated", "select_images"]

IMAGES_MIN = 3
"""The fewest images that an export takes: three of them become golden frames, and ranks need more than two scores."""


class Images(Protocol):
    """A known number of images, read or made one at a time: uint8 ``(H, W, 3)`` BGR or ``(H, W)`` gray."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[NDArray[np.uint8]]: ...


@dataclass(frozen=True)
class ImageSet:
    """``paths``: the images that are read. ``total``: how many images were given."""

    paths: tuple[Path, ...]
    total: int

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        """uint8 ``(H, W, 3)`` BGR or ``(H, W)`` gray. Raises :class:`FrameError` that names the image."""
        return map(read_image, self.paths)

    def __len__(self) -> int:
        return len(self.paths)

    def first(self, count: int) -> ImageSet:
        """The first ``count`` images, or all if there are fewer."""
        return self.chosen(range(len(self.paths))[:count])

    def chosen(self, places: Sequence[int]) -> ImageSet:
        """The images at these places, which ascend."""
        return replace(self, paths=tuple(self.paths[place] for place in places))

    def sizes(self) -> frozenset[Size]:
        """The sizes that occur. Reads every image once, so that a damaged one is found before any work is done."""
        return frozenset(Size(image.shape[1], image.shape[0]) for image in self)


def select_images(images: str | Path, limit: int) -> ImageSet:
    """At most ``limit`` images of a folder, file or glob, evenly spaced over all of them.

    Raises:
        InputError: there is no image, or fewer than three.
    """
    paths = list_images(images)
    if len(paths) < IMAGES_MIN:
        raise InputError(
            f"{images} holds {counted(len(paths), 'image')}: expected at least {IMAGES_MIN} normal images; 30 or more "
            "are better"
        )
    return ImageSet(tuple(paths[i] for i in evenly_spaced(len(paths), limit)), len(paths))


def find_repeated(images: ImageSet, others: ImageSet) -> tuple[Path, ...]:
    """The ``images`` that are among the ``others`` too, whatever their names: the bytes of the files are compared."""
    lengths = {path.stat().st_size for path in others.paths}
    candidates = [path for path in images.paths if path.stat().st_size in lengths]
    known = {_sha256(path) for path in others.paths} if candidates else set()
    return tuple(path for path in candidates if _sha256(path) in known)


def _sha256(path: Path) -> bytes:
    return hashlib.sha256(path.read_bytes()).digest()


def collect_pixels(preprocessor: Preprocessor, images: Images, limit: int) -> tuple[NDArray[np.uint8], ...]:
    """The inputs that the model gets for the images: at most ``limit`` tiles, uint8 ``[1, h, w, c]``, evenly spaced."""
    size = preprocessor.model_input
    buffer = np.zeros((size.height, size.width, size.channels), np.uint8)
    share = max(limit // len(images), 1)
    pixels: list[NDArray[np.uint8]] = []
    for image in images:
        tiles = [buffer[None].copy() for _ in preprocessor.tiles(image, buffer)]
        pixels += [tiles[i] for i in evenly_stepped(len(tiles), share)]
    return tuple(pixels[:limit])
