"""Labelled images of the user's: the real test, where there is one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge_ad.errors import InputError
from edge_ad.sources import list_images, read_image

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["LabelledImage", "find_labelled", "read_truth"]


@dataclass(frozen=True)
class LabelledImage:
    """``mask``: gray image, above 127 = defect; ``None`` where there is none, as for every normal image."""

    path: Path
    anomalous: bool
    mask: Path | None


def find_labelled(folder: Path) -> tuple[LabelledImage, ...]:
    """The images of ``folder``, or of its subfolder ``test``, as MVTec lays them out: ``good/`` and one folder a type
    of defect; masks in ``ground_truth/<type>/<name>_mask.png`` or ``<name>.png``.

    Raises:
        InputError: no such folder, or it lacks normal or anomalous images.
    """
    root = folder / "test" if (folder / "test").is_dir() else folder
    if not root.is_dir():
        raise InputError(f"--labelled {folder}: expected a folder with good/ and a folder for every type of defect")
    found = []
    for kind in sorted(path for path in root.iterdir() if path.is_dir() and path.name != "ground_truth"):
        anomalous = kind.name != "good"
        images = list_images(kind)
        found += [LabelledImage(path, anomalous, _mask(root, path) if anomalous else None) for path in images]
    anomalies = sum(image.anomalous for image in found)
    if not 0 < anomalies < len(found):
        raise InputError(
            f"--labelled {folder} holds {len(found) - anomalies} normal images in good/ and {anomalies} anomalous ones "
            "in other folders: expected some of both"
        )
    return tuple(found)


def _mask(root: Path, image: Path) -> Path | None:
    places = (truth / "ground_truth" / image.parent.name for truth in (root.parent, root))
    names = (f"{image.stem}_mask.png", f"{image.stem}.png")
    return next((path for place in places for path in (place / name for name in names) if path.is_file()), None)


def read_truth(image: LabelledImage, shape: tuple[int, ...]) -> NDArray[np.bool_] | None:
    """Which pixels of a frame of that shape are a defect, bool ``(H, W)``; ``None`` where nobody said.

    Raises:
        InputError: the mask has another size than the image.
    """
    if image.mask is None:
        return None if image.anomalous else np.zeros(shape[:2], bool)
    mask = read_image(image.mask)
    if mask.shape[:2] != shape[:2]:
        raise InputError(
            f"the mask {image.mask} is {mask.shape[1]}x{mask.shape[0]}: expected {shape[1]}x{shape[0]}, as its image"
        )
    plane = mask if mask.ndim == 2 else mask.max(axis=2)
    return np.asarray(plane > 127)
