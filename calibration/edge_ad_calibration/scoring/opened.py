"""A job at work: its bundle, its engine, and proof that they score as they should."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edge_ad.bundle import Bundle
from edge_ad.detector import open_scorer
from edge_ad.golden import replay
from edge_ad_calibration.scoring.identity import Identity, identify

if TYPE_CHECKING:
    from edge_ad.scoring import Scorer
    from edge_ad_calibration.scoring.job import ScoreJob

__all__ = ["OpenJob", "open_job"]


@dataclass(frozen=True, slots=True)
class OpenJob:
    """Not thread-safe: one engine."""

    scorer: Scorer
    identity: Identity

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
        return OpenJob(scorer, identify(bundle, variant, scorer.engine.info, min_area_px=job.min_area_px))
    except BaseException:
        scorer.close()
        raise
