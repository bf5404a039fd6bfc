"""The charts of the calibration page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import beta

from edge_ad_calibration.wording import percent
from edge_ad_report import FAINT, INK, LIMIT, NORMAL, figure_svg, new_figure, strip

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from edge_ad.bundle.records import Threshold
    from edge_ad_report import Chart

__all__ = ["draw_distribution", "draw_scores"]

_MOST_BINS = 60
_MOST_POINTS = 400


def draw_scores(values: NDArray[np.float64], found: Threshold, label: str, kind: str) -> Chart:
    """A histogram of the normals. ``values``: float64 ``(n,)``; ``kind``: what one of them is."""
    figure = new_figure()
    axes = figure.subplots()
    bins = int(np.clip(np.ceil(4 * np.cbrt(values.size)), 10, _MOST_BINS))
    axes.hist(values, bins=bins, color=NORMAL)
    _draw_limit(axes, found.threshold)
    axes.set_xlabel(label)
    axes.set_ylabel(f"{kind}s")
    strip(axes)
    above = int(np.sum(values > found.threshold))
    return figure_svg(
        figure,
        alt=f"histogram of the {label} of {values.size} normals with the threshold {found.threshold:.5g}",
        caption=f"{above:,} of {values.size:,} normal {kind}s lie above the threshold.",
    )


def draw_distribution(
    values: NDArray[np.float64], found: Threshold, alpha: float | None, confidence: float | None, label: str
) -> Chart:
    """The share of normals as high or higher, with its exact band, on a logarithmic axis: the tail is what matters.

    Of the i-th largest of n scores the true share above it has the law ``Beta(i, n + 1 - i)``; the band is its
    central interval, point by point.
    """
    level = confidence or 0.95
    n, ranks = values.size, _ranks(values.size)
    places = np.sort(values)[n - ranks]
    low, high = beta.interval(level, ranks, n + 1 - ranks)
    figure = new_figure()
    axes = figure.subplots()
    axes.fill_between(places, low, high, step="pre", color=NORMAL, alpha=0.25, linewidth=0)
    axes.step(places, ranks / n, where="pre", color=NORMAL)
    _draw_limit(axes, found.threshold)
    if alpha is not None:
        axes.axhline(alpha, color=FAINT, linestyle=":")
        axes.annotate(f"{percent(alpha)}", (0.01, alpha), xycoords=axes.get_yaxis_transform(), color=INK, va="bottom")
    axes.set_yscale("log")
    axes.set_ylim(min(alpha or 1.0, 1 / n) / 3, 1.5)
    axes.yaxis.set_major_formatter(lambda value, _: percent(value))
    axes.set_xlabel(label)
    axes.set_ylabel("as high or higher")
    strip(axes)
    return figure_svg(
        figure,
        alt=f"share of normals whose {label} is as high or higher, with its {percent(level)} band",
        caption=f"The band holds the true share with {percent(level)} probability at each place by itself.",
    )


def _ranks(n: int) -> NDArray[np.intp]:
    """The ranks, descending to 1; of very many some hundred, the denser the closer to 1."""
    if n <= _MOST_POINTS:
        return np.arange(n, 0, -1)
    return np.unique(np.geomspace(1, n, _MOST_POINTS).round().astype(np.intp))[::-1]


def _draw_limit(axes: Axes, threshold: float) -> None:
    axes.axvline(threshold, color=LIMIT, linestyle="--", linewidth=1.6)
    side = "right" if threshold > sum(axes.get_xlim()) / 2 else "left"
    axes.annotate(
        f" threshold {threshold:.5g} ",
        (threshold, 0.98),
        xycoords=axes.get_xaxis_transform(),
        color=LIMIT,
        ha=side,
        va="top",
    )
