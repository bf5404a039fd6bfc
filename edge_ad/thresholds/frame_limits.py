"""Limits for the look and size of a frame, learned from the normals so that they cost the guarantee next to nothing.

A frame outside its limits is rejected like one above the threshold, so both count into one false-reject rate. Between
the limits and that rate stands one argument (``docs/calibration.md``, "Limits of frames"):

Let a low and a high quantile of the normals' distribution, widened by a fixed factor, be the *true* limits. Nobody
knows them, but they are fixed. Order statistics enclose each quantile, whatever the distribution (distribution-free
confidence intervals for quantiles: Scheffe and Tukey 1945; Wilks 1962, section 11.2). Taken from their outer ends, the
limits that the device keeps are at least as wide as the true ones; taken from their inner ends, the limits that the
calibration counts with are at most as wide. Both hold together except with probability ``risk``. So the score "infinite
outside the true limits, else the model's" is a fixed function of a frame, its order statistic carries the usual
guarantee, and what is done here is stricter: more normals count as rejected, and the device refuses fewer frames.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import msgspec
import numpy as np

from edge_ad.bundle.frame_limits import FrameLimit, FrameLimits, listed
from edge_ad.bundle.records import OrderStatistic
from edge_ad.errors import InputError, named
from edge_ad.sources.frame_name import FrameName
from edge_ad.thresholds.binomial import count_at
from edge_ad.thresholds.order_statistic import attained_confidence

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Literal

    from numpy.typing import NDArray

    from edge_ad.bundle.frame_limits import LimitedValue
    from edge_ad.bundle.records import FrameSize
    from edge_ad.verdict import FrameStatistics

    Side = Literal["both", "low"]

__all__ = [
    "LARGEST_SHARE",
    "LIMIT_NAMES",
    "SMALLEST_SHARE",
    "LearnedLimits",
    "SeenFrames",
    "check_names",
    "learn_limits",
    "limit_name",
    "limits_risk",
]

LIMIT_NAMES = ("brightness", "contrast", "sharpness", "colour", "size")
"""What can be switched off by name; ``size`` is width and height."""

ALL = "all"

SWITCHED_OFF = "switched off"

# The low and the high quantile are p and 1 - p: the smallest p that the normals can enclose from below. Few normals
# enclose them loosely: the second number is the power of the factor, so that few of them count as rejected.
_QUANTILES = ((0.1, 1.0), (0.25, 1.25), (0.5, 2.0))
LARGEST_SHARE = 1e-4
SMALLEST_SHARE = 1e-9


class SeenFrames(Protocol):
    """How normals look, one entry for each. ``statistics``: ``None`` of vectors. ``sizes``: in camera pixels."""

    @property
    def names(self) -> tuple[str, ...]: ...
    @property
    def statistics(self) -> tuple[FrameStatistics, ...] | None: ...
    @property
    def sizes(self) -> tuple[FrameSize, ...] | None: ...
    def __len__(self) -> int: ...


@dataclass(frozen=True, slots=True)
class _Rule:
    """How one value is limited. ``factor``: how far beyond the quantile, in ratios of the value plus ``plus``, or of
    the odds of brightness, bright to dark. ``least``, ``most``: values beyond these are not told apart."""

    factor: float
    sides: Side
    least: float
    most: float = math.inf
    odds_of: float | None = None
    plus: float = 0.0

    def stretch(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Onto a scale on which the factor is a distance."""
        clipped = np.clip(values, self.least, self.most)
        return np.log(clipped + self.plus if self.odds_of is None else clipped / (self.odds_of - clipped))

    def shrink(self, stretched: float) -> float | None:
        """Back again; ``None`` beyond the values that are told apart."""
        ratio = math.exp(min(stretched, 700.0))
        value = ratio - self.plus if self.odds_of is None else self.odds_of * ratio / (1 + ratio)
        return value if self.least < value < self.most else None


