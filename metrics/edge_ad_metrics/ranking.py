"""How well scores tell the anomalous from the normal, with bootstrap intervals.

The intervals are percentile bootstrap intervals (Efron 1979) over resamples that keep the number of normals and of
anomalies, which the data set's maker chose and chance did not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Statistic = Callable[..., Floats]

__all__ = [
    "CONFIDENCE",
    "Confusion",
    "Estimate",
    "OperatingPoint",
    "RatePoint",
    "Scores",
    "average_precision",
    "best_threshold",
    "caught_at",
    "estimate_average_precision",
    "estimate_mean",
    "estimate_roc_auc",
    "operate",
    "roc_auc",
]

CONFIDENCE: Final = 0.95
_RESAMPLES: Final = 1000
_FEWEST_RESAMPLES: Final = 200
_MOST_DRAWS: Final = 200_000_000
_BATCH_CELLS: Final = 4_000_000
_ROUNDING: Final = 1e-9  # a share of a number that is whole in decimals may miss it in binary


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """A figure and its 95 % confidence interval."""

    value: float
    low: float
    high: float


class Confusion(msgspec.Struct, frozen=True, kw_only=True):
    """How many were rejected and accepted; positive is anomalous."""

    true_positives: int
    false_positives: int
    true_negatives: int
    false_negatives: int


class OperatingPoint(msgspec.Struct, frozen=True, kw_only=True):
    """What the rule ``score > threshold -> reject`` does.

    ``recall`` is the true-positive rate, ``precision`` is ``None`` where nothing is rejected.
    """

    threshold: float
    confusion: Confusion
    recall: Estimate
    false_positive_rate: Estimate
    precision: Estimate | None
    f1: Estimate


class RatePoint(msgspec.Struct, frozen=True, kw_only=True):
    """What is caught where at most ``rate`` of the normals are rejected, a fraction. ``recall``: the share of anomalies
    that is caught. ``false_positive_rate``: the share of normals that is rejected, ``rate`` or less."""

    rate: float
    threshold: float
    normals_rejected: int
    anomalies_caught: int
    recall: Estimate
    false_positive_rate: Estimate


@dataclass(frozen=True, slots=True)
class Scores:
    """The scores of both classes, float64 ``(n,)`` and ``(m,)``, neither empty; higher is more anomalous."""

    normal: Floats
    anomalous: Floats

    @property
    def labels(self) -> NDArray[np.int64]:
        """``(n + m,)``: 0 for each normal, then 1 for each anomaly."""
        return np.repeat([0, 1], [self.normal.size, self.anomalous.size]).astype(np.int64)

    @property
    def values(self) -> Floats:
        """``(n + m,)``: the scores, in the order of :attr:`labels`."""
        return np.concatenate([self.normal, self.anomalous])


def roc_auc(scores: Scores) -> float:
    """The chance that an anomaly scores higher than a normal, ties counted half, from 0 to 1."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(scores.labels, scores.values))


def average_precision(scores: Scores) -> float:
    """The area under the precision-recall curve as steps, from 0 to 1 (scikit-learn's ``average_precision_score``)."""
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(scores.labels, scores.values))


def estimate_roc_auc(scores: Scores) -> Estimate:
    """:func:`roc_auc` with its interval."""
    return _estimate(roc_auc(scores), scores, _roc_auc)


def estimate_average_precision(scores: Scores) -> Estimate:
    """:func:`average_precision` with its interval."""
    return _estimate(average_precision(scores), scores, _average_precision)


def best_threshold(scores: Scores) -> float:
    """The threshold with the highest F1 on these scores; the highest such, halfway to the next lower score."""
    from sklearn.metrics import precision_recall_curve

    precision, recall, thresholds = precision_recall_curve(scores.labels, scores.values)
    total = precision[:-1] + recall[:-1]
    f1 = np.divide(2 * precision[:-1] * recall[:-1], total, out=np.zeros_like(total), where=total > 0)
    at = f1.size - 1 - int(f1[::-1].argmax())
    lower = thresholds[at - 1] if at > 0 else np.nextafter(thresholds[at], -np.inf)
    # The midpoint of neighbouring numbers may round up to the higher one, which must still be rejected.
    return float(min((thresholds[at] + lower) / 2, np.nextafter(thresholds[at], -np.inf)))


