"""Which checks of the normals were made, and which were not: finding nothing says something only about the former."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from edge_ad.sources.listing import is_stream
from edge_ad.thresholds.correlation import SHORTEST
from edge_ad_calibration.normals.correlation import has_streams
from edge_ad_calibration.normals.parts import file_of

if TYPE_CHECKING:
    from edge_ad_calibration.normals.exclusions import Selection
    from edge_ad_calibration.normals.parts import Observations

__all__ = ["Checks", "Unchecked", "checks_of"]


class Unchecked(msgspec.Struct, frozen=True):
    """``question``: what is not known. ``how``: how to have it checked, with the name of the option."""

    question: str
    how: str

    def __str__(self) -> str:
        return f"{self.question} {self.how}"


class Checks(msgspec.Struct, frozen=True):
    """``made``: what was looked for. ``missing``: what was not."""

    made: tuple[str, ...]
    missing: tuple[Unchecked, ...]


def checks_of(observations: Observations, selection: Selection, names: tuple[str, ...], *, vectors: bool) -> Checks:
    """The checks of one station's normals.

    Args:
        observations: what is counted.
        selection: what the user said about the images.
        names: the names of the images.
        vectors: whether the normals are vectors, which show no picture.
    """
    made, missing = ["exact copies of images"], []
    if selection.training:
        made += ["normal images that look like training images", "normal images that look like one another"]
    else:
        how = "Name the training images with --train."
        if vectors or selection.objects is not None or any(is_stream(file_of(name)) for name in names):
            how = "Only image files can be compared with training images, not videos, vectors or objects in frames."
        missing.append(Unchecked("Do normal images repeat training images, or one another?", how))
    if selection.part_by is None:
        missing.append(
            Unchecked("Do several images show the same part?", "Say with --part-by which images belong to one part.")
        )
    if observations.kind == "part":
        how = "Only single images are checked for this, not parts."
        missing.append(Unchecked("Do parts that follow one another score alike?", how))
    elif has_streams(observations.names, observations.scores):
        made.append(f"neighbouring {observations.kind}s that score alike")
    else:
        how = f"This is checked in videos and in folders of {SHORTEST} or more images with numbers in their names."
        missing.append(Unchecked("Do neighbouring images score alike?", how))
    if selection.groups is None:
        how = "Name the groups in a CSV file with --groups; add --pool for one threshold for all of them."
        missing.append(Unchecked("Do groups, such as inspection places or lots, score differently?", how))
    elif selection.pooled:
        made.append("groups that score differently")
    return Checks(tuple(made), tuple(missing))
