"""Scores on a Dask cluster. Its workers see the bundle and the images under the same paths as this computer.

Only this module uses Dask. It connects to the cluster or starts it, and refuses one that does not fit the job.
"""

from __future__ import annotations

import logging
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, replace
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_ad.bundle import Bundle
from edge_ad.errors import DeviceError, EdgeAdError, InputError, MissingExtraError, one_line
from edge_ad_calibration.scoring.ahead import in_order
from edge_ad_calibration.scoring.cache import ScoreCache
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

__all__ = ["LOCAL", "score_on_cluster"]

LOCAL = "local"
"""The address that means worker processes on this computer."""

_CONNECT_S = 10
_ATTEMPTS = 3
_DISTRIBUTION = "edge-ad"

# Images for each task: enough that the cost of the task itself is small, few enough that a dead worker loses little.
_CHUNK = 16
# Images that a worker is asked whether it sees them.
_LOOKED_FOR = 3
# Chunks that a worker's thread has in hand or waiting.
_CHUNKS_EACH = 2

_Entry = Path | ScoredImage
"""An image to score, or an image whose score is known already."""


@dataclass(frozen=True, slots=True)
class _Workers:
    """The workers that score a job."""

    executor: Executor
    ahead: int
    job: SealedJob
    identity: Identity

    def submit(self, entries: tuple[_Entry, ...]) -> Future[ScoredChunk]:
        """Sends a chunk to a worker, unless all its scores are known."""
        known = tuple(entry for entry in entries if isinstance(entry, ScoredImage))
        if len(known) < len(entries):
            return self.executor.submit(score_chunk, Chunk(self.job, self.identity, entries))
        future: Future[ScoredChunk] = Future()
        future.set_result(ScoredChunk(known, self.identity))
        return future


def score_on_cluster(
    images: Sequence[Path], job: ScoreJob, plan: ScorePlan, journal: MapJournal | None = None
) -> Generator[Outcome]:
    """As :func:`~edge_ad_calibration.scoring.service.score_images`, on the workers of ``plan.cluster``.

    If a worker dies, another one scores its images. If all have died, this waits until a new one comes.
    """
    with ExitStack() as stack:
        stack.enter_context(_explained(plan.cluster))
        client = stack.enter_context(_connected(job, plan))
        executor = stack.enter_context(client.get_executor(pure=False))
        workers = _open_on_workers(executor, _CHUNKS_EACH * _thread_count(client), job, images)
        cache = None if plan.cache is None else stack.enter_context(closing(ScoreCache(plan.cache)))
        find = find_earlier(job, workers.identity, cache, journal)
        entries = stack.enter_context(closing(_entries(images, find, plan.workers)))
        outcomes = stack.enter_context(closing(_outcomes(entries, workers, cache)))
        for path, outcome in zip(images, outcomes, strict=True):
            yield replace(outcome, path=path)


def _open_on_workers(executor: Executor, ahead: int, job: ScoreJob, images: Sequence[Path]) -> _Workers:
    bundle = Path(job.bundle).absolute()
    sealed = SealedJob(replace(job, bundle=bundle), Bundle.open(bundle).manifest.seal)
    visible_here = tuple(image.absolute() for image in images[:_LOOKED_FOR] if image.exists())
    return _Workers(executor, ahead, sealed, executor.submit(describe, sealed, visible_here).result())


def _entries(images: Iterable[Path], find: Find | None, workers: int | None) -> Generator[_Entry]:
    """Yields each image, or its score if that is known. Only for this look-up are the files read on this computer."""
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


@contextmanager
def _connected(job: ScoreJob, plan: ScorePlan) -> Iterator[Any]:
    """A ``distributed.Client`` whose workers all have this version of edge-ad.

    Raises:
        MissingExtraError: Dask is not installed.
        InputError: no cluster answers, it has no workers, or they have another version of edge-ad.
    """
    try:
        from distributed import LocalCluster
    except ImportError as error:
        raise MissingExtraError("Dask", "fleet") from error
    with ExitStack() as stack:
        address = plan.cluster
        if address == LOCAL:
            address = stack.enter_context(
                LocalCluster(
                    n_workers=plan.workers or _processes(job),
                    threads_per_worker=1,
                    host="127.0.0.1",
                    dashboard_address="127.0.0.1:0",
                    worker_dashboard_address="127.0.0.1:0",
                    memory_limit=None,
                    silence_logs=logging.CRITICAL,
                )
            )
        client = _connect(address, plan)
        stack.callback(_hang_up, client)
        _check_versions(client, plan)
        yield client


def _connect(address: Any, plan: ScorePlan, attempts: int = _ATTEMPTS) -> Any:
    """A client of the scheduler at ``address``, which may also be a cluster. Raises :class:`InputError`.

    On a busy machine Dask's start may lose a race with its own reconnecting, and says so with an AssertionError; the
    scheduler of a cluster that this process has started may be slow to answer. Both pass.
    """
    import distributed

    passing = (AssertionError, OSError) if plan.cluster == LOCAL else (AssertionError,)
    client: Any = distributed.Client.__new__(distributed.Client)
    try:
        client.__init__(address, timeout=_CONNECT_S, set_as_default=False)
    except (AssertionError, OSError, ValueError) as error:
        # Left to the garbage collection, it would close while the next client starts, and wait for itself for ever.
        _hang_up(client)
        if isinstance(error, passing) and attempts > 1:
            return _connect(address, plan, attempts - 1)
        raise InputError(
            f"{plan.cluster}: no Dask scheduler answers: expected tcp://HOST:PORT of a running one, "
            f"or local ({one_line(error) or type(error).__name__})"
        ) from error
    return client


@contextmanager
def _explained(cluster: str | None) -> Iterator[None]:
    """Turns what Dask raises into a :class:`DeviceError`. Errors of edge-ad on the workers stay as they are."""
    try:
        yield
    except (EdgeAdError, KeyboardInterrupt):
        raise
    except Exception as error:
        raise DeviceError(f"the cluster {cluster} failed: {one_line(error) or type(error).__name__}") from error


def _thread_count(client: Any) -> int:
    """How many tasks run at the same time; at least one."""
    threads: dict[str, int] = client.nthreads()
    return max(1, sum(threads.values()))


def _hang_up(client: Any) -> None:
    # On a busy machine Dask's close may lose a race with its own reconnecting and say so with an AssertionError.
    # All results are here by then: that is no reason to lose them, nor to hide the error that ended the run.
    with suppress(AssertionError, OSError):
        client.close()


def _processes(job: ScoreJob) -> int:
    """How many engines fit on the cores. An engine without a given number of threads uses all cores."""
    cores = core_count()
    return max(1, cores // (job.engine.threads or cores))


def _check_versions(client: Any, plan: ScorePlan) -> None:
    workers = client.get_versions(packages=[_DISTRIBUTION])["workers"]
    if not workers:
        raise InputError(f"{plan.cluster}: this cluster has no workers: start some with  dask worker {plan.cluster}")
    expected = version(_DISTRIBUTION)
    for address, found in workers.items():
        installed = found["packages"].get(_DISTRIBUTION)
        if installed != expected:
            raise InputError(
                f"the worker {address} has {_DISTRIBUTION} {installed or 'not installed'}, expected {expected}: "
                f"run there  pip install 'edge-ad[calibration,fleet]=={expected}'"
            )
