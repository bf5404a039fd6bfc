"""Opens a job: its bundle and engine, checked with the golden frames; and says what its scores depend on."""

from __future__ import annotations

import hashlib
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import cv2
import msgspec

import edge_ad
from edge_ad.bundle import Bundle
from edge_ad.engines.base import EngineInfo
from edge_ad.scoring.golden import replay
from edge_ad.scoring.opening import open_scorer
from edge_ad_metrics.machine import core_count, describe_cpu

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge_ad.bundle import Variant
    from edge_ad.scoring.scorer import Scorer
    from edge_ad_calibration.scoring.job import ScoreJob

__all__ = ["Identity", "OpenJob", "identify", "open_job", "opened"]


@dataclass(frozen=True)
class OpenJob:
    """An opened variant. Not thread-safe: it holds one engine. ``job``: what it was opened for."""

    job: ScoreJob
    bundle: Bundle
    variant: Variant
    scorer: Scorer

    @cached_property
    def identity(self) -> Identity:
        """What the scores depend on. The first call takes part of a second: the CPU is asked what it is."""
        return identify(self.bundle, self.variant, self.scorer.engine.info, min_area_px=self.job.min_area_px)

    def close(self) -> None:
        """Gives the engine's memory back."""
        self.scorer.close()


def open_job(job: ScoreJob) -> OpenJob:
    """Opens the variant and replays its golden frames.

    Not ``Detector.open``: it refuses a bundle whose calibration is stale, which calibrating anew is to replace.

    Raises:
        InputError, BundleError, MissingExtraError, EngineError: as ``Detector.open``.
    """
    bundle = Bundle.open(job.bundle)
    variant = bundle.variant(job.variant)
    # Threads decode beside the engine and need the cores on which its own would wait.
    scorer = open_scorer(bundle, variant, replace(job.engine, spin=False))
    try:
        replay(bundle, variant, scorer)
        return OpenJob(job, bundle, variant, scorer)
    except BaseException:
        scorer.close()
        raise


@contextmanager
def opened(job: ScoreJob | OpenJob) -> Iterator[OpenJob]:
    """The job with its engine open. One that was open before stays open; its next frame begins a new stream.

    Raises:
        InputError, BundleError, MissingExtraError, EngineError: as :func:`open_job`.
    """
    if isinstance(job, OpenJob):
        job.scorer.reset()
        yield job
        return
    with closing(open_job(job)) as fresh:
        yield fresh


# A cluster of several CPU models is common, and what it may cost, the last digits of a score, the golden frames bound.
_OF_THE_MACHINE = {"cpu", "cores"}


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """The artefact, the geometry, and what computes them.

    The engine's kernels are chosen by the ``cpu`` and split over its ``cores``, which can change the last digits.
    ``min_area_px`` changes the peak alone.
    """

    artefact_sha256: str
    geometry_sha256: str
    edge_ad: str
    opencv: str
    engine: EngineInfo
    cpu: str
    cores: int
    min_area_px: int

    @property
    def digest(self) -> bytes:
        """32 bytes that stand for all of it."""
        return hashlib.sha256(msgspec.json.encode(self)).digest()

    def difference(self, other: Identity) -> str | None:
        """What sets the two apart, in words; ``None`` where they differ by the machine at most."""
        mine, theirs = msgspec.to_builtins(self), msgspec.to_builtins(other)
        unlike = [name for name in mine if name not in _OF_THE_MACHINE and mine[name] != theirs[name]]
        return "; ".join(f"{name}: expected {mine[name]}, found {theirs[name]}" for name in unlike) or None


def identify(bundle: Bundle, variant: Variant, engine: EngineInfo, *, min_area_px: int) -> Identity:
    """The identity of an opened variant on this machine."""
    return Identity(
        artefact_sha256=bundle.artefact_sha256(variant),
        geometry_sha256=bundle.geometry_sha256,
        edge_ad=str(edge_ad.__version__),
        opencv=cv2.__version__,
        engine=engine,
        cpu=describe_cpu().model,
        cores=core_count(),
        min_area_px=min_area_px,
    )