def operate(scores: Scores, threshold: float) -> OperatingPoint:
    """What ``score > threshold -> reject`` does to these scores.

    The intervals of rates are exact binomial ones (Clopper and Pearson 1934), that of F1 is a bootstrap interval.
    """
    caught = int(np.sum(scores.anomalous > threshold))
    false = int(np.sum(scores.normal > threshold))
    missed = scores.anomalous.size - caught

    def f1(normal: Floats, anomalous: Floats, axis: int = -1) -> Floats:
        found, wrong = np.sum(anomalous > threshold, axis=axis), np.sum(normal > threshold, axis=axis)
        return np.asarray(2 * found / (found + wrong + anomalous.shape[axis]))

    return OperatingPoint(
        threshold=threshold,
        confusion=Confusion(
            true_positives=caught,
            false_positives=false,
            true_negatives=scores.normal.size - false,
            false_negatives=missed,
        ),
        recall=_rate(caught, scores.anomalous.size),
        false_positive_rate=_rate(false, scores.normal.size),
        precision=_rate(caught, caught + false) if caught + false else None,
        f1=_estimate(2 * caught / (2 * caught + false + missed), scores, f1),
    )


def caught_at(scores: Scores, rate: float) -> RatePoint:
    """What the lowest threshold catches that rejects at most this share of these normals; it is one of their scores.

    It says what these scores show, not what a line will do: the normals that set the threshold are the ones that it is
    measured on.

    Args:
        rate: the share of normals that may be rejected, a fraction from 0 to below 1.
    """
    descending = np.sort(scores.normal)[::-1]
    threshold = float(descending[int(rate * descending.size * (1 + _ROUNDING))])
    caught, false = int(np.sum(scores.anomalous > threshold)), int(np.sum(scores.normal > threshold))
    return RatePoint(
        rate=rate,
        threshold=threshold,
        normals_rejected=false,
        anomalies_caught=caught,
        recall=_rate(caught, scores.anomalous.size),
        false_positive_rate=_rate(false, scores.normal.size),
    )


def estimate_mean(values: Floats) -> Estimate:
    """The mean and its interval of figures between 0 and 1, float64 ``(n,)``."""
    if values.size == 1:
        return Estimate(value=float(values[0]), low=0.0, high=1.0)
    return _interval(float(values.mean()), (values,), np.mean)


def _rate(count: int, total: int) -> Estimate:
    from scipy.stats import binomtest

    interval = binomtest(count, total).proportion_ci(CONFIDENCE, method="exact")
    return Estimate(value=count / total, low=float(interval.low), high=float(interval.high))


def _estimate(value: float, scores: Scores, statistic: Statistic) -> Estimate:
    normal, anomalous = scores.normal, scores.anomalous
    if normal.size == 1 or anomalous.size == 1:  # one of a kind can only be drawn again
        return Estimate(value=value, low=0.0, high=1.0)
    return _interval(value, (normal, anomalous), statistic)


def _interval(value: float, samples: tuple[Floats, ...], statistic: Statistic) -> Estimate:
    from scipy.stats import bootstrap

    size = sum(sample.size for sample in samples)
    drawn = bootstrap(
        samples,
        statistic,
        n_resamples=int(np.clip(_MOST_DRAWS // size, _FEWEST_RESAMPLES, _RESAMPLES)),
        batch=max(1, _BATCH_CELLS // size),
        vectorized=True,
        axis=-1,
        method="percentile",
        rng=np.random.default_rng(0),
    ).bootstrap_distribution
    # Not scipy's own interval: it warns where all resamples give the same, as they do for classes far apart.
    low, high = np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Estimate(value=value, low=float(low), high=float(high))


def _roc_auc(normal: Floats, anomalous: Floats, axis: int = -1) -> Floats:
    """ROC-AUC of each row, from the rank sum (Mann and Whitney 1947)."""
    from scipy.stats import rankdata

    m = anomalous.shape[axis]
    ranks = rankdata(np.concatenate([anomalous, normal], axis=axis), axis=axis)
    return np.asarray((ranks[..., :m].sum(axis=-1) - m * (m + 1) / 2) / (m * normal.shape[axis]))


def _average_precision(normal: Floats, anomalous: Floats, axis: int = -1) -> Floats:
    """Average precision of each row: the mean over the anomalies of the precision where each is found."""
    values = np.concatenate([anomalous, normal], axis=axis)
    order = np.argsort(-values, axis=-1, kind="stable")
    sorted_values = np.take_along_axis(values, order, axis=-1)
    positive = order < anomalous.shape[axis]
    found = np.cumsum(positive, axis=-1)
    precision = found / np.arange(1, values.shape[axis] + 1)
    # Equal scores are found together: all of them have the precision of the last.
    last = np.concatenate(
        [sorted_values[..., 1:] != sorted_values[..., :-1], np.ones((*values.shape[:-1], 1), np.bool_)], axis=-1
    )
    place = np.where(last, np.arange(values.shape[axis]), values.shape[axis])
    place = np.minimum.accumulate(place[..., ::-1], axis=-1)[..., ::-1]
    precision = np.take_along_axis(precision, place, axis=-1)
    return np.asarray((precision * positive).sum(axis=-1) / anomalous.shape[axis])
