"""Tests whether groups of normals score differently. If they do, a guarantee for all of them fails for some."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from edge_ad.thresholds.wording import percent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = ["Difference", "Group", "compare_groups", "describe_difference"]

_PERMUTATIONS = 999
_SIGNIFICANT = 0.01


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """One of the compared groups.

    ``median``: of its raw scores. ``above``: how many of its ``n`` observations exceed the pooled threshold.
    ``rate_at_least``, ``rate_at_most``: the exact 95 % interval of its own false-reject rate (Clopper-Pearson).
    """

    name: str
    n: int
    median: float
    above: int
    rate_at_least: float
    rate_at_most: float


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """Whether groups score alike. ``p_value``: that of the Anderson-Darling k-sample test, by permutation.

    ``effect``: epsilon squared of Kruskal and Wallis, the share of the ranks' variance between groups: 0 to 1.
    """

    p_value: float
    effect: float
    groups: tuple[Group, ...]

    @property
    def differ(self) -> bool:
        return self.p_value <= _SIGNIFICANT


def compare_groups(scores: Mapping[str, NDArray[np.float64]], threshold: float) -> Difference:
    """Compares two or more groups of scores with each other, and each with the threshold made from all of them.

    ``scores``: by the name of the group, float64 ``(n,)``, raw. ``threshold``: raw.

    Anderson-Darling looks at the whole distribution, tails included (Scholz and Stephens, JASA 82 (1987) 918-924);
    the effect size is that of Kruskal-Wallis (Tomczak and Tomczak, Trends in Sport Sciences 21 (2014) 19-25).

    A group of one says nothing about its distribution: it is listed but not tested.

    Raises:
        ValueError: an empty group, or fewer than two groups of two or more.
    """
    from scipy.stats import PermutationMethod, anderson_ksamp, kruskal

    samples = [values for values in scores.values() if values.size > 1]
    if len(samples) < 2 or any(values.size == 0 for values in scores.values()):
        raise ValueError("expected two or more groups of two or more observations, and none that is empty")
    n = sum(sample.size for sample in samples)
    method = PermutationMethod(n_resamples=_PERMUTATIONS, rng=np.random.default_rng(0))
    test = anderson_ksamp(samples, variant="midrank", method=method)
    return Difference(
        p_value=float(test.pvalue),
        effect=float(kruskal(*samples).statistic) / (n - 1),
        groups=tuple(_group(name, values, threshold) for name, values in scores.items()),
    )


def describe_difference(found: Difference) -> str:
    """Says in one sentence whether the groups differ."""
    figures = f"Anderson-Darling p = {found.p_value:.3g}, effect size epsilon squared = {found.effect:.2f}"
    if not found.differ:
        return f"the {len(found.groups)} groups score alike as far as can be told ({figures})"
    worst = max(found.groups, key=lambda group: group.above / group.n)
    return (
        f"the {len(found.groups)} groups score differently ({figures}): the pooled guarantee holds for all of them "
        f"together, not for each; {worst.name!r} has {worst.above} of {worst.n} above the threshold, a rate of "
        f"{percent(round(worst.rate_at_least, 4))} to {percent(round(worst.rate_at_most, 4))}: calibrate each "
        "by itself"
    )


def _group(name: str, values: NDArray[np.float64], threshold: float) -> Group:
    from scipy.stats import binomtest

    above = int(np.sum(values > threshold))
    interval = binomtest(above, values.size).proportion_ci(0.95, method="exact")
    return Group(
        name=name,
        n=values.size,
        median=float(np.median(values)),
        above=above,
        rate_at_least=float(interval.low),
        rate_at_most=float(interval.high),
    )
