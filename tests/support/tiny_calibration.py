"""A calibration that was made up, for tests of what the device does with one."""

from __future__ import annotations

from pathlib import Path

from edge_ad.bundle import DEFAULT_STATION, Bundle, FrameLimit, FrameLimits, write_calibration
from edge_ad.bundle.frame_limits import LimitedValue
from edge_ad.bundle.records import OrderStatistic, RankCalibration

__all__ = ["calibrate"]


def calibrate(
    bundle: Path,
    threshold: float,
    station: str = DEFAULT_STATION,
    variant: str | None = None,
    limits: dict[LimitedValue, FrameLimit] | None = None,
) -> None:
    """Writes a calibration with this threshold into the bundle; without ``limits`` of frames it allows everything."""
    allowed: dict[LimitedValue, FrameLimit] = {"brightness": FrameLimit(), "colour": FrameLimit()}
    statistic = OrderStatistic(threshold=threshold, rank=1, n=3)
    opened = Bundle.open(bundle)
    made = RankCalibration(
        alpha=0.5,
        confidence=0.5,
        image=statistic,
        pixel=statistic,
        scores=(0.1, 0.2, threshold),
        observation="frame",
        images_sha256="a" * 64,
        created="2026-01-01T00:00:00Z",
        producer="tests",
        frame_limits=FrameLimits(values=allowed | (limits or {})),
    )
    write_calibration(opened, opened.variant(variant), station, made)
