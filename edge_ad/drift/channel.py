"""One figure of a frame, compared with the same figure of the calibration's normals."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edge_ad.drift.limits import exceedance_limit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["LEVELS", "ODDS", "Channel", "Edge", "Side", "largest", "smallest"]

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
    return defect_rate + (1 - defect_rate) * exceedance_limit(rank, n, risk)


def _samples(edges: Sequence[float]) -> list[float]:
    """A value of every cell, ascending."""
    samples = [-np.inf]
    for edge, following in zip(edges, [*edges[1:], np.inf], strict=True):
        samples += [edge, np.nextafter(edge, following)]
    return [float(value) for value in samples]
