"""What a calibration promises, in words that a quality engineer can sign."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_ad.bundle.records import Calibration, OrderStatistic

__all__ = ["describe_rank", "image_guarantee", "percent", "pixel_guarantee"]

_ORDINALS = {1: "st", 2: "nd", 3: "rd"}


def image_guarantee(calibration: Calibration) -> str:
    """The promise of the image threshold, one sentence."""
    things = f"{calibration.observation}s"
    return f"At most {percent(calibration.alpha)} of normal {things} are rejected, {_terms(calibration)}."


def pixel_guarantee(calibration: Calibration) -> str:
    """The promise of the pixel threshold, one sentence."""
    things = f"{calibration.observation}s"
    return f"At most {percent(calibration.alpha)} of normal {things} show a region, {_terms(calibration)}."


def describe_rank(statistic: OrderStatistic) -> str:
    """Which of the scores a threshold is, for instance ``the 3rd largest of 700``."""
    rank = statistic.rank
    if rank == 1:
        return f"the largest of {statistic.n:,}"
    ending = "th" if rank % 100 in (11, 12, 13) else _ORDINALS.get(rank % 10, "th")
    return f"the {rank:,}{ending} largest of {statistic.n:,}"


def percent(fraction: float) -> str:
    """A fraction as a percentage, rounded to ten digits to hide the binary tail: ``0.07`` is ``7 %``."""
    return f"{100 * fraction:.10g} %"


def _terms(calibration: Calibration) -> str:
    return (
        f"with {percent(calibration.confidence)} confidence, as long as "
        f"{calibration.observation}s to come are exchangeable with these {calibration.image.n:,}"
    )
