"""Scoring in this process: threads read, decode and prepare ahead, the engine runs in the thread that asks."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from threading import local
from typing import TYPE_CHECKING

from edge_ad_calibration.scoring.ahead import in_order
from edge_ad_calibration.scoring.cache import ScoreCache
from edge_ad_calibration.scoring.job import ScoredImage
from edge_ad_calibration.scoring.journal import find_earlier
from edge_ad_calibration.scoring.measure import LoadedImage, Want, load, load_frame, measure
from edge_ad_calibration.scoring.opened import opened
from edge_ad_metrics.machine import core_count

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable
    from pathlib import Path

    from edge_ad.scoring.scorer import Scorer
    from edge_ad.sources import Frame
    from edge_ad_calibration.scoring.job import Outcome, ScoreJob, ScorePlan
    from edge_ad_calibration.scoring.journal import MapJournal
    from edge_ad_calibration.scoring.measure import Find
    from edge_ad_calibration.scoring.opened import OpenJob

__all__ = ["score_here", "score_stream", "score_with"]

# Images that wait, beside those that a thread is busy with: enough to bridge a slow file, few enough to hold.
_WAITING = 2
_SCORES = Want()


def score_here(
    images: Iterable[Path], job: ScoreJob | OpenJob, plan: ScorePlan, journal: MapJournal | None = None
) -> Generator[Outcome]:
    """As :func:`~edge_ad_calibration.scoring.service.score_images`, in this process."""
    with ExitStack() as stack:
        at_work = stack.enter_context(opened(job))
        want = _want(at_work.job)
        cache = None if plan.cache is None else stack.enter_context(closing(ScoreCache(plan.cache)))
        keeps = cache is not None or journal is not None
        find = find_earlier(at_work.job, at_work.identity, cache, journal) if keeps else None
        for outcome in score_with(at_work.scorer, images, want, workers=plan.workers, find=find):
            if cache is not None:
                cache.add(at_work.identity.digest, outcome)
            yield outcome


def score_stream(frames: Iterable[Frame], job: ScoreJob | OpenJob) -> Generator[Outcome]:
    """As :func:`~edge_ad_calibration.scoring.service.score_frames`. Frames on which no score is due are no outcomes."""
    with opened(job) as at_work:
        scorer, want = at_work.scorer, _want(at_work.job)
        for frame in frames:
            item = load_frame(frame, scorer)
            outcome = measure(item, scorer, want) if isinstance(item, LoadedImage) else item
            if isinstance(outcome, ScoredImage) or not outcome.pending:
                yield outcome


def score_with(
    scorer: Scorer,
    images: Iterable[Path],
    want: Want = _SCORES,
    *,
    workers: int | None = None,
    find: Find | None = None,
) -> Generator[Outcome]:
    """Scores images with an engine that is open already. ``find`` is asked before an image is decoded."""
    threads, of_thread = workers or max(2, core_count()), local()

    def begin() -> None:
        of_thread.preparer = scorer.preparer()

    def read(path: Path) -> LoadedImage | Outcome:
        return load(path, of_thread.preparer, find)

    with ThreadPoolExecutor(threads, "edge-ad reads", initializer=begin) as pool:
        for item in in_order(images, lambda path: pool.submit(read, path), ahead=threads + _WAITING):
            yield measure(item, scorer, want) if isinstance(item, LoadedImage) else item


def _want(job: ScoreJob) -> Want:
    return Want(map=job.maps, min_area_px=job.min_area_px)
