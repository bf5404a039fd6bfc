"""How much of a promise the limits of frames may use, by the method that makes the threshold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_ad.errors import InputError
from edge_ad.thresholds.frame_limits import LARGEST_SHARE, SMALLEST_SHARE, limits_risk
from edge_ad.thresholds.order_statistic import largest_rank, smallest_n
from edge_ad.thresholds.wording import percent
from edge_ad_calibration.thresholds.methods import ByFixed, ByRank

if TYPE_CHECKING:
    from edge_ad.thresholds.frame_limits import LearnedLimits
    from edge_ad_calibration.normals.measured import Normals
    from edge_ad_calibration.normals.parts import Observations
    from edge_ad_calibration.thresholds.methods import Method

__all__ = ["check_outside", "largest_risk"]


def largest_risk(method: Method, n: int, alpha: float, confidence: float) -> float:
    """How much of the risk ``1 - confidence`` the limits may use: a ten-thousandth, and no more than the rank leaves.

    The methods without a guarantee
    promise nothing that could be less; the bound of a fixed threshold leaves nothing over.
    """
    risk = 1 - confidence
    rank = _rank(method, n, alpha, confidence)
    if not rank:
        return (SMALLEST_SHARE if isinstance(method, ByFixed) else LARGEST_SHARE) * risk
    return limits_risk(rank, n, alpha, confidence)


def check_outside(
    method: Method,
    observations: Observations,
    learned: LearnedLimits,
    normals: Normals,
    alpha: float,
    confidence: float,
) -> None:
    """Raises :class:`InputError` where more normals lie outside the limits than the rank lets be rejected."""
    outside = 0 if observations.outside is None else int(observations.outside.sum())
    rank = _rank(method, observations.scores.size, alpha, confidence)
    if not rank or outside < rank:
        return
    raise InputError(
        f"{outside:,} of {observations.scores.size:,} normal {observations.kind}s lie outside the limits that frames "
        f"would get, and {percent(alpha)} false rejects leave room for {rank - 1:,}: "
        f"{learned.describe_faults(normals)}. Take out with --exclude what is no normal image, or go without these "
        f"limits: {learned.option}"
    )


def _rank(method: Method, n: int, alpha: float, confidence: float) -> int:
    """The rank that will be the threshold; 0 where the method has none, or there are too few normals for one."""
    if not isinstance(method, ByRank) or n < smallest_n(alpha, confidence, method.rank or 1):
        return 0
    return method.rank or largest_rank(n, alpha, confidence)
