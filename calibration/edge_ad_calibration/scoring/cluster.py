"""Scoring on a Dask cluster, whose workers see the bundle and the images under the same paths as this machine."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from edge_ad.bundle import Bundle
from edge_ad_calibration.scoring.ahead import in_order
from edge_ad_calibration.scoring.cache import ScoreCache
from edge_ad_calibration.scoring.fleet import connected, explained, thread_count
from edge_ad_calibration.scoring.job import Outcome, ScoredImage, ScoreJob, ScorePlan
from edge_ad_calibration.scoring.journal import find_earlier
from edge_ad_calibration.scoring.measure import look_up
from edge_ad_calibration.scoring.worker import Chunk, ScoredChunk, SealedJob, describe, score_chunk
from edge_ad_metrics.machine import core_count

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence
    from concurrent.futures import Executor

    from edge_ad_calibration.scoring.journal import MapJournal
    from edge_ad_calibration.scoring.measure import Find
    from edge_ad_calibration.scoring.opened import Identity

__all__ = ["score_on_cluster"]

# Images a task: enough to make a task's cost small beside theirs, few enough for a dead worker to lose little.
_CHUNK = 16
# Images that a worker is asked whether it sees them.
_LOOKED_FOR = 3
# Chunks that a worker's thread has in hand or waiting.
_CHUNKS_EACH = 2

_Entry = Path | ScoredImage
"""An image to score, or one whose score is known."""


@dataclass(frozen=True, slots=True)
class _Workers:
    """The workers that are at a job."""

    executor: Executor
    ahead: int
    job: SealedJob
    identity: Identity

    def submit(self, entries: tuple[_Entry, ...]) -> Future[ScoredChunk]:
        """Sends a chunk off, unless all of it is known."""
        known = tuple(entry for entry in entries if isinstance(entry, ScoredImage))
        if len(known) < len(entries):
            return self.executor.submit(score_chunk, Chunk(self.job, self.identity, entries))
        future: Future[ScoredChunk] = Future()
        future.set_result(ScoredChunk(known, self.identity))
        return future


def score_on_cluster(
    images: Sequence[Path], job: ScoreJob, plan: ScorePlan, journal: MapJournal | None = None
) -> Generator[Outcome]:
    """As :func:`~edge_ad_calibration.scoring.in_process.score_images`, on the workers of ``plan.cluster``.

    A worker that dies has its images scored by another one. When all have died it waits for one to come.
    """
    with ExitStack() as stack:
        stack.enter_context(explained(plan.cluster))
        client = stack.enter_context(connected(job, plan))
        executor = stack.enter_context(client.get_executor(pure=False))
        workers = _open_on_workers(executor, _CHUNKS_EACH * thread_count(client), job, images)
        cache = None if plan.cache is None else stack.enter_context(closing(ScoreCache(plan.cache)))
        find = find_earlier(job, workers.identity, cache, journal)
        entries = stack.enter_context(closing(_entries(images, find, plan.workers)))
        outcomes = stack.enter_context(closing(_outcomes(entries, workers, cache)))
        for path, outcome in zip(images, outcomes, strict=True):
            yield replace(outcome, path=path)


def _open_on_workers(executor: Executor, ahead: int, job: ScoreJob, images: Sequence[Path]) -> _Workers:
    bundle = Path(job.bundle).absolute()
    sealed = SealedJob(replace(job, bundle=bundle), Bundle.open(bundle).manifest.seal)
    seen_here = tuple(image.absolute() for image in images[:_LOOKED_FOR] if image.exists())
    return _Workers(executor, ahead, sealed, executor.submit(describe, sealed, seen_here).result())


def _entries(images: Iterable[Path], find: Find | None, workers: int | None) -> Generator[_Entry]:
    """The images, each replaced by what is known of it. Its file is read here for that, and only for that."""
    paths = (image.absolute() for image in images)
    if find is None:
        yield from paths
        return
    threads = workers or core_count()
    with ThreadPoolExecutor(threads, "edge-ad reads") as pool:
        yield from in_order(paths, lambda path: pool.submit(look_up, path, find), ahead=threads)


def _outcomes(entries: Iterator[_Entry], workers: _Workers, cache: ScoreCache | None) -> Generator[Outcome]:
    chunks = iter(lambda: tuple(islice(entries, _CHUNK)), ())
    for chunk in in_order(chunks, workers.submit, ahead=workers.ahead):
        for outcome in chunk.outcomes:
            if cache is not None:
                # Of workers on several kinds of machine, each one's scores are kept under its own identity.
                cache.add(chunk.identity.digest, outcome)
            yield outcome
