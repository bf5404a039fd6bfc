"""Ranking metrics: scikit-learn's figures, and intervals that cover what they should."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import average_precision_score, f1_score, precision_recall_curve, roc_auc_score

from edge_ad_metrics import ranking
from edge_ad_metrics.ranking import (
    Scores,
    best_threshold,
    caught_at,
    estimate_average_precision,
    estimate_mean,
    estimate_roc_auc,
    operate,
)

VALUES = st.one_of(st.integers(0, 5).map(float), st.floats(-1e6, 1e6, width=32))
SIDES = st.lists(VALUES, min_size=1, max_size=30)


def scores(normal: list[float], anomalous: list[float]) -> Scores:
    return Scores(np.array(normal, float), np.array(anomalous, float))


@given(SIDES, SIDES)
def test_the_figures_of_resamples_are_scikit_learns(normal: list[float], anomalous: list[float]) -> None:
    made = scores(normal, anomalous)
    rows = np.stack([made.normal, made.normal]), np.stack([made.anomalous, made.anomalous])
    area = roc_auc_score(made.labels, made.values)
    precision = average_precision_score(made.labels, made.values)
    assert ranking._roc_auc(*rows, axis=-1) == pytest.approx([area, area])
    assert ranking._average_precision(*rows, axis=-1) == pytest.approx([precision, precision])


@given(SIDES, SIDES)
def test_no_threshold_has_a_higher_f1_than_the_best(normal: list[float], anomalous: list[float]) -> None:
    made = scores(normal, anomalous)
    threshold = best_threshold(made)
    reached = f1_score(made.labels, made.values > threshold)
    precision, recall, _ = precision_recall_curve(made.labels, made.values)
    both = precision + recall
    possible = np.divide(2 * precision * recall, both, out=np.zeros_like(both), where=both > 0)
    assert reached == pytest.approx(possible.max())
    assert operate(made, threshold).f1.value == pytest.approx(reached)


def test_what_a_threshold_does() -> None:
    point = operate(scores([1, 2, 3, 4], [3, 5, 6]), 3.0)
    counts = point.confusion
    assert (counts.true_positives, counts.false_negatives) == (2, 1)
    assert (counts.false_positives, counts.true_negatives) == (1, 3)
    assert point.recall.value == pytest.approx(2 / 3)
    assert point.false_positive_rate.value == 0.25
    assert point.precision is not None
    assert point.precision.value == pytest.approx(2 / 3)
    assert point.f1.value == pytest.approx(2 / 3)


def test_nothing_rejected_has_no_precision() -> None:
    point = operate(scores([1, 2], [1, 2]), 9.0)
    assert point.precision is None
    assert point.f1.value == 0
    # Clopper and Pearson: with 0 of n the upper bound is 1 - (0.025)^(1/n)
    assert point.recall.high == pytest.approx(1 - 0.025 ** (1 / 2))


def test_figures_and_intervals_are_the_same_each_time() -> None:
    random = np.random.default_rng(1)
    made = Scores(random.normal(0, 1, 60), random.normal(1, 1, 40))
    assert estimate_roc_auc(made) == estimate_roc_auc(made)
    found = estimate_average_precision(made)
    assert found.low < found.value < found.high


def test_one_of_a_kind_has_no_interval() -> None:
    assert (estimate_roc_auc(scores([1, 2], [3])).low, estimate_roc_auc(scores([1, 2], [3])).high) == (0, 1)
    assert (estimate_mean(np.array([0.5])).low, estimate_mean(np.array([0.5])).high) == (0, 1)


@pytest.mark.slow
def test_the_interval_covers_the_true_area_as_often_as_it_says() -> None:
    """Normal scores N(0, 1) and N(1, 1) have the area Phi(1 / sqrt 2); 95 % of 300 intervals, give or take."""
    truth = norm.cdf(1 / np.sqrt(2))
    random = np.random.default_rng(2)
    covered = 0
    for _ in range(300):
        found = estimate_roc_auc(Scores(random.normal(0, 1, 100), random.normal(1, 1, 100)))
        covered += found.low <= truth <= found.high
    assert 0.91 <= covered / 300 <= 0.985


@given(SIDES, SIDES, st.floats(0, 0.99))
def test_a_rate_is_kept_and_no_lower_threshold_keeps_it(
    normal: list[float], anomalous: list[float], rate: float
) -> None:
    made = scores(normal, anomalous)
    found = caught_at(made, rate)
    assert found.normals_rejected <= rate * len(normal) * (1 + 1e-6)
    assert found.anomalies_caught == sum(score > found.threshold for score in anomalous)
    lower = [score for score in normal if score < found.threshold]
    rejected = [sum(score > threshold for score in normal) for threshold in lower]
    assert [count for count in rejected if count <= rate * len(normal)] == []


@pytest.mark.parametrize(
    ("rate", "rejected", "caught"),
    [
        pytest.param(0.001, 0, 1, id="less than one normal"),
        pytest.param(0.1, 10, 2, id="ten of a hundred"),
        pytest.param(0.29, 29, 2, id="whole in decimals but not in binary"),
    ],
)
def test_what_is_caught_at_a_rate(rate: float, rejected: int, caught: int) -> None:
    found = caught_at(scores([float(k) for k in range(100)], [95.0, 200.0]), rate)
    assert (found.normals_rejected, found.anomalies_caught) == (rejected, caught)
    assert found.false_positive_rate.value == rejected / 100
