"""Scores of held-out normals, through the very artefact and geometry that the device will run."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from edge_ad.errors import InputError
from edge_ad_calibration.scoring import ScoredImage
from edge_ad_calibration.tables import named

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from edge_ad.verdict import FrameStatistics
    from edge_ad_calibration.scoring import Outcome

__all__ = ["Duplicate", "Normals", "gather"]


class Duplicate(msgspec.Struct, frozen=True):
    """An image whose pixels are exactly those of another one."""

    image: str
    same_as: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Normals:
    """What was measured, one entry per different image, in the order of the images.

    ``scores``: float64 ``(n,)``, raw.
    ``peaks``: float64 ``(n,)``, the value of each map below which every pixel threshold shows a region; ``None``
    without a map. ``statistics``: how each looks to the model; ``None`` of vectors.
    """

    names: tuple[str, ...]
    pixel_sha256: tuple[str, ...]
    scores: NDArray[np.float64]
    peaks: NDArray[np.float64] | None
    statistics: tuple[FrameStatistics, ...] | None
    duplicates: tuple[Duplicate, ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    @property
    def images_sha256(self) -> str:
        """Over the pixels of all images, whatever their names and order."""
        return hashlib.sha256(b"".join(sorted(map(bytes.fromhex, self.pixel_sha256)))).hexdigest()

    def take(self, which: Sequence[int]) -> Normals:
        """Some of them, by their places."""
        index = np.asarray(which, dtype=np.intp)
        return Normals(
            names=tuple(self.names[k] for k in which),
            pixel_sha256=tuple(self.pixel_sha256[k] for k in which),
            scores=self.scores[index],
            peaks=None if self.peaks is None else self.peaks[index],
            statistics=None if self.statistics is None else tuple(self.statistics[k] for k in which),
            duplicates=self.duplicates,
        )


def gather(outcomes: Iterable[Outcome]) -> Normals:
    """Takes the outcomes of scoring in.

    Exact copies are counted once. A copy adds no observation, and counting it would promise more than was
    seen: the guarantee grows with the number of *independent* normals. It is no reason to refuse either, since
    what remains is the set of different images that was meant.

    Every image is looked at before an error is raised: all that is wrong is said at once, and nothing is
    dropped silently, for a calibration without the images that a station cannot score promises too much.

    Raises:
        InputError: images are unreadable or cannot be scored; names the first of them and says how many. Or there
            is none.
    """
    seen: dict[str, str] = {}
    scores: list[float] = []
    peaks: list[float] = []
    statistics: list[FrameStatistics] = []
    duplicates: list[Duplicate] = []
    problems: list[str] = []
    total = 0
    for total, outcome in enumerate(outcomes, start=1):  # noqa: B007
        if not isinstance(outcome, ScoredImage):
            problems.append(outcome.error)
            continue
        name = str(outcome.path)
        if outcome.pixel_sha256 in seen:
            duplicates.append(Duplicate(name, seen[outcome.pixel_sha256]))
            continue
        seen[outcome.pixel_sha256] = name
        scores.append(outcome.score)
        statistics += [] if outcome.statistics is None else [outcome.statistics]
        if outcome.peak is not None:
            peaks.append(outcome.peak)
    if problems:
        raise _cannot_score(problems, total)
    if not scores:
        raise InputError("there is not one picture among the normals: name images, or a video that has frames")
    return Normals(
        names=tuple(seen.values()),
        pixel_sha256=tuple(seen),
        scores=np.array(scores, dtype=np.float64),
        peaks=np.array(peaks, dtype=np.float64) if peaks else None,
        statistics=tuple(statistics) or None,
        duplicates=tuple(duplicates),
    )


def _cannot_score(problems: list[str], total: int) -> InputError:
    return InputError(
        f"{len(problems)} of {total} images cannot be scored: {named(problems, '; ')}. Repair them or take them out: "
        "none is left out unasked"
    )
