"""The warnings that are recorded with a calibration, one sentence each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_ad.bundle.frame_limits import missing_limits
from edge_ad.bundle.records import FixedCalibration, MadCalibration, RankCalibration, TailCalibration
from edge_ad.thresholds.order_statistic import confidence_with_excluded
from edge_ad.thresholds.wording import percent
from edge_ad_calibration.thresholds.groups import describe_difference
from edge_ad_calibration.thresholds.worth import remedy
from edge_ad_metrics.datasets.image_table import named

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge_ad.bundle.records import AnyCalibration, Exclusion
    from edge_ad.thresholds.frame_limits import LearnedLimits
    from edge_ad_calibration.normals.correlation import Stream
    from edge_ad_calibration.normals.leaks import Leak
    from edge_ad_calibration.normals.measured import Duplicate, Normals
    from edge_ad_calibration.normals.parts import Observations
    from edge_ad_calibration.thresholds.groups import Difference
    from edge_ad_calibration.thresholds.worth import AskedPromise

__all__ = [
    "about_confirmed",
    "about_copies",
    "about_groups",
    "about_leaks",
    "about_limits",
    "about_method",
    "about_streams",
    "excluded_sentence",
]


def about_method(calibration: AnyCalibration) -> list[str]:
    """The warning for a method without a guarantee; no warning for the order statistic."""
    match calibration:
        case RankCalibration():
            return []
        case TailCalibration():
            return [
                "the thresholds are extrapolated by a model (generalized Pareto tail) and not guaranteed: for a "
                "guarantee use more normals and the default method"
            ]
        case FixedCalibration():
            return ["the thresholds were chosen by a person; the normals only show how many of them are rejected"]
        case MadCalibration():
            return ["the thresholds are for a first look and promise nothing: calibrate with the default method"]


def about_copies(found: Sequence[Duplicate]) -> list[str]:
    """The warning about exact copies; no warning if there are none."""
    if not found:
        return []
    copies = named([f"{one.image} = {one.same_as}" for one in found])
    return [f"images that are exact copies of others are counted once, found {len(found)}: {copies}"]


def about_streams(streams: Sequence[Stream], observations: Observations, asked: AskedPromise) -> list[str]:
    """The warning about videos whose neighbouring frames score alike but are all counted, and what to do about it."""
    if not streams:
        return []
    things = f"{observations.kind}s"
    where = named([stream.where for stream in streams])
    frames, worth = sum(stream.frames for stream in streams), sum(stream.worth for stream in streams)
    longest = max(stream.length for stream in streams)
    return [
        f"neighbouring {things} of {where} score alike, over about {longest:.1f} {things}: these {frames:,} say about "
        f"as much as {worth:,} independent ones, but all are counted: {remedy(streams, observations, asked)}"
    ]


def about_leaks(leaks: Sequence[Leak], near_duplicates: int, held_out: int, *, excluded: bool) -> list[str]:
    """Warnings about normal images that look like training images, or like one another."""
    cautions = []
    if leaks:
        pairs = named([f"{leak.image} = {leak.training_image} ({leak.correlation:.2f})" for leak in leaks])
        advice = (
            "they are left out"
            if excluded
            else "an image of a part that was used in training scores too low: leave them out with --exclude-leaks"
        )
        cautions.append(f"{len(leaks)} of {held_out} normals look like training images: {pairs}; {advice}")
    if near_duplicates:
        cautions.append(
            f"{near_duplicates} of {held_out} normals look like another normal: if they show the same part, "
            "say with --part-by which images belong to one part"
        )
    return cautions


def about_limits(learned: LearnedLimits | None, normals: Normals) -> list[str]:
    """Warnings about limits of frames that are missing, and about normals outside of those that there are."""
    if learned is None:
        return []
    missing = missing_limits(learned.limits)
    cautions = [] if missing is None else [missing]
    if learned.faults:
        cautions.append(
            f"normals outside the limits of frames are counted as rejected: {learned.describe_faults(normals)}"
        )
    return cautions


def about_groups(difference: Difference | None) -> list[str]:
    """The warning if one guarantee was made for groups whose scores differ."""
    return [describe_difference(difference)] if difference is not None and difference.differ else []


def about_confirmed(scores: Sequence[float], threshold: float) -> list[str]:
    """How many of the frames that a person confirmed as good would be rejected. They do not change the thresholds."""
    if not scores:
        return []
    above = sum(score > threshold for score in scores)
    return [
        f"{len(scores)} confirmed borderline frames are not counted, because they were chosen by their scores; "
        f"{above} of them would be rejected"
    ]


def excluded_sentence(calibration: AnyCalibration, exclusions: Sequence[Exclusion]) -> list[str]:
    """The confidence that is left if the images that a person excluded were good parts after all."""
    by_person = sum(exclusion.by == "person" for exclusion in exclusions)
    if not by_person:
        return []
    images = "1 image was" if by_person == 1 else f"{by_person} images were"
    if not isinstance(calibration, RankCalibration) or calibration.doubt:
        return [f"{images} taken out by a person."]
    reached = confidence_with_excluded(calibration.image, calibration.alpha, by_person)
    return [
        f"{images} taken out by a person; had these been good parts after all, the confidence would be "
        f"{percent(round(reached, 4))}."
    ]
