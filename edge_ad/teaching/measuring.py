"""Scores what was taught: the highest score of each part, and how its frames look."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from edge_ad.bundle.records import FrameSize
from edge_ad.errors import EdgeAdError, InputError, named, one_line
from edge_ad.scoring.frame_statistics import frame_statistics
from edge_ad.sources import read_image
from edge_ad.teaching.session import TaughtFrame, TeachingFolder
from edge_ad.thresholds.pixels import hash_pixels
from edge_ad.verdict import FrameStatistics

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge_ad.scoring.scorer import Scorer

__all__ = ["Measured", "TaughtPart", "measure"]


class TaughtPart(msgspec.Struct, frozen=True, kw_only=True):
    """A part, its highest score, and the frame that has it."""

    part: str
    name: str
    score: float
    outside: bool = False


@dataclass(slots=True)
class Measured:
    """What every part scored, in the order of time, and how one frame of each looks."""

    parts: list[TaughtPart]
    peaks: list[float]
    statistics: tuple[FrameStatistics, ...]
    sizes: tuple[FrameSize, ...]
    pixels: list[str]
    part_of: list[int]
    frames: int
    copies: int
    outside: NDArray[np.bool_]

    @property
    def scores(self) -> NDArray[np.float64]:
        return np.array([one.score for one in self.parts], np.float64)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(one.part for one in self.parts)

    def first_frames(self) -> list[int]:
        """The place of the first frame of each part."""
        first = {part: place for place, part in reversed(list(enumerate(self.part_of)))}
        return [first[part] for part in sorted(first)]

    def __len__(self) -> int:
        return len(self.statistics)


def measure(scorer: Scorer, parts: dict[str, list[TaughtFrame]], taught: TeachingFolder) -> Measured:
    """Scores every frame. None is left out silently: one that cannot be scored ends it, named."""
    found: list[TaughtPart] = []
    peaks: list[float] = []
    looks: list[FrameStatistics] = []
    sizes: list[FrameSize] = []
    known: dict[str, str] = {}
    part_of: list[int] = []
    wrong: list[str] = []
    copies = 0
    for part, frames in parts.items():
        best: TaughtPart | None = None
        peak = -np.inf
        for one in frames:
            try:
                pixels = read_image(taught.picture(one.name or ""))
                digest = hash_pixels(pixels)
                if digest in known:
                    copies += 1
                    continue
                measured = scorer.measure(pixels)
            except EdgeAdError as error:
                wrong.append(f"{part}: {one_line(error)}")
                continue
            known[digest] = part
            part_of.append(len(found))
            looks.append(frame_statistics(scorer.canvas) if scorer.canvas is not None else _NO_LOOKS)
            sizes.append(FrameSize(width=pixels.shape[1], height=pixels.shape[0]))
            peak = max(peak, -np.inf if measured.map is None else float(measured.map.max()))
            if best is None or measured.score > best.score:
                best = TaughtPart(part=part, name=one.name or "", score=measured.score)
        if best is not None:
            found.append(best)
            peaks.append(peak)
    if wrong:
        raise InputError(
            f"{len(wrong)} frames cannot be scored: {named(wrong, '; ')}. Take these parts out, with the reason"
        )
    outside = np.zeros(len(found), np.bool_)
    return Measured(found, peaks, tuple(looks), tuple(sizes), list(known), part_of, len(known), copies, outside)


_NO_LOOKS = FrameStatistics(brightness=0.0, contrast=0.0, sharpness=0.0)
