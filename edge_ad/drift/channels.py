"""What a calibration lets be watched, and with which limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_ad.bundle.records import FixedCalibration
from edge_ad.drift.channel import Channel, Edge, Side, largest, smallest

if TYPE_CHECKING:
    from edge_ad.bundle import Calibration
    from edge_ad.drift.settings import DriftSettings

__all__ = ["STATISTICS", "channels"]

STATISTICS = ("brightness", "contrast", "sharpness")

# For a calibration that names none.
_CONFIDENCE = 0.95


def channels(calibration: Calibration, settings: DriftSettings) -> list[Channel]:
    """The score's channel and, where the calibration has a reference for them, those of the frame statistics.

    The calibration's own confidence is shared out, so that all limits taken from its values hold together with it.
    """
    reference = calibration.frame_reference
    figures = {name: getattr(reference, name) for name in STATISTICS} if reference else {}
    risk = (1 - (calibration.confidence or _CONFIDENCE)) / (2 * (1 + len(figures)))
    defects = settings.defect_rate
    score = [*_rejects(calibration, defects), largest("score higher", calibration.scores, risk, defects)]
    # The highest score of a part's frames, or of a frame's objects, says nothing about how low the others may lie.
    if calibration.observation != "part" and calibration.part_by is None:
        score.append(smallest("score lower", calibration.scores, risk, defects))
    return [
        Channel(*score),
        *(
            Channel(largest(f"{name} higher", values, risk, defects), smallest(f"{name} lower", values, risk, defects))
            for name, values in figures.items()
        ),
    ]


def _rejects(calibration: Calibration, defect_rate: float) -> list[Side]:
    """Rejects against the rate that the calibration promises: where that is exceeded, an alarm is no false one."""
    promised = calibration.image.bound if isinstance(calibration, FixedCalibration) else calibration.alpha
    if promised is None:
        return []
    limit = defect_rate + (1 - defect_rate) * promised
    return [Side("more rejects", (Edge(calibration.image.threshold, limit),), above=True)]
