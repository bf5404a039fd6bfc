"""What a calibration promises, in words that a quality engineer can sign."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_ad.bundle.frame_limits import listed
from edge_ad.bundle.records import FixedThreshold, MadThreshold, OrderStatistic, TailThreshold

if TYPE_CHECKING:
    from edge_ad.bundle.records import Calibration, Threshold

__all__ = [
    "about_objects",
    "about_refused",
    "describe_rank",
    "describe_threshold",
    "image_guarantee",
    "percent",
    "pixel_guarantee",
]

_ORDINALS = {1: "st", 2: "nd", 3: "rd"}


def image_guarantee(calibration: Calibration) -> str:
    """What the image threshold promises, or that nothing is promised or shown, and why."""
    if calibration.doubt:
        return f"Not shown: {_claim(calibration, calibration.image, 'are rejected')}. {calibration.doubt}"
    return _statement(calibration, calibration.image, "are rejected")


def pixel_guarantee(calibration: Calibration) -> str | None:
    """What the pixel threshold promises; ``None`` where there is none."""
    if calibration.pixel is None:
        return None
    area = f" of {calibration.min_area_px:,} px or more" if calibration.min_area_px else ""
    what = f"show a region{area}"
    if calibration.doubt:
        return f"Not shown, for the same reason: {_claim(calibration, calibration.pixel, what)}."
    return _statement(calibration, calibration.pixel, what)


def about_objects(calibration: Calibration) -> list[str]:
    """What a promise about objects does not say of their frames."""
    if calibration.observation != "object":
        return []
    return ["This is about single objects: a frame is rejected when any of its objects is, which happens more often."]


def about_refused(calibration: Calibration) -> list[str]:
    """That a frame outside its limits counts as a reject."""
    limits = calibration.frame_limits
    if limits is None or not limits.values:
        return []
    return [f"A frame outside the limits of {listed(limits.values)} is refused; this counts as a reject."]


def describe_threshold(found: Threshold, what: str = "scores") -> str:
    """Where a threshold comes from, for instance ``the 3rd largest of 700 scores``."""
    match found:
        case OrderStatistic():
            return f"{describe_rank(found)} {what}"
        case TailThreshold():
            return f"extrapolated by a model from the {found.exceedances:,} largest of {found.n:,} {what}"
        case FixedThreshold():
            return f"chosen by a person; {found.above:,} of {found.n:,} {what} lie above"
        case MadThreshold():
            return f"{(found.threshold - found.median) / found.mad:g} deviations above the median of {found.n:,} {what}"
    return f"from {found.n:,} {what}"


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


def _claim(calibration: Calibration, found: Threshold, what: str) -> str:
    """What would be promised, without its conditions."""
    rate = f"{100 * found.bound:.3g} %" if isinstance(found, FixedThreshold) else percent(calibration.alpha or 0)
    confidence = percent(calibration.confidence or 0)
    return f"at most {rate} of normal {calibration.observation}s {what}, with {confidence} confidence"


def _statement(calibration: Calibration, found: Threshold, what: str) -> str:
    things = f"{calibration.observation}s"
    claim = _claim(calibration, found, what)
    exchangeable = f"as long as {things} to come are exchangeable with these {found.n:,}"
    match found:
        case OrderStatistic():
            return f"{claim[0].upper()}{claim[1:]}, {exchangeable}."
        case TailThreshold():
            return (
                f"Extrapolated by a model, not guaranteed: {claim} if the scores' tail is a generalized Pareto law, "
                f"{exchangeable}."
            )
        case FixedThreshold():
            return (
                f"{claim[0].upper()}{claim[1:]}, if the threshold was chosen without these {found.n:,} {things} and "
                f"{exchangeable.replace(f' {found.n:,}', '')}."
            )
    return f"For a first look: nothing is promised about how many normal {things} {what}."