# A defect adds contrast and sharpness to a plain part, and to judge it is the model's task: no upper limits there.
_RULES: Mapping[LimitedValue, _Rule] = {
    "brightness": _Rule(factor=6.0, sides="both", least=0.25, most=254.75, odds_of=255.0),
    "contrast": _Rule(factor=4.0, sides="low", least=1e-3),
    "sharpness": _Rule(factor=4.0, sides="low", least=1e-3),
    "colour": _Rule(factor=3.0, sides="both", least=1e-3, most=1.0, plus=0.005),
    "width": _Rule(factor=4.0, sides="both", least=0.5),
    "height": _Rule(factor=4.0, sides="both", least=0.5),
}

# Two ends of each quantile.
_EVENTS = sum(4 if rule.sides == "both" else 2 for rule in _RULES.values())


@dataclass(frozen=True, slots=True)
class LearnedLimits:
    """``limits``: what the device keeps. ``outside``: bool ``(n,)``, which of the normals count as rejected; for each
    value of ``faults`` which of them, and what they would have had to keep."""

    limits: FrameLimits
    outside: NDArray[np.bool_]
    faults: tuple[tuple[LimitedValue, FrameLimit, NDArray[np.intp]], ...] = ()

    def describe_faults(self, normals: SeenFrames) -> str:
        """Which normals lie outside, by value, for a message."""
        return "; ".join(
            f"{which.size} with a {name} outside {limit.text}: {named([normals.names[place] for place in which])}"
            if _has_room(limit)
            else f"so few normal images differ too much in {name} for limits of it{limit.seen}"
            for name, limit, which in self.faults
        )

    def counting(self, observations: NDArray[np.bool_] | None) -> LearnedLimits:
        """The same, with how many observations are outside in the record."""
        count = 0 if observations is None else int(observations.sum())
        return replace(self, limits=msgspec.structs.replace(self.limits, outside=count))

    @property
    def option(self) -> str:
        """The option that switches these limits off."""
        names = dict.fromkeys(limit_name(name) for name, _, _ in self.faults)
        return " ".join(f"--no-frame-limits {name}" for name in names)


def _has_room(limit: FrameLimit) -> bool:
    return limit.lowest is None or limit.highest is None or limit.lowest < limit.highest


def limit_name(value: LimitedValue) -> str:
    """The name by which the limits of a value are switched off."""
    return "size" if value in {"width", "height"} else value


def limits_risk(rank: int, n: int, alpha: float, confidence: float) -> float:
    """How much of the risk ``1 - confidence`` the limits may use: a ten-thousandth, and no more than the rank leaves.

    A billionth of the risk is always there: the rank itself is found no more exactly.
    """
    risk = 1 - confidence
    left = attained_confidence(OrderStatistic(threshold=0.0, rank=rank, n=n), alpha) - confidence
    return min(LARGEST_SHARE * risk, max(left, SMALLEST_SHARE * risk))


def learn_limits(
    normals: SeenFrames,
    one_each: Sequence[int],
    risk: float,
    *,
    with_size: bool,
    off: Sequence[str] = (),
    reach: int = 0,
) -> LearnedLimits | None:
    """The limits of frames, and which normals count as rejected because of them; ``None`` of vectors.

    Args:
        normals: of one station, with how they look.
        one_each: places in ``normals``, one for each observation: what quantiles are taken from.
        risk: the chance that what is promised of the limits fails.
        with_size: whether frames may be of any size, so that size has limits too.
        off: names of :data:`LIMIT_NAMES` to go without, or ``all``.
        reach: how many frames before its own a clip's score is about.
    """
    if normals.statistics is None:
        return None
    found = _values(normals, with_size=with_size)
    values: dict[LimitedValue, FrameLimit] = {}
    without: dict[LimitedValue, str] = {}
    faults: list[tuple[LimitedValue, FrameLimit, NDArray[np.intp]]] = []
    for name, all_values in found.items():
        if {ALL, limit_name(name)} & set(off):
            without[name] = SWITCHED_OFF
            continue
        ends = _enclosed(_RULES[name].stretch(all_values[list(one_each)]), risk / _EVENTS)
        if ends is None:
            without[name] = f"too few normals: {_fewest(risk / _EVENTS)} are needed"
            continue
        values[name], counted = _limit_pair(_RULES[name], ends, all_values)
        broken = np.flatnonzero([not counted.holds(value) for value in all_values.tolist()])
        if broken.size:
            faults.append((name, counted, broken))
    outside = _outside(normals, [which for _, _, which in faults], reach)
    used = risk if values else 0.0
    return LearnedLimits(FrameLimits(values=values, off=without, risk=used), outside, tuple(faults))


