"""Scores images with an open engine: reads each file, prepares it for the engine, and measures it."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from threading import local
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_ad.bundle.records import FrameSize
from edge_ad.drift import frame_statistics
from edge_ad.errors import FrameError
from edge_ad.geometry import PreparedFrame
from edge_ad.geometry.mapping import area_peak
from edge_ad.sources.image_file import decode_image, read_file
from edge_ad.stream import sample_of
from edge_ad.thresholds.pixels import hash_pixels
from edge_ad.verdict import Reason
from edge_ad_calibration.scoring.ahead import in_order
from edge_ad_calibration.scoring.job import Outcome, ScoredImage, UnscoredImage
from edge_ad_metrics.machine import core_count

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from numpy.typing import NDArray

    from edge_ad.geometry import Preprocessor
    from edge_ad.scoring.scorer import Scorer
    from edge_ad.sources import Frame
    from edge_ad.verdict import FrameStatistics

    Find = Callable[[Path, str], ScoredImage | None]

__all__ = ["PENDING", "LoadedImage", "Want", "load", "load_frame", "look_up", "measure", "score_with"]


PENDING = frozenset({Reason.WARMING_UP.value, Reason.BETWEEN_SCORES.value})
"""The reasons why a good frame of a clip has no score of its own."""


@dataclass(frozen=True, slots=True)
class Want:
    """What is measured besides the score; see ``ScoreJob``."""

    map: bool = False
    min_area_px: int = 0


# Images that wait for the engine: enough to bridge a slow file, few enough for the memory.
_WAITING = 2
_SCORES = Want()


@dataclass(frozen=True, slots=True)
class LoadedImage:
    """An image that waits for the engine.

    ``content``: the prepared input of the model, with its ``statistics``; or the pixels, uint8 ``(H, W, 3)`` BGR or
    ``(H, W)`` gray; or a vector, float32 ``(n,)``.
    """

    path: Path
    file_sha256: str | None
    pixel_sha256: str
    size: FrameSize
    content: PreparedFrame | NDArray[Any]
    statistics: FrameStatistics | None = None


def score_with(
    scorer: Scorer,
    images: Iterable[Path],
    want: Want = _SCORES,
    *,
    workers: int | None = None,
    find: Find | None = None,
) -> Generator[Outcome]:
    """Scores images with an open engine. ``find`` may know the score of a file; it is asked before decoding."""
    threads, of_thread = workers or max(2, core_count()), local()

    def begin() -> None:
        of_thread.preparer = scorer.preparer()

    def read(path: Path) -> LoadedImage | Outcome:
        return load(path, of_thread.preparer, find)

    with ThreadPoolExecutor(threads, "edge-ad reads", initializer=begin) as pool:
        for item in in_order(images, lambda path: pool.submit(read, path), ahead=threads + _WAITING):
            yield measure(item, scorer, want) if isinstance(item, LoadedImage) else item


def load(path: Path, preparer: Preprocessor | None = None, find: Find | None = None) -> LoadedImage | Outcome:
    """Reads, decodes and prepares a file, unless ``find`` knows its score. May be called from several threads.

    ``preparer``: prepares the model's input, one for each thread; ``None`` keeps the pixels. See ``Scorer.preparer``.
    """
    try:
        data = read_file(path)
        file_sha256 = hashlib.sha256(data).hexdigest()
        if find is not None and (found := find(path, file_sha256)):
            return found
        pixels = decode_image(path, data)
    except FrameError as error:
        return UnscoredImage(path=path, error=str(error))
    return _prepare(_loaded(path, file_sha256, pixels), pixels, preparer)


def load_frame(frame: Frame, scorer: Scorer) -> LoadedImage | UnscoredImage:
    """A frame of a source with its pixels or vector.

    Raises:
        InputError: the frame is a vector but the scorer takes pictures, or the other way round.
    """
    path, sample = Path(frame.source), sample_of(frame, scorer)
    if sample is None:
        return UnscoredImage(path=path, error=str(frame.error))
    return _loaded(path, None, sample)


def look_up(path: Path, find: Find) -> Path | ScoredImage:
    """The score that ``find`` knows for the file. If it knows none, or the file cannot be read, the path."""
    try:
        return find(path, hashlib.sha256(read_file(path)).hexdigest()) or path
    except FrameError:
        return path


def measure(image: LoadedImage, scorer: Scorer, want: Want) -> Outcome:
    """Scores one image. Raises :class:`EngineError` if the engine fails. A fault of the image is a result, no error."""
    content = image.content
    try:
        measured = scorer.measure_prepared(content) if isinstance(content, PreparedFrame) else scorer.measure(content)
    except FrameError as error:
        return _unscored(image.path, error)
    return ScoredImage(
        path=image.path,
        file_sha256=image.file_sha256,
        pixel_sha256=image.pixel_sha256,
        size=image.size,
        score=measured.score,
        peak=None if measured.map is None else _peak(measured.map, content, scorer, want.min_area_px),
        statistics=image.statistics or _statistics(scorer),
        map=measured.map.copy() if want.map and measured.map is not None else None,
    )


def _loaded(path: Path, file_sha256: str | None, pixels: NDArray[Any]) -> LoadedImage:
    height, width = pixels.shape[:2] if pixels.ndim > 1 else (1, pixels.size)
    return LoadedImage(path, file_sha256, hash_pixels(pixels), FrameSize(width=width, height=height), pixels)


def _statistics(scorer: Scorer) -> FrameStatistics | None:
    """The statistics of the frame that was just measured; ``None`` for a vector."""
    return None if scorer.canvas is None else frame_statistics(scorer.canvas)


def _prepare(image: LoadedImage, pixels: NDArray[np.uint8], preparer: Preprocessor | None) -> LoadedImage | Outcome:
    if preparer is None:
        return image
    try:
        frame = preparer.prepare(pixels)
    except FrameError as error:
        return _unscored(image.path, error)
    return replace(image, content=frame, statistics=frame_statistics(frame.canvas))


def _unscored(path: Path, error: FrameError) -> UnscoredImage:
    return UnscoredImage(path=path, error=f"{path}: {error}", pending=error.reason in PENDING)


def _peak(
    anomaly_map: NDArray[np.float32], content: PreparedFrame | NDArray[Any], scorer: Scorer, min_area_px: int
) -> float:
    if min_area_px == 0:
        return float(anomaly_map.max())
    layout = content.layout if isinstance(content, PreparedFrame) else scorer.preprocessor.layout(content)
    return area_peak(anomaly_map, layout, min_area_px)
