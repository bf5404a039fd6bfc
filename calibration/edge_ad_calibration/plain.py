"""Thresholds without extrapolation and without a guarantee of their own: a figure, and a look."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import binomtest, median_abs_deviation

from edge_ad.bundle.records import FixedThreshold, MadThreshold
from edge_ad.errors import InputError
from edge_ad_calibration.order_statistic import check_probability, check_scores

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["fixed_threshold", "mad_threshold"]


def fixed_threshold(scores: ArrayLike, value: float, confidence: float, *, what: str = "score") -> FixedThreshold:
    """A chosen threshold, with the exact upper bound on its false-reject rate that the normals give.

    The bound is that of Clopper and Pearson (Biometrika 26 (1934) 404-413). It holds where the threshold was chosen
    without these normals.

    Raises:
        InputError: the scores cannot be used, or ``value`` is not finite.
    """
    check_probability("confidence", confidence)
    if not math.isfinite(value):
        raise InputError(f"a fixed threshold must be a finite number, found {value}")
    checked = check_scores(scores, what)
    above = int(np.sum(checked > value))
    interval = binomtest(above, checked.size, alternative="less").proportion_ci(confidence, method="exact")
    return FixedThreshold(threshold=value, n=checked.size, above=above, bound=float(interval.high))


def mad_threshold(scores: ArrayLike, k: float, *, what: str = "score") -> MadThreshold:
    """``median + k * MAD``, the median absolute deviation being scaled to a normal law's standard deviation.

    Raises:
        InputError: the scores cannot be used, more than half of them are the same, or ``k`` is not above 0.
    """
    if not 0 < k < math.inf:
        raise InputError(f"--k must be a number above 0, such as 5, found {k:g}")
    checked = check_scores(scores, what)
    median, mad = float(np.median(checked)), float(median_abs_deviation(checked, scale="normal"))
    if mad <= 0:
        raise InputError(f"more than half of the {what}s are {median:g}: a deviation from their median says nothing")
    return MadThreshold(threshold=median + k * mad, n=checked.size, median=median, mad=mad)
