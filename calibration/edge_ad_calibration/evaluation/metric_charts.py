"""The charts of an evaluation's page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from sklearn.metrics import precision_recall_curve, roc_curve

from edge_ad_metrics.sampling import evenly_spaced_to_the_last
from edge_ad_report import ANOMALY, FAINT, INK, LIMIT, NORMAL, figure_svg, new_figure, strip

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from edge_ad_calibration.evaluation.records import Evaluation, ScoredRow
    from edge_ad_metrics.ranking import OperatingPoint, Scores
    from edge_ad_report import Chart

__all__ = ["confusion_chart", "histogram_chart", "precision_recall_chart", "roc_chart", "types_chart"]

_BINS: Final = 40
_MOST_DOTS: Final = 200


def roc_chart(scores: Scores, result: Evaluation) -> Chart:
    """True-positive over false-positive rate."""
    figure = new_figure()
    axes = figure.subplots()
    false, true, _ = roc_curve(scores.labels, scores.values)
    axes.plot(false, true, color=NORMAL, linewidth=1.8, label=f"area {result.roc_auc.value:.4f}")
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle=":")
    if result.calibrated:
        point = result.calibrated
        _mark(axes, point.false_positive_rate.value, point.recall.value)
    axes.set_xlabel("false-positive rate: normals rejected")
    axes.set_ylabel("true-positive rate: anomalies rejected")
    _square(axes, legend="lower right")
    return figure_svg(
        figure, alt=f"ROC curve, area {result.roc_auc.value:.4f}", caption="Receiver operating characteristic."
    )


def precision_recall_chart(scores: Scores, result: Evaluation) -> Chart:
    """Precision over recall."""
    figure = new_figure()
    axes = figure.subplots()
    precision, recall, _ = precision_recall_curve(scores.labels, scores.values, drop_intermediate=True)
    area = result.average_precision.value
    axes.step(recall, precision, where="post", color=ANOMALY, linewidth=1.8, label=f"average precision {area:.4f}")
    share = result.anomalous / (result.normal + result.anomalous)
    axes.axhline(share, color=FAINT, linewidth=1, linestyle=":")
    point = result.calibrated
    if point and point.precision:
        _mark(axes, point.recall.value, point.precision.value)
    axes.set_xlabel("recall: anomalies rejected")
    axes.set_ylabel("precision: anomalies among the rejected")
    _square(axes, legend="lower left")
    return figure_svg(figure, alt=f"Precision-recall curve, average {area:.4f}", caption="Precision and recall.")


def histogram_chart(scores: Scores, result: Evaluation) -> Chart:
    """How many normals and anomalies score what."""
    figure = new_figure(10.6, 3.6)
    axes = figure.subplots()
    edges = np.histogram_bin_edges(scores.values, bins=_BINS).tolist()
    for values, colour, name in ((scores.normal, NORMAL, "normal"), (scores.anomalous, ANOMALY, "anomalous")):
        axes.hist(values, bins=edges, color=colour, alpha=0.55, label=f"{name}, {values.size:,}")
        axes.hist(values, bins=edges, color=colour, histtype="step", linewidth=1.4)
    _thresholds(axes, result)
    axes.set_xlabel("score")
    axes.set_ylabel(f"{result.observation}s")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(fontsize=9)
    strip(axes)
    return figure_svg(figure, alt="Histogram of the scores by class", caption="Scores by class.")


def types_chart(rows: Sequence[ScoredRow], result: Evaluation) -> Chart:
    """A row of dots for the normals and for each type: every score, or 200 evenly chosen ones of each."""
    kinds = ["good", *(one.type for one in result.types)]
    figure = new_figure(10.6, 0.9 + 0.42 * len(kinds))
    axes = figure.subplots()
    random = np.random.default_rng(0)
    for place, kind in enumerate(kinds):
        values = np.sort([row.score for row in rows if row.type == kind])
        values = _some(values)
        colour = ANOMALY if place else NORMAL
        axes.scatter(
            values, place + random.uniform(-0.25, 0.25, values.size), s=16, color=colour, alpha=0.6, linewidths=0
        )
    _thresholds(axes, result)
    axes.set_yticks(range(len(kinds)), kinds)
    axes.invert_yaxis()
    axes.set_xlabel("score")
    strip(axes)
    return figure_svg(figure, alt="Scores by type of defect", caption="Scores by type.")


def confusion_chart(point: OperatingPoint, name: str) -> Chart:
    """How many of each class are rejected and accepted."""
    counts = point.confusion
    cells = np.array([[counts.true_negatives, counts.false_positives], [counts.false_negatives, counts.true_positives]])
    figure = new_figure(4.6, 3.0)
    axes = figure.subplots()
    shares = cells / cells.sum(axis=1, keepdims=True)
    for (row, column), count in np.ndenumerate(cells):
        colour = NORMAL if row == column else ANOMALY
        axes.add_patch(_cell(column, row, colour, float(shares[row, column])))
        text = f"{count:,}\n{100 * shares[row, column]:.1f} %"
        axes.text(column, row, text, ha="center", va="center", color=INK, fontsize=12)
    axes.set(xlim=(-0.5, 1.5), ylim=(1.5, -0.5), xticks=[0, 1], yticks=[0, 1])
    axes.set_xticklabels(["accepted", "rejected"])
    axes.set_yticklabels(["normal", "anomalous"])
    strip(axes)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    alt = f"Confusion matrix, {name}: {cells.tolist()}"
    return figure_svg(figure, alt=alt, caption=f"{name}: rejected above {point.threshold:.6g}.")


def _cell(x: int, y: int, colour: str, share: float) -> Rectangle:
    return Rectangle((x - 0.47, y - 0.47), 0.94, 0.94, facecolor=colour, alpha=0.12 + 0.5 * share, linewidth=0)


def _some(ascending: NDArray[np.float64]) -> NDArray[np.float64]:
    chosen: NDArray[np.float64] = ascending[evenly_spaced_to_the_last(ascending.size, _MOST_DOTS)]
    return chosen


def _thresholds(axes: Axes, result: Evaluation) -> None:
    axes.axvline(result.best.threshold, color=FAINT, linewidth=1.2, linestyle=":", label="best F1 on these labels")
    if result.calibrated:
        axes.axvline(
            result.calibrated.threshold, color=LIMIT, linewidth=1.6, linestyle="--", label="calibrated threshold"
        )


def _mark(axes: Axes, x: float, y: float) -> None:
    axes.plot([x], [y], "o", color=LIMIT, markersize=8, clip_on=False, zorder=5, label="calibrated threshold")


def _square(axes: Axes, *, legend: str) -> None:
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.03)
    axes.legend(loc=legend, fontsize=9)
    strip(axes)
