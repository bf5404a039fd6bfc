"""The binomial law as a guarantee needs it: its tails to the last digits, and the limits that follow from them."""

from __future__ import annotations

import math
from bisect import bisect_left

import numpy as np

__all__ = ["chance_below", "chance_reached", "count_at", "exceedance_bound"]

_HALVINGS = 60
_NOTHING = 1e-18


def chance_reached(rank: int, n: int, p: float) -> float:
    """``P(Bin(n, p) >= rank)``, for ``p`` between 0 and 1, neither included."""
    if rank <= 0:
        return 1.0
    if rank > n:
        return 0.0
    return _upward(rank, n, p) if rank > n * p else 1 - _downward(rank - 1, n, p)


def chance_below(rank: int, n: int, p: float) -> float:
    """``P(Bin(n, p) < rank)``, for ``p`` between 0 and 1, neither included."""
    if rank <= 0:
        return 0.0
    if rank > n:
        return 1.0
    return 1 - _upward(rank, n, p) if rank > n * p else _downward(rank - 1, n, p)


def count_at(chance: float, n: int, p: float) -> int:
    """The smallest count ``k`` with ``P(Bin(n, p) <= k) >= chance``."""
    return bisect_left(range(n), True, key=lambda k: chance_below(k + 1, n, p) >= chance)


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


def _upward(k: int, n: int, p: float) -> float:
    """The chances of ``k`` to ``n`` together. ``k`` is above the mean, so that they fall from the first one on."""
    first, odds, term, total = _chance_of(k, n, p), p / (1 - p), 1.0, 1.0
    for j in range(k, n):
        term *= (n - j) / (j + 1) * odds
        total += term
        if term < _NOTHING * total:
            break
    return first * total


def _downward(k: int, n: int, p: float) -> float:
    """The chances of 0 to ``k`` together. ``k`` is not above the mean, so that they fall from the last one on."""
    first, odds, term, total = _chance_of(k, n, p), (1 - p) / p, 1.0, 1.0
    for j in range(k, 0, -1):
        term *= j / (n - j + 1) * odds
        total += term
        if term < _NOTHING * total:
            break
    return first * total


def _chance_of(k: int, n: int, p: float) -> float:
    """``P(Bin(n, p) = k)`` by Loader's saddle-point expansion (2000), which loses no digits where ``n`` is large."""
    if k == 0:
        return math.exp(n * math.log1p(-p))
    if k == n:
        return math.exp(n * math.log(p))
    spread = _stirling(n) - _stirling(k) - _stirling(n - k) - _deviance(k, n * p) - _deviance(n - k, n * (1 - p))
    return math.exp(spread) * math.sqrt(n / (2 * math.pi * k * (n - k)))


def _stirling(n: int) -> float:
    """What Stirling's formula lacks of ``log n!``."""
    if n < 16:
        return math.lgamma(n + 1) - (n + 0.5) * math.log(n) + n - 0.5 * math.log(2 * math.pi)
    square = float(n) * n
    return (1 / 12 - (1 / 360 - (1 / 1260 - (1 / 1680 - 1 / 1188 / square) / square) / square) / square) / n


def _deviance(x: float, mean: float) -> float:
    """``x log(x / mean) + mean - x``, also where the two are nearly the same."""
    if abs(x - mean) >= 0.1 * (x + mean):
        return x * math.log(x / mean) + mean - x
    ratio = (x - mean) / (x + mean)
    total, part, square = (x - mean) * ratio, 2 * x * ratio, ratio * ratio
    for j in range(1, 1_000):
        part *= square
        following = total + part / (2 * j + 1)
        if following == total:
            break
        total = following
    return total
