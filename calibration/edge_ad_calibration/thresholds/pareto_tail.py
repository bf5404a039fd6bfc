"""Thresholds for rates that the normals cannot promise: peaks over threshold, extrapolated by a model.

Above a high enough ``start`` the excesses of almost any distribution approach a generalized Pareto law (Pickands,
Annals of Statistics 3 (1975) 119-131; Balkema and de Haan 1974). Its quantile gives the score that a share ``alpha``
of normals exceeds, and the profile likelihood of that quantile an interval (S. Coles, "An Introduction to Statistical
Modeling of Extreme Values", Springer 2001, sections 4.3.3 and 4.3.4). The share of normals above ``start`` is taken as
known. All of this is as good as the model: a test of fit can refuse it, nothing can prove it.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edge_ad.bundle.records import TailThreshold
from edge_ad.errors import InputError, NotEnoughNormalsError
from edge_ad.thresholds.order_statistic import check_probability, check_scores
from edge_ad.thresholds.wording import percent

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["FEWEST_FOR_TAIL", "tail_threshold"]

# Fewer excesses fit anything; more than a tenth of the normals are no tail any more.
_FEWEST = 40
_SHARE = 0.1
_MIN_FIT = 0.05

FEWEST_FOR_TAIL = math.ceil(_FEWEST / _SHARE)
"""How many normals a fitted tail needs."""

_SAMPLES = 199
# Shapes below -1/2 have no regular likelihood (Smith 1985); above 1 the law has no mean.
_SHAPES = np.linspace(-0.5, 1.0, 601)
_SHAPES = _SHAPES[np.abs(_SHAPES) > 1e-9]  # the formulas below divide by the shape; its neighbours serve as well


@dataclass(frozen=True, slots=True)
class _Tail:
    """``excess``: float64 ``(k,)``, by how much the ``k`` largest scores exceed ``start``, all positive.

    ``ratio``: ``alpha`` over the share of normals above ``start``.
    """

    start: float
    excess: NDArray[np.float64]
    ratio: float

    def likelihood(self, quantile: float) -> NDArray[np.float64]:
        """The logarithm of the likelihood, shape by shape, of the law that has its alpha-quantile there."""
        scale = (quantile - self.start) * _SHAPES / np.expm1(-_SHAPES * math.log(self.ratio))
        inner = 1 + _SHAPES[:, None] * self.excess / scale[:, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            terms = np.where(inner > 0, np.log(inner), np.inf).sum(axis=1)
        # Outside the law's support the likelihood is zero.
        return np.where(np.isfinite(terms), -self.excess.size * np.log(scale) - (1 + 1 / _SHAPES) * terms, -np.inf)

    def profile(self, quantile: float) -> float:
        return float(self.likelihood(quantile).max())


def tail_threshold(scores: ArrayLike, alpha: float, confidence: float, *, what: str = "score") -> TailThreshold:
    """The upper end of the one-sided profile-likelihood interval for the score that a share ``alpha`` exceeds.

    Args:
        scores: ``(n,)``, one raw score per independent normal, in any order.
        alpha: the rate of false rejects that is aimed at, a fraction.
        confidence: of the interval.
        what: what one of the scores is called in messages.

    Raises:
        InputError: the scores cannot be used, ``alpha`` lies within what the scores show, or their tail does not
            look like a generalized Pareto law.
        NotEnoughNormalsError: there are too few for a tail; says the number needed.
    """
    from scipy.stats import genpareto

    check_probability("false-reject rate", alpha)
    check_probability("confidence", confidence)
    ascending = np.sort(check_scores(scores, what))
    n = ascending.size
    if (k := int(n * _SHARE)) < _FEWEST:
        raise NotEnoughNormalsError(
            FEWEST_FOR_TAIL, f"{n} normals were given; a fitted tail needs {FEWEST_FOR_TAIL}: give more normals"
        )
    start = float(ascending[n - k - 1])
    excess = ascending[ascending > start] - start
    if excess.size < _FEWEST // 2:
        raise InputError(
            f"{k - excess.size:,} of the {k:,} largest {what}s are {start:g}: so many ties are no tail to fit"
        )
    if alpha * n >= excess.size:
        raise InputError(
            f"--method gpd is for rates far below {percent(_SHARE)}, found {percent(alpha)}: {n:,} normals promise "
            "that without a model"
        )
    tail = _Tail(start, excess, alpha * n / excess.size)
    fitted, fit = _fit(tail.excess, what)
    estimate = tail.start + float(genpareto.isf(tail.ratio, *fitted))
    return TailThreshold(
        threshold=_upper_end(tail, estimate, confidence, what),
        n=n,
        start=tail.start,
        exceedances=tail.excess.size,
        shape=fitted[0],
        scale=fitted[2],
        estimate=estimate,
        fit_p_value=fit,
    )


def _fit(excess: NDArray[np.float64], what: str) -> tuple[tuple[float, float, float], float]:
    """Shape, location 0 and scale by maximum likelihood, and the p-value of the Anderson-Darling test by simulation."""
    from scipy.stats import FitError, genpareto, goodness_of_fit

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of shapes that the search tries and drops
        try:
            result = goodness_of_fit(
                genpareto,
                excess,
                known_params={"loc": 0},
                statistic="ad",
                n_mc_samples=_SAMPLES,
                rng=np.random.default_rng(0),
            )
        except FitError as error:
            raise InputError(f"no generalized Pareto law fits the tail of the {what}s: {error}") from error
    shape, loc, scale = (float(value) for value in result.fit_result.params)
    if result.pvalue < _MIN_FIT:
        raise InputError(
            f"the tail of the {what}s does not follow a generalized Pareto law (Anderson-Darling p = "
            f"{result.pvalue:.3g} over the {excess.size} largest): an extrapolation would mislead; ask for a higher "
            "rate with the default method, or look for bad images among the highest"
        )
    return (shape, loc, scale), float(result.pvalue)


def _upper_end(tail: _Tail, estimate: float, confidence: float, what: str) -> float:
    """Where the signed root of the profile's deviance reaches the normal quantile of ``confidence``."""
    from scipy.optimize import brentq
    from scipy.stats import norm

    cut = tail.profile(estimate) - norm.ppf(confidence) ** 2 / 2

    def above_cut(quantile: float) -> float:
        return max(tail.profile(quantile), -1e300) - cut

    step = estimate - tail.start
    for doubling in range(1, 30):
        if above_cut(estimate + step * 2**doubling) < 0:
            return float(brentq(above_cut, estimate, estimate + step * 2**doubling))
    raise InputError(f"the tail of the {what}s says nothing about so small a rate: give more normals or a higher rate")
