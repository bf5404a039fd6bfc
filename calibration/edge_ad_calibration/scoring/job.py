"""The request to score many images, and the result for each of them. Imports nothing heavy."""

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
"""Shows progress: takes how many images there are; the context's value is told how many more are done."""


def no_progress(total: int) -> AbstractContextManager[Callable[[int], object]]:  # noqa: ARG001
    """A :data:`Progress` that shows nothing."""
    return nullcontext(lambda _: None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreJob:
    """What is measured.

    ``variant``: ``None`` is the bundle's default one. ``min_area_px``: the smallest region of the map that counts,
    in camera pixels; 0: any. ``maps``: every image's anomaly map is wanted too. The score cache keeps none:
    it takes the engine for every image, or a ``MapJournal``.
    """

    bundle: Path
    variant: str | None = None
    engine: EngineOptions = field(default_factory=EngineOptions)
    min_area_px: int = 0
    maps: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ScorePlan:
    """Where and how it is measured. Nothing of it changes a number.

    ``cache``: the folder of the score cache; ``None``: no cache.
    ``cluster``: the address of a Dask scheduler (``tcp://host:8786``), ``local`` for worker processes on this
    machine, ``None`` for this process.
    ``workers``: threads that read and decode ahead of the engine; the worker processes of a ``local`` cluster.
    ``None``: as many as suit this machine.
    """

    cache: Path | None = None
    cluster: str | None = None
    workers: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredImage:
    """One image or vector, measured.

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
    """One image that cannot be scored. ``error``: the line that names it and says why and what to do. ``pending``: it
    is a frame of a clip on which no score is due."""

    path: Path
    error: str
    pending: bool = False


Outcome = ScoredImage | UnscoredImage
