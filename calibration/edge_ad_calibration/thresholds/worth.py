"""What the normals are worth: how many independent, held-out observations they stand for, and what these show.

A guarantee counts its observations as independent. If they are not, what is shown is less than what was asked for,
and this module says how much less, and which options would be accepted instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_ad.bundle.records import FixedCalibration, FixedThreshold, OrderStatistic, RankCalibration
from edge_ad.sources.frame_name import FrameName
from edge_ad.thresholds.correlation import rate_shown
from edge_ad.thresholds.order_statistic import round_up, smallest_alpha, smallest_n

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge_ad.bundle.records import AnyCalibration
    from edge_ad_calibration.normals.correlation import Stream
    from edge_ad_calibration.normals.parts import Observations
    from edge_ad_calibration.normals.selection import Thinning

__all__ = ["AskedPromise", "Worth", "doubt_about", "remedy", "shown_rate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedPromise:
    """What the advice must fit.

    ``alpha``: the false-reject rate that was asked for. ``needed``: how many observations the method needs.
    ``fewest``: how many the smallest station has, because thinning concerns all stations. ``thinning``: how much was
    taken already.
    """

    alpha: float
    confidence: float
    needed: int
    fewest: int
    thinning: Thinning


@dataclass(frozen=True, slots=True, kw_only=True)
class Worth:
    """``n``: the observations. ``repeated``: how many of them look like training images. ``streams``: those whose
    neighbouring frames score alike."""

    n: int
    repeated: int
    streams: tuple[Stream, ...]

    @property
    def independent(self) -> int:
        """About how many independent, held-out observations these are worth; 0 if none was held out."""
        dependent = sum(stream.frames - stream.worth for stream in self.streams)
        return max(0, self.n - self.repeated - dependent)


def shown_rate(rank: int, worth: Worth, confidence: float) -> float:
    """The false-reject rate that the threshold keeps with this confidence, a fraction; 1.0 if nothing is shown.

    The ``rank``-th largest of all scores is at least the ``rank``-th largest of those that were held out. Of
    correlated scores the threshold is taken at the same share of the independent ones.
    """
    independent, held_out = worth.independent, worth.n - worth.repeated
    return rate_shown(rank, held_out, independent, confidence) if independent else 1.0


def doubt_about(made: AnyCalibration, worth: Worth, things: str) -> str | None:
    """Why the guarantee is not shown and what is shown instead; ``None`` if nothing was found against it.

    ``things``: what the observations are called, such as ``frames``.
    """
    if worth.independent == worth.n:
        return None
    match made:
        case RankCalibration(image=OrderStatistic(rank=rank)):
            promised = made.alpha
        case FixedCalibration(image=FixedThreshold(above=above, bound=bound)):
            rank, promised = above + 1, bound
        case _:
            return None
    rate = shown_rate(rank, worth, made.confidence)
    if rate <= promised * (1 + 1e-6):
        return None
    reasons = [f"neighbouring {things} score alike"] if worth.streams else []
    if worth.repeated:
        reasons.append(f"{worth.repeated:,} of them look like training images")
    less = f"The {worth.n:,} {things} are worth about {worth.independent:,} independent ones"
    shown = f"These show a rate of at most {100 * rate:.2g} %" if rate < 1 else "These show nothing"
    return f"{less}, because {' and '.join(reasons)}. {shown}."


def remedy(streams: Sequence[Stream], observations: Observations, asked: AskedPromise) -> str:
    """What to do about frames that score alike: options that are accepted with the numbers at hand, or more frames."""
    parts = f"say which {observations.pictures}s show the same part with --part-by"
    if observations.kind == "object":
        return _for_objects(observations, asked)
    every = max(stream.every for stream in streams)
    rest = observations.scores.size - sum(stream.frames for stream in streams)
    left = sum(stream.frames // every for stream in streams) + rest // every
    left = min(left, max(1, asked.fewest // every))
    thinned = _thinning(every, asked.thinning)
    if left >= asked.needed:
        return f"use {thinned}, which leaves about {left:,} of them ({asked.needed:,} are needed), or {parts}"
    advice = [f"{thinned} would leave only about {left:,} of them, and {asked.needed:,} are needed"]
    advice.append(f"give {every * asked.needed:,} such images or more and use {thinned}")
    rate = round_up(smallest_alpha(left, asked.confidence))
    if smallest_n(asked.alpha, asked.confidence) > left and rate < 1:
        advice[-1] += f", or ask for less with {thinned} --fpr {rate:g}"
    return f"{': '.join(advice)}, or {parts}"


def _for_objects(observations: Observations, asked: AskedPromise) -> str:
    frames = len({FrameName.parse(name).frame for name in observations.names})
    if frames >= asked.needed:
        return "count frames instead of objects with --part-by frame"
    rate = round_up(smallest_alpha(frames, asked.confidence))
    less = f", or also ask for less with --fpr {rate:g}" if rate < 1 else ""
    return (
        f"count frames instead of objects with --part-by frame; these are {frames:,} frames and {asked.needed:,} are "
        f"needed: give more frames{less}"
    )


def _thinning(every: int, present: Thinning) -> str:
    if present.gap_s is not None:
        return f"--gap {present.gap_s * every:g}"
    return f"--every {present.every * every}"
