"""What is counted as one observation: an image, an object, or a part that several images show."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from edge_ad.errors import InputError
from edge_ad.sources.frame_name import FrameName
from edge_ad_metrics.datasets.image_table import named, read_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from edge_ad_calibration.normals.measured import Normals

__all__ = [
    "Kind",
    "Level",
    "Observations",
    "PartBy",
    "file_of",
    "group_parts",
    "kind_of",
    "largest_of_parts",
    "parse_part_by",
]

Level = Literal["frame", "object"]
"""Whether a score belongs to a frame or to an object in it."""

Kind = Literal["frame", "part", "object"]
"""What counts as one observation."""

FRAME = "frame"
"""The value of ``--part-by`` for which all objects of a frame are one observation."""

_COLUMN = re.compile(r"(?P<file>.+\.csv):(?P<column>[^:]+)", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observations:
    """What is counted.

    ``kind``: what one observation is. ``pictures``: what one of the normals is. ``names``: of the observations.
    ``scores``: float64 ``(n,)``, for each observation the largest score of its frames or objects. ``peaks``: the same
    for the maps; ``None`` if there are none. ``part``: intp ``(frames,)``, the observation that each normal belongs to.
    ``outside``: bool ``(n,)``, which observations are outside the limits of frames and count as rejected; ``None`` if
    none is.
    """

    kind: Kind
    pictures: Literal["image", "object"] = "image"
    names: tuple[str, ...]
    scores: NDArray[np.float64]
    peaks: NDArray[np.float64] | None
    part: NDArray[np.intp]
    outside: NDArray[np.bool_] | None = None

    def mark_outside(self, normals: NDArray[np.bool_]) -> Observations:
        """The same, with an observation outside where any of its normals is; ``normals``: bool ``(frames,)``."""
        outside = np.zeros(self.scores.size, np.bool_)
        outside[self.part[normals]] = True
        return replace(self, outside=outside)


@dataclass(frozen=True, slots=True)
class PartBy:
    """How to tell which part a frame shows. ``text``: as the user wrote it.

    ``pattern``: a regular expression for file names. ``table`` and ``column``: a CSV file that names the part.
    """

    text: str
    pattern: re.Pattern[str] | None = None
    table: Path | None = None
    column: str = ""

    def parts(self, names: Sequence[str]) -> list[str]:
        """The part of each image.

        Raises:
            InputError: an image's name does not match, or the table does not say.
        """
        if self.table is not None:
            return read_table(self.table).look_up(self.column, [file_of(name) for name in names])
        if self.text == FRAME:
            return [str(FrameName.parse(name).frame) for name in names]
        if self.pattern is None:
            return [str(file_of(name).parent) for name in names]
        matches = [self.pattern.search(Path(name).name) for name in names]
        found = ["" if match is None else match[1] or "" for match in matches]
        missing = [name for name, part in zip(names, found, strict=True) if not part]
        if missing:
            raise InputError(
                f"--part-by {self.text!r} finds no part in {len(missing)} of {len(names)} names: {named(missing)}"
            )
        return found


def parse_part_by(text: str) -> PartBy:
    """``frame``, ``folder``, ``file.csv:column``, or a regular expression with one group, searched in file names.

    Raises:
        InputError: none of these.
    """
    if text in {FRAME, "folder"}:
        return PartBy(text)
    if match := _COLUMN.fullmatch(text):
        return PartBy(text, table=Path(match["file"]), column=match["column"])
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise InputError(f"--part-by {text!r} is not a regular expression: {error}") from None
    if pattern.groups != 1:
        raise InputError(
            f"--part-by {text!r} has {pattern.groups} groups: expected folder, FILE.csv:COLUMN or a regular expression "
            r"with one group that is the part, such as 'part(\d+)_'"
        )
    return PartBy(text, pattern=pattern)


def kind_of(by: PartBy | None, level: Level) -> Kind:
    """What an observation is called."""
    if by is None:
        return level
    return "frame" if by.text == FRAME else "part"


def group_parts(normals: Normals, by: PartBy | None, level: Level = "frame") -> Observations:
    """The observations, in the order of their first frames. Without ``by``, each image or object is one.

    A part is rejected if any of its frames is rejected, that is, if its largest score is above the threshold. So the
    score of a part is its largest score, and the promise is about parts.

    Raises:
        InputError: an image belongs to no part.
    """
    pictures: Literal["image", "object"] = "object" if level == "object" else "image"
    kind = kind_of(by, level)
    if by is None:
        part = np.arange(len(normals), dtype=np.intp)
        return Observations(
            kind=kind,
            pictures=pictures,
            names=normals.names,
            scores=normals.scores,
            peaks=normals.peaks,
            part=part,
        )
    of = by.parts(normals.names)
    places = {name: place for place, name in enumerate(dict.fromkeys(of))}
    part = np.array([places[name] for name in of], dtype=np.intp)
    return Observations(
        kind=kind,
        pictures=pictures,
        names=tuple(places),
        scores=_largest(normals.scores, part, len(places)),
        peaks=None if normals.peaks is None else _largest(normals.peaks, part, len(places)),
        part=part,
    )


def file_of(name: str) -> Path:
    """The file that a frame or an object comes from: ``clip.avi`` for ``clip.avi#12``."""
    return Path(FrameName.parse(name).file)


def largest_of_parts(scores: NDArray[np.float64], part: NDArray[np.intp]) -> NDArray[np.float64]:
    """The largest score of each part, float64 ``(parts,)``. ``part``: to which one each of the ``scores`` belongs."""
    parts, which = np.unique(part, return_inverse=True)
    return _largest(scores, which.astype(np.intp), len(parts))


def _largest(values: NDArray[np.float64], part: NDArray[np.intp], parts: int) -> NDArray[np.float64]:
    largest = np.full(parts, -np.inf)
    np.maximum.at(largest, part, values)
    return largest
