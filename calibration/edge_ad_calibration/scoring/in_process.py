"""Scoring in this process: threads read, decode and prepare ahead, the engine runs in the thread that asks."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from threading import local
from typing import TYPE_CHECKING

from edge_ad_calibration.scoring.ahead import in_order
from edge_ad_calibration.scoring.cache import ScoreCache
from edge_ad_calibration.scoring.job import ScoredImage
from edge_ad_calibration.scoring.measure import LoadedImage, Want, load, measure, take
from edge_ad_calibration.scoring.opened import open_job
from edge_ad_calibration.scoring.recall import recall
from edge_ad_metrics.machine import core_count

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable
    from pathlib import Path

    from edge_ad.scoring.scorer import Scorer
    from edge_ad.sources import Frame
    from edge_ad_calibration.scoring.job import Outcome, ScoreJob, ScorePlan
    from edge_ad_calibration.scoring.journal import MapJournal
    from edge_ad_calibration.scoring.measure import Find

__all__ = ["score_here", "score_stream", "score_with"]

# Images that wait, beside those that a thread is busy with: enough to bridge a slow file, few enough to hold.
_WAITING = 2
_SCORES = Want()


def score_here(
    images: Iterable[Path], job: ScoreJob, plan: ScorePlan, journal: MapJournal | None = None
) -> Generator[Outcome]:
    """As :func:`~edge_ad_calibration.scoring.service.score_images`, in this process."""
    want = Want(map=job.maps, min_area_px=job.min_area_px)
    with ExitStack() as stack:
        opened = stack.enter_context(closing(open_job(job)))
        cache = None if plan.cache is None else stack.enter_context(closing(ScoreCache(plan.cache)))
        find = recall(job, opened.identity, cache, journal)
        key = opened.identity.digest
        for outcome in score_with(opened.scorer, images, want, workers=plan.workers, find=find):
            if cache is not None:
                cache.add(key, outcome)
            yield outcome


def score_stream(frames: Iterable[Frame], job: ScoreJob) -> Generator[Outcome]:
    """As :func:`~edge_ad_calibration.scoring.service.score_frames`. Frames on which no score is due are no outcomes."""
    want = Want(map=job.maps, min_area_px=job.min_area_px)
    with closing(open_job(job)) as opened:
        for frame in frames:
            item = take(frame, opened.scorer)
            outcome = measure(item, opened.scorer, want) if isinstance(item, LoadedImage) else item
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
