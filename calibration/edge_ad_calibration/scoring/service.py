"""Scores many images or frames, here or on a cluster, and yields one outcome for each, in their order."""

from __future__ import annotations

from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

from edge_ad_calibration.scoring.cache import ScoreCache
from edge_ad_calibration.scoring.job import Outcome, Progress, ScoredImage, ScoreJob, ScorePlan, no_progress
from edge_ad_calibration.scoring.journal import find_earlier
from edge_ad_calibration.scoring.measure import LoadedImage, Want, load_frame, measure, score_with
from edge_ad_calibration.scoring.opened import opened

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence
    from pathlib import Path

    from edge_ad.sources import Frame
    from edge_ad_calibration.scoring.journal import MapJournal
    from edge_ad_calibration.scoring.opened import OpenJob

__all__ = ["score_frames", "score_images"]

_HERE = ScorePlan()


def score_images(
    images: Sequence[Path],
    job: ScoreJob | OpenJob,
    plan: ScorePlan = _HERE,
    progress: Progress = no_progress,
    journal: MapJournal | None = None,
) -> Generator[Outcome]:
    """Scores every image once and yields one outcome for each, in the order given.

    The variant's golden frames are scored first, so that a machine with other scores measures nothing. A job that is
    open already (``open_job``) is used and stays open; the workers of a cluster open their own. An image that cannot be
    scored is an outcome, not an exception. Only a few images are in memory at any time. Closing the iterator early
    stops the work.

    ``journal``: for a job with maps. Images in it from an earlier run are not scored again. The caller adds the new
    outcomes to it.

    Raises:
        InputError: the bundle, variant, device or cluster does not exist, or the cache is damaged.
        MissingExtraError: the engine or, for a cluster, Dask is not installed.
        BundleError: the bundle is damaged, differs on a worker, or this machine gives other scores than it promises.
        DeviceError: the engine or the cluster failed, or the cache cannot be written.
    """
    with progress(len(images)) as advance, closing(_outcomes(images, job, plan, journal)) as outcomes:
        for outcome in outcomes:
            yield outcome
            advance(1)


def score_frames(frames: Iterable[Frame], job: ScoreJob | OpenJob) -> Generator[Outcome]:
    """Scores the frames of one or several sources in this process; otherwise as :func:`score_images`.

    A video is decoded by a process of its own while the engine works. Nothing is cached.

    Raises:
        SourceError: the source failed and does not recover.
        InputError, MissingExtraError, BundleError, DeviceError: as :func:`score_images`.
    """
    with opened(job) as at_work:
        scorer, want = at_work.scorer, _want(at_work.job)
        for frame in frames:
            item = load_frame(frame, scorer)
            outcome = measure(item, scorer, want) if isinstance(item, LoadedImage) else item
            # A frame of a clip that gets no score of its own is no outcome.
            if isinstance(outcome, ScoredImage) or not outcome.pending:
                yield outcome


def _outcomes(
    images: Sequence[Path], job: ScoreJob | OpenJob, plan: ScorePlan, journal: MapJournal | None
) -> Generator[Outcome]:
    if plan.cluster is None:
        return _score_here(images, job, plan, journal)
    from edge_ad_calibration.scoring.cluster import score_on_cluster

    return score_on_cluster(images, job if isinstance(job, ScoreJob) else job.job, plan, journal)


def _score_here(
    images: Iterable[Path], job: ScoreJob | OpenJob, plan: ScorePlan, journal: MapJournal | None = None
) -> Generator[Outcome]:
    """Threads read, decode and prepare ahead; the engine runs in the thread that asks."""
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


def _want(job: ScoreJob) -> Want:
    return Want(map=job.maps, min_area_px=job.min_area_px)
