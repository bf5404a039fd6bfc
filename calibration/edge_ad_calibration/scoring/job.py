"""What is asked when many images are scored, and the result for each image. This module imports nothing heavy."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from edge_ad.bundle.records import FrameSize
from edge_ad.engines.base import EngineOptions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edge_ad.verdict import FrameStatistics

__all__ = ["Outcome", "Progress", "ScoreJob", "ScorePlan", "ScoredImage", "UnscoredImage", "no_progress"]

Progress = Callable[[int], AbstractContextManager[Callable[[int], object]]]
"""Shows progress. It is called with the number of images, and its context's value with the number just done."""


def no_progress(total: int) -> AbstractContextManager[Callable[[int], object]]:  # noqa: ARG001
    """A :data:`Progress` that shows nothing."""
    return nullcontext(lambda _: None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreJob:
    """What is measured.

    ``variant``: ``None`` is the bundle's default one. ``min_area_px``: the smallest region of the map that counts, in
    camera pixels; 0 counts all. ``maps``: whether the anomaly maps are wanted too. The score cache keeps no maps, so
    they need the engine for every image, or a ``MapJournal``.
    """

    bundle: Path
    variant: str | None = None
    engine: EngineOptions = field(default_factory=EngineOptions)
    min_area_px: int = 0
    maps: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ScorePlan:
    """Where and how the images are scored. Nothing of this changes a score.

    ``cache``: the folder of the score cache; ``None`` keeps no scores.
    ``cluster``: the address of a Dask scheduler (``tcp://host:8786``), ``local`` for worker processes on this
    computer, ``None`` for this process.
    ``workers``: how many threads read and decode images, or how many processes a ``local`` cluster has. ``None`` takes
    a number that suits this computer.
    """

    cache: Path | None = None
    cluster: str | None = None
    workers: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredImage:
    """The result for one image, frame or vector.

    ``path``: as it was given; of a frame its source, such as ``clip.avi#12``. ``file_sha256``: of the file's bytes,
    ``None`` of a frame. ``pixel_sha256``: of the decoded pixels and their shape, so that it is
    the same for the same picture in another file format. ``size``: of the image, in camera pixels; a vector counts as
    one row.
    ``score``: raw. ``peak``: the value below which every pixel threshold shows a region that counts; without a
    smallest area the largest value of the map where it is inspected; ``-inf`` where no threshold shows one; ``None``
    for a model without a map. ``statistics``: how the model's input looks, for the watch on drift; ``None``
    of a vector.
    ``map``: float32 ``(h', w')``, raw, ``-inf`` in cells that are not inspected; the receiver's to keep; ``None``
    unless the job asked for maps and the model has them.
    ``cached``: all this comes from the score cache.
    """

    path: Path
    file_sha256: str | None
    pixel_sha256: str
    size: FrameSize
    score: float
    peak: float | None
    statistics: FrameStatistics | None
    map: NDArray[np.float32] | None = None
    cached: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class UnscoredImage:
    """One image that cannot be scored.

    ``error``: a line that names the image and says why, and what to do. ``pending``: whether it is a frame of a clip
    that gets no score of its own, which is no fault.
    """

    path: Path
    error: str
    pending: bool = False


Outcome = ScoredImage | UnscoredImage
