"""A Dask cluster: reached or started, and found fit for the job. The one module that knows Dask."""

from __future__ import annotations

import logging
from contextlib import ExitStack, contextmanager, suppress
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from edge_ad.errors import DeviceError, EdgeAdError, InputError, MissingExtraError, one_line
from edge_ad_metrics.machine import core_count

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge_ad_calibration.scoring.job import ScoreJob, ScorePlan

__all__ = ["LOCAL", "connected", "explained", "thread_count"]

LOCAL = "local"

_CONNECT_S = 10
_DISTRIBUTION = "edge-ad"


@contextmanager
def connected(job: ScoreJob, plan: ScorePlan) -> Iterator[Any]:
    """A ``distributed.Client`` whose workers all have this version of edge-ad.

    Raises:
        MissingExtraError: Dask is not installed.
        InputError: no such cluster, one without workers, or with another version of edge-ad.
    """
    try:
        from distributed import Client, LocalCluster
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
        try:
            client = Client(address, timeout=_CONNECT_S, set_as_default=False)
        except (OSError, ValueError) as error:
            raise InputError(
                f"{plan.cluster}: no Dask scheduler answers: expected tcp://HOST:PORT of a running one, "
                f"or local ({one_line(error) or type(error).__name__})"
            ) from error
        stack.callback(_hang_up, client)
        _check_versions(client, plan)
        yield client


@contextmanager
def explained(cluster: str | None) -> Iterator[None]:
    """Whatever Dask raises becomes a :class:`DeviceError`; edge-ad's own errors come through from the workers."""
    try:
        yield
    except (EdgeAdError, KeyboardInterrupt):
        raise
    except Exception as error:
        raise DeviceError(f"the cluster {cluster} failed: {one_line(error) or type(error).__name__}") from error


def thread_count(client: Any) -> int:
    """How many tasks run at once, at least one."""
    threads: dict[str, int] = client.nthreads()
    return max(1, sum(threads.values()))


def _hang_up(client: Any) -> None:
    # On a busy machine Dask's close may lose a race with its own reconnecting and say so with an AssertionError.
    # All results are here by then: that is no reason to lose them, nor to hide the error that ended the run.
    with suppress(AssertionError, OSError):
        client.close()


def _processes(job: ScoreJob) -> int:
    """As many engines as the cores bear; one that is given no number of threads takes them all."""
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
