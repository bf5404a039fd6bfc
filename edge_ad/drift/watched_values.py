"""What is watched for drift: values of each frame, each compared with that value of the calibration's normals."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edge_ad.bundle.records import FixedCalibration
from edge_ad.errors import InputError
from edge_ad.thresholds.binomial import exceedance_bound

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from edge_ad.bundle import Calibration

__all__ = [
    "LEVELS",
    "ODDS_RATIOS",
    "STATISTICS",
    "Cutoff",
    "DriftSettings",
    "Tail",
    "WatchedValue",
    "lower_tail",
    "upper_tail",
    "watched_values",
]

LEVELS = (0.5, 0.2, 0.05, 0.01)
"""Which shares of the calibration's values are looked at, from either end."""

ODDS_RATIOS = (1.5, 4.0, 32.0)
"""The alternatives that are tested: by how much the odds of lying beyond a cutoff rise in a slight, a plain and a
drastic drift."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftSettings:
    """What is promised about false alarms.

    ``run_length``: frames that pass on average, at least, before ``RECALIBRATE`` where nothing has drifted.
    ``defect_rate``: the share of parts that may really be defective. Held-out normals know nothing of those, and
    without this allowance every defect would count as drift.

    Raises:
        InputError: a figure is out of range.
    """

    run_length: int = 1_000_000
    defect_rate: float = 0.01

    def __post_init__(self) -> None:
        if self.run_length < 10_000:
            raise InputError(
                f"a run length of {self.run_length} frames without a false alarm is too short to tell drift from "
                "chance: expected 10000 or more"
            )
        if not 0 <= self.defect_rate < 0.5:
            raise InputError(
                f"expected a share of defective parts from 0 to below 0.5, such as 0.01, found {self.defect_rate:g}"
            )


@dataclass(frozen=True, slots=True)
class Cutoff:
    """A value, and the upper bound on the share of frames beyond it when nothing has drifted."""

    value: float
    bound: float

    def e_value(self, odds_ratio: float, *, beyond: bool) -> float:
        """A frame's e-value: the likelihood ratio of the drift that multiplies the bound's odds by ``odds_ratio``.

        Its mean is at most 1 as long as the bound holds.
        """
        return (odds_ratio if beyond else 1.0) / (1 + (odds_ratio - 1) * self.bound)


@dataclass(frozen=True, slots=True)
class Tail:
    """The cutoffs in one tail of the calibration's values. ``name``: the cause of drift that they speak for."""

    name: str
    cutoffs: tuple[Cutoff, ...]
    above: bool

    @property
    def size(self) -> int:
        """How many e-values a frame has here."""
        return len(self.cutoffs) * len(ODDS_RATIOS)

    def e_values(self, value: float) -> list[float]:
        """One for each cutoff and odds ratio. A value that equals a cutoff is not beyond it: ties never speak for
        drift."""
        found = []
        for cutoff in self.cutoffs:
            beyond = value > cutoff.value if self.above else value < cutoff.value
            found += [cutoff.e_value(odds_ratio, beyond=beyond) for odds_ratio in ODDS_RATIOS]
        return found


class WatchedValue:
    """One of the values that are watched, such as the score or the brightness: its e-values, by table."""

    def __init__(self, *tails: Tail) -> None:
        self.tails = tails
        self._cutoffs = sorted({cutoff.value for tail in tails for cutoff in tail.cutoffs})
        # On a cutoff, or between two: within each of these 2m + 1 intervals all values have the same e-values.
        self._table = [np.concatenate([tail.e_values(value) for tail in tails]) for value in _samples(self._cutoffs)]

    @property
    def size(self) -> int:
        """How many e-values a frame has here."""
        return sum(tail.size for tail in self.tails)

    def e_values(self, value: float) -> NDArray[np.float64]:
        """float64 ``(size,)``, tail by tail; not to be written to."""
        return self._table[bisect_left(self._cutoffs, value) + bisect_right(self._cutoffs, value)]


def upper_tail(name: str, values: Sequence[float], risk: float, defect_rate: float) -> Tail:
    """The upper tail of the calibration's ``values``, ascending; all of its bounds hold with ``1 - risk``."""
    ranks = _ranks(len(values))
    cutoffs = (Cutoff(values[-rank], _bound(rank, len(values), risk / len(ranks), defect_rate)) for rank in ranks)
    return Tail(name, tuple(cutoffs), above=True)


def lower_tail(name: str, values: Sequence[float], risk: float, defect_rate: float) -> Tail:
    """As :func:`upper_tail`, the lower one."""
    ranks = _ranks(len(values))
    cutoffs = (Cutoff(values[rank - 1], _bound(rank, len(values), risk / len(ranks), defect_rate)) for rank in ranks)
    return Tail(name, tuple(cutoffs), above=False)


def _ranks(n: int) -> list[int]:
    return sorted({max(1, int(level * (n + 1))) for level in LEVELS})


def _bound(rank: int, n: int, risk: float, defect_rate: float) -> float:
    return defect_rate + (1 - defect_rate) * exceedance_bound(rank, n, risk)


def _samples(cutoffs: Sequence[float]) -> list[float]:
    """A value of every interval, ascending."""
    samples = [-np.inf]
    for cutoff, following in zip(cutoffs, [*cutoffs[1:], np.inf], strict=True):
        samples += [cutoff, np.nextafter(cutoff, following)]
    return [float(value) for value in samples]


STATISTICS = ("brightness", "contrast", "sharpness")

# For a calibration that names none.
_CONFIDENCE = 0.95


def watched_values(calibration: Calibration, settings: DriftSettings) -> list[WatchedValue]:
    """The score and, where the calibration has a reference for them, the frame statistics.

    The calibration's own confidence is shared out, so that all bounds taken from its values hold together with it.
    """
    reference = calibration.frame_reference
    statistics = {name: getattr(reference, name) for name in STATISTICS} if reference else {}
    risk = (1 - (calibration.confidence or _CONFIDENCE)) / (2 * (1 + len(statistics)))
    defects = settings.defect_rate
    score = [*_rejects(calibration, defects), upper_tail("score higher", calibration.scores, risk, defects)]
    # The highest score of a part's frames, or of a frame's objects, says nothing about how low the others may lie.
    if calibration.observation != "part" and calibration.part_by is None:
        score.append(lower_tail("score lower", calibration.scores, risk, defects))
    return [
        WatchedValue(*score),
        *(
            WatchedValue(
                upper_tail(f"{name} higher", values, risk, defects), lower_tail(f"{name} lower", values, risk, defects)
            )
            for name, values in statistics.items()
        ),
    ]


def _rejects(calibration: Calibration, defect_rate: float) -> list[Tail]:
    """Rejects against the rate that the calibration promises: where that is exceeded, an alarm is no false one."""
    promised = calibration.image.bound if isinstance(calibration, FixedCalibration) else calibration.alpha
    if promised is None:
        return []
    bound = defect_rate + (1 - defect_rate) * promised
    return [Tail("more rejects", (Cutoff(calibration.image.threshold, bound),), above=True)]
