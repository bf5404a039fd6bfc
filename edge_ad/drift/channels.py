"""The figures of a frame that are watched for drift, each compared with that figure of the calibration's normals."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edge_ad.bundle.records import FixedCalibration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from edge_ad.bundle import Calibration
    from edge_ad.drift.settings import DriftSettings

__all__ = [
    "LEVELS",
    "ODDS",
    "STATISTICS",
    "Channel",
    "Edge",
    "Side",
    "channels",
    "exceedance_bound",
    "largest",
    "smallest",
]


LEVELS = (0.5, 0.2, 0.05, 0.01)
"""Which shares of the calibration's values are looked at, from either end."""

ODDS = (1.5, 4.0, 32.0)
"""By how much the odds of lying beyond an edge rise in the drifts that are bet on: slight, plain, drastic."""


@dataclass(frozen=True, slots=True)
class Edge:
    """A value, and the bound on the share of frames beyond it when nothing has drifted."""

    value: float
    limit: float

    def factor(self, odds: float, *, beyond: bool) -> float:
        """What a bet on ``odds`` times the bound's odds is multiplied by: a likelihood ratio, of mean 1 or less."""
        return (odds if beyond else 1.0) / (1 + (odds - 1) * self.limit)


@dataclass(frozen=True, slots=True)
class Side:
    """The edges at one end of the calibration's values. ``name``: what is wrong when its bets win."""

    name: str
    edges: tuple[Edge, ...]
    above: bool

    @property
    def bets(self) -> int:
        return len(self.edges) * len(ODDS)

    def factors(self, value: float) -> list[float]:
        """One per bet. A value that equals an edge is not beyond it, so that ties never speak for drift."""
        found = []
        for edge in self.edges:
            beyond = value > edge.value if self.above else value < edge.value
            found += [edge.factor(odds, beyond=beyond) for odds in ODDS]
        return found


class Channel:
    """From a frame's figure to what it does to all bets on this figure, by table."""

    def __init__(self, *sides: Side) -> None:
        self.sides = sides
        self._edges = sorted({edge.value for side in sides for edge in side.edges})
        # On an edge, or between two: in each of these 2m + 1 cells all values fare alike.
        self._table = [np.concatenate([side.factors(value) for side in sides]) for value in _samples(self._edges)]

    @property
    def bets(self) -> int:
        return sum(side.bets for side in self.sides)

    def factors(self, value: float) -> NDArray[np.float64]:
        """float64 ``(bets,)``, side by side; not to be written to."""
        return self._table[bisect_left(self._edges, value) + bisect_right(self._edges, value)]


def largest(name: str, values: Sequence[float], risk: float, defect_rate: float) -> Side:
    """The upper end of the calibration's ``values``, ascending; all of its limits hold with ``1 - risk``."""
    ranks = _ranks(len(values))
    edges = (Edge(values[-rank], _limit(rank, len(values), risk / len(ranks), defect_rate)) for rank in ranks)
    return Side(name, tuple(edges), above=True)


def smallest(name: str, values: Sequence[float], risk: float, defect_rate: float) -> Side:
    """As :func:`largest`, the lower end."""
    ranks = _ranks(len(values))
    edges = (Edge(values[rank - 1], _limit(rank, len(values), risk / len(ranks), defect_rate)) for rank in ranks)
    return Side(name, tuple(edges), above=False)


def _ranks(n: int) -> list[int]:
    return sorted({max(1, int(level * (n + 1))) for level in LEVELS})


def _limit(rank: int, n: int, risk: float, defect_rate: float) -> float:
    return defect_rate + (1 - defect_rate) * exceedance_bound(rank, n, risk)


def _samples(edges: Sequence[float]) -> list[float]:
    """A value of every cell, ascending."""
    samples = [-np.inf]
    for edge, following in zip(edges, [*edges[1:], np.inf], strict=True):
        samples += [edge, np.nextafter(edge, following)]
    return [float(value) for value in samples]


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


_HALVINGS = 60


def exceedance_bound(rank: int, n: int, risk: float) -> float:
    """The bound that the chance of exceeding the ``rank``-th largest of ``n`` values keeps with ``1 - risk``.

    That chance is fixed once the ``n`` values are drawn, and it is itself random: ``Beta(rank, n + 1 - rank)`` for
    i.i.d. continuous values, smaller with ties (Wilks 1941; Vovk 2012). The bound is that law's upper quantile, the
    Clopper-Pearson limit: the ``b`` with ``P(Bin(n, b) < rank) = risk``. By symmetry it serves the smallest
    values too.
    """
    k = np.arange(rank)
    log_choose = np.concatenate(([0.0], np.cumsum(np.log(n - k[:-1]) - np.log(k[1:]))))
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if middle in (0.0, 1.0):
            break
        chance = np.exp(log_choose + k * np.log(middle) + (n - k) * np.log1p(-middle)).sum()
        low, high = (middle, high) if chance > risk else (low, middle)
    return high
