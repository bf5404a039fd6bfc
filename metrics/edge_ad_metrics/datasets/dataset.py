"""What is evaluated: images or clips, each with what a person says about it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from edge_ad.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["GOOD", "LabelledClip", "LabelledImage", "LabelledSet", "check_both_classes"]

GOOD: Final = "good"
"""The type of what is normal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledImage:
    """``type``: the kind of defect, :data:`GOOD` for a normal one. ``part``: which part it shows, where that is known.

    ``masks``: files of the image's size in which defects are marked, which are united; empty if there are none.
    """

    path: Path
    type: str
    masks: tuple[Path, ...] = ()
    part: str | None = None

    @property
    def anomalous(self) -> bool:
        return self.type != GOOD


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledClip:
    """A video, a folder of frames or a file of vectors, and what says which of its frames are anomalous: a file of
    labels, or a folder with a mask for each frame."""

    path: Path
    labels: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledSet:
    """``layout``: the name of the arrangement it was read from. Either ``images`` or ``clips`` is empty.

    ``notes``: what was found there and is not used.
    """

    layout: str
    images: tuple[LabelledImage, ...] = ()
    clips: tuple[LabelledClip, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def remarks(self) -> tuple[str, ...]:
        """What the user should know of labelled images: the layout, how many there are of each kind, and the notes."""
        if not self.images:
            return self.notes
        anomalous = [image for image in self.images if image.anomalous]
        masked = sum(bool(image.masks) for image in anomalous)
        contents = (
            f"labelled images: {self.layout} layout, {len(self.images) - len(anomalous)} normal and "
            f"{len(anomalous)} anomalous images, {masked} of these with masks"
        )
        return (contents, *self.notes)


def check_both_classes(where: Path, labels: list[bool], things: str = "images") -> None:
    """Raises ``InputError`` unless there are normal and anomalous ones."""
    found = Counter(labels)
    if not found[True] or not found[False]:
        raise InputError(
            f"{where}: expected normal and anomalous {things}, found {found[False]} normal and "
            f"{found[True]} anomalous: nothing can be measured with one class; calibrate needs normals alone, "
            "evaluate needs both"
        )
