"""Opens the bundle and engine of a job, checks them with the golden frames, and says what the scores depend on."""

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
from edge_ad.scoring.opening import open_proven_scorer
from edge_ad_metrics.machine import core_count, describe_cpu

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge_ad.bundle import Variant
    from edge_ad.scoring.scorer import Scorer
    from edge_ad_calibration.scoring.job import ScoreJob

__all__ = ["Identity", "OpenJob", "identify", "open_job", "opened"]


@dataclass(frozen=True)
class OpenJob:
    """An opened variant. It is not thread-safe, because it holds one engine. ``job``: what it was opened for."""

    job: ScoreJob
    bundle: Bundle
    variant: Variant
    scorer: Scorer

    @cached_property
    def identity(self) -> Identity:
        """What the scores depend on. The first call takes part of a second, because the CPU is queried."""
        return identify(self.bundle, self.variant, self.scorer.engine.info, min_area_px=self.job.min_area_px)

    def close(self) -> None:
        """Frees the memory of the engine."""
        self.scorer.close()


def open_job(job: ScoreJob) -> OpenJob:
    """Opens the variant and replays its golden frames.

    This is not ``Detector.open``, which refuses a bundle with a calibration for another graph: that calibration is
    about to be replaced.

    Raises:
        InputError, BundleError, MissingExtraError, EngineError: as ``Detector.open``.
    """
    bundle = Bundle.open(job.bundle)
    variant = bundle.variant(job.variant)
    # Other threads decode images at the same time and need the cores on which the engine's threads would wait.
    scorer, _ = open_proven_scorer(bundle, variant, replace(job.engine, spin=False))
    return OpenJob(job, bundle, variant, scorer)


@contextmanager
def opened(job: ScoreJob | OpenJob) -> Iterator[OpenJob]:
    """Opens a job for a while. A job that is open already stays open, and its next frame begins a new stream.

    Raises:
        InputError, BundleError, MissingExtraError, EngineError: as :func:`open_job`.
    """
    if isinstance(job, OpenJob):
        job.scorer.reset()
        yield job
        return
    with closing(open_job(job)) as fresh:
        yield fresh


# Clusters often have several models of CPU. Only the last digits of a score may differ, and golden frames check that.
_OF_THE_MACHINE = {"cpu", "cores"}


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """What a score depends on: the artefact, the geometry, and what computes them.

    The engine chooses its kernels by the ``cpu`` and splits the work over the ``cores``, which can change the last
    digits. ``min_area_px`` changes only the peak.
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
        """A hash of all fields, 32 bytes."""
        return hashlib.sha256(msgspec.json.encode(self)).digest()

    def difference(self, other: Identity) -> str | None:
        """The difference in words; ``None`` if only the machine differs or nothing."""
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
