"""The one way in: images or frames and a job; outcomes out, one for each and in their order."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from edge_ad_calibration.scoring.job import Outcome, Progress, ScoreJob, ScorePlan, no_progress

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

    The variant's golden frames are replayed first, so that a machine that scores differently measures nothing. A job
    that is open already (``open_job``) is used as it is and stays open; the workers of a cluster open their own.
    An image that cannot be scored is an outcome, not an exception. Only a few images are in memory at any time,
    however many there are. Closing the iterator early stops the work.

    ``journal``: of a job with maps; what it has from an earlier run is not scored again. Who takes the outcomes adds
    them.

    Raises:
        InputError: no such bundle, variant, device or cluster, or the cache is damaged.
        MissingExtraError: the engine or, for a cluster, Dask is not installed.
        BundleError: the bundle is damaged, differs on a worker, or this machine gives other scores than it promises.
        DeviceError: the engine or the cluster failed, or the cache cannot be written.
    """
    with progress(len(images)) as advance, closing(_outcomes(images, job, plan, journal)) as outcomes:
        for outcome in outcomes:
            yield outcome
            advance(1)


def score_frames(frames: Iterable[Frame], job: ScoreJob | OpenJob) -> Generator[Outcome]:
    """Scores the frames of a source, or of several chained, in this process; otherwise as :func:`score_images`.

    A video is decoded by a process of its own, which is at work while the engine is. Nothing is cached.

    Raises:
        SourceError: the source failed for good.
        InputError, MissingExtraError, BundleError, DeviceError: as :func:`score_images`.
    """
    from edge_ad_calibration.scoring.in_process import score_stream

    return score_stream(frames, job)


def _outcomes(
    images: Sequence[Path], job: ScoreJob | OpenJob, plan: ScorePlan, journal: MapJournal | None
) -> Generator[Outcome]:
    if plan.cluster is None:
        from edge_ad_calibration.scoring.in_process import score_here

        return score_here(images, job, plan, journal)
    from edge_ad_calibration.scoring.cluster import score_on_cluster

    return score_on_cluster(images, job if isinstance(job, ScoreJob) else job.job, plan, journal)