def check_names(off: Sequence[str]) -> None:
    """Raises :class:`InputError` unless each is one of :data:`LIMIT_NAMES`, or ``all``."""
    for name in off:
        if name not in {ALL, *LIMIT_NAMES}:
            raise InputError(f"frames have no limits of {name!r} to go without: expected {listed([*LIMIT_NAMES, ALL])}")


def _values(normals: SeenFrames, *, with_size: bool) -> dict[LimitedValue, NDArray[np.float64]]:
    looks = normals.statistics or ()
    found: dict[LimitedValue, NDArray[np.float64]] = {
        "brightness": np.array([one.brightness for one in looks], np.float64),
        "contrast": np.array([one.contrast for one in looks], np.float64),
        "sharpness": np.array([one.sharpness for one in looks], np.float64),
    }
    colours = [one.colour for one in looks if one.colour is not None]
    if len(colours) == len(looks):
        found["colour"] = np.array(colours, np.float64)
    if with_size and normals.sizes is not None:
        found["width"] = np.array([one.width for one in normals.sizes], np.float64)
        found["height"] = np.array([one.height for one in normals.sizes], np.float64)
    return found


@dataclass(frozen=True, slots=True)
class _Ends:
    """What encloses the low quantile, ``low[0]`` to ``low[1]``, and the high one. ``power``: of the factor."""

    low: tuple[float, float]
    high: tuple[float, float]
    power: float


def _enclosed(values: NDArray[np.float64], risk: float) -> _Ends | None:
    """Encloses a low and a high quantile, each end wrong with probability ``risk`` at most; ``None``: too few values.

    The a-th smallest of n values lies above the p-quantile with probability ``P(Bin(n, p) < a)`` at most, and the b-th
    below it with ``P(Bin(n, p) >= b)``.
    """
    ascending, n = np.sort(values), values.size
    for p, power in _QUANTILES:
        a, b = count_at(risk, n, p), count_at(1 - risk, n, p) + 1
        if a >= 1 and b <= n:
            low = (float(ascending[a - 1]), float(ascending[b - 1]))
            return _Ends(low, (float(ascending[n - b]), float(ascending[n - a])), power)
    return None


def _fewest(risk: float) -> int:
    """How many normals it takes to enclose a quantile: the median, by the smallest and the largest of them."""
    return math.ceil(math.log(risk) / math.log(0.5))


def _limit_pair(rule: _Rule, ends: _Ends, values: NDArray[np.float64]) -> tuple[FrameLimit, FrameLimit]:
    """The limits that the device keeps, and those that the calibration counts with."""
    margin, both = ends.power * math.log(rule.factor), rule.sides == "both"
    seen = (float(values.min()), float(values.max()))

    def limit(low: float, high: float) -> FrameLimit:
        return FrameLimit(
            lowest=rule.shrink(low - margin),
            highest=rule.shrink(high + margin) if both else None,
            seen_lowest=seen[0],
            seen_highest=seen[1],
        )

    return limit(ends.low[0], ends.high[1]), limit(ends.low[1], ends.high[0])


def _outside(normals: SeenFrames, broken: Sequence[NDArray[np.intp]], reach: int) -> NDArray[np.bool_]:
    """Which normals count as rejected. A clip is refused for any of its frames: so are those up to ``reach`` later."""
    outside = np.zeros(len(normals), np.bool_)
    for which in broken:
        outside[which] = True
    if not reach or not outside.any():
        return outside
    frames = [FrameName.parse(name) for name in normals.names]
    bad = [(frames[place].file, frames[place].index or 0) for place in np.flatnonzero(outside)]
    for place, frame in enumerate(frames):
        index = frame.index or 0
        outside[place] |= any(frame.file == file and at <= index <= at + reach for file, at in bad)
    return outside
