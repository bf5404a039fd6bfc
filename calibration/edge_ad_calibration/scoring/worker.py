"""The code that runs on a Dask worker. Each process opens its own engine once."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from edge_ad.errors import BundleIntegrityError, InputError
from edge_ad_calibration.scoring.job import Outcome, ScoredImage, ScoreJob
from edge_ad_calibration.scoring.measure import Want, score_with
from edge_ad_calibration.scoring.opened import OpenJob, open_job

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge_ad_calibration.scoring.opened import Identity

__all__ = ["Chunk", "ScoredChunk", "SealedJob", "describe", "score_chunk"]

# A worker may run several threads, but an engine is used by one at a time.
_engine = Lock()


@dataclass(frozen=True, slots=True)
class SealedJob:
    """A job with the seal of the bundle's manifest, so that a worker opens a bundle again if it was exported again."""

    job: ScoreJob
    seal: str


@dataclass(frozen=True, slots=True)
class Chunk:
    """Images to score, and others whose outcome is known already. ``expected``: what the scores must depend on."""

    job: SealedJob
    expected: Identity
    images: tuple[Path | ScoredImage, ...]


@dataclass(frozen=True, slots=True)
class ScoredChunk:
    """The outcomes, in the order of the images, and what the scores depend on."""

    outcomes: tuple[Outcome, ...]
    identity: Identity


def describe(job: SealedJob, files: Sequence[Path]) -> Identity:
    """Opens the job on this worker and says what its scores depend on.

    Raises:
        InputError: this worker does not see the bundle, or one of the ``files`` that the client sees.
        EdgeAdError: as :func:`score_chunk`.
    """
    for path in (job.job.bundle, *files):
        if not path.exists():
            raise InputError(
                f"the worker on {socket.gethostname()} does not see {path}: workers must see the bundle and the images "
                "under the same paths, as on a shared file system"
            )
    with _engine:
        return _open(job).identity


def score_chunk(chunk: Chunk) -> ScoredChunk:
    """Scores a chunk's images.

    Raises:
        BundleError: this worker sees another bundle, or its scores would depend on something else than expected.
        EdgeAdError: the bundle cannot be opened here, or the engine failed.
    """
    with _engine:
        opened = _open(chunk.job)
        if unlike := chunk.expected.difference(opened.identity):
            raise BundleIntegrityError(
                f"the worker on {socket.gethostname()} would score differently: {unlike}; install the same versions"
            )
        paths = (image for image in chunk.images if isinstance(image, Path))
        job = chunk.job.job
        fresh = score_with(opened.scorer, paths, Want(map=job.maps, min_area_px=job.min_area_px))
        outcomes = tuple(next(fresh) if isinstance(image, Path) else image for image in chunk.images)
    return ScoredChunk(outcomes, opened.identity)


# Only one bundle is open: the one before is closed when nothing refers to it any more.
@lru_cache(maxsize=1)
def _open(sealed: SealedJob) -> OpenJob:
    from edge_ad.bundle import Bundle

    found = Bundle.open(sealed.job.bundle).manifest.seal
    if found != sealed.seal:
        raise BundleIntegrityError(
            f"the worker on {socket.gethostname()} sees another bundle at {sealed.job.bundle}: expected the seal "
            f"{sealed.seal[:16]}…, found {found[:16]}…; copy the same bundle to both"
        )
    return open_job(sealed.job)
