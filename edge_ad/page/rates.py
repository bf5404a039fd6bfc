"""A rate that was observed, and the exact limits of what it may be."""

from __future__ import annotations

from functools import lru_cache

import msgspec

from edge_ad.thresholds.binomial import exceedance_bound

__all__ = ["CONFIDENCE", "Rate", "observed_rate"]

CONFIDENCE = 0.95
"""Of each of the two limits by itself, unless another one is asked for."""


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """``count`` of ``of``. The true rate is at least ``low`` with the confidence that was asked for, and at most
    ``high`` with the same; from 0 to 1. Without any observation the limits are 0 and 1.
    """

    count: int
    of: int
    low: float
    high: float


@lru_cache(256)
def observed_rate(count: int, of: int, confidence: float = CONFIDENCE) -> Rate:
    """The rate with its limits of Clopper and Pearson (1934), which are exact for a binomial law.

    ``confidence``: of each limit by itself; with 0.975 both of them together hold with 0.95.

    Raises:
        ValueError: not ``0 <= count <= of``.
    """
    if not 0 <= count <= of:
        raise ValueError(f"expected a count from 0 to {of}, found {count}")
    risk = 1 - confidence
    high = 1.0 if count == of else exceedance_bound(count + 1, of, risk)
    low = 0.0 if count == 0 else 1 - exceedance_bound(of - count + 1, of, risk)
    return Rate(count=count, of=of, low=low, high=high)
