"""How often the next frames may lie beyond one of the calibration's values when nothing has drifted."""

from __future__ import annotations

import numpy as np

__all__ = ["exceedance_limit"]

_HALVINGS = 60


def exceedance_limit(rank: int, n: int, risk: float) -> float:
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
