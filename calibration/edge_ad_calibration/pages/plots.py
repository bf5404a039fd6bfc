"""The charts of a calibration: where the normals score, and where the threshold lies."""

from __future__ import annotations

import io
from dataclasses import dataclass
from textwrap import wrap
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy.stats import beta

from edge_ad_calibration.thresholds.wording import describe_threshold, image_guarantee, percent
from edge_ad_report import FAINT, INK, LIMIT, NORMAL, figure_svg, new_figure, strip

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from edge_ad.bundle.records import Calibration, Threshold
    from edge_ad_calibration.normals.parts import Observations
    from edge_ad_report import Chart

__all__ = ["draw_calibration", "draw_distribution", "draw_scores"]


_NORMAL, _LIMIT, _INK, _FAINT = "#3b6ea8", "#c0392b", "#222222", "#8a8a8a"
_DPI = 130
_MOST_BINS = 60
_MOST_POINTS = 400


@dataclass(frozen=True, slots=True)
class _Panel:
    """One column of the picture: ``values`` ``(n,)`` ascending, and the threshold taken from them.

    ``what``: what several of them are called.
    """

    label: str
    what: str
    values: NDArray[np.float64]
    statistic: Threshold

    @property
    def window(self) -> tuple[float, float]:
        """What is shown: twice the way from the median to the threshold, to either side.

        One frame far out would otherwise press everything else into a single bar.
        """
        median = float(np.median(self.values))
        reach = 2 * abs(self.statistic.threshold - median) or np.inf
        highest = max(self.values[-1], self.statistic.threshold)
        return max(self.values[0], median - reach), min(highest, median + reach)


def draw_calibration(calibration: Calibration, observations: Observations, subject: str) -> bytes:
    """Draws the normals' scores, and their maps' peaks where there is a pixel threshold, with the thresholds.

    Args:
        calibration: what is drawn.
        observations: the observations that it was made from.
        subject: what was calibrated, one short line.

    Returns:
        A PNG file.
    """
    panels = [_Panel("score", "scores", np.sort(observations.scores), calibration.image)]
    if calibration.pixel is not None and observations.peaks is not None:
        label = f"largest map value of a {observations.kind}"
        panels.append(_Panel(label, "map maxima", np.sort(observations.peaks), calibration.pixel))
    figure = Figure(figsize=(3 + 4.8 * len(panels), 5.6), dpi=_DPI, layout="constrained", facecolor="white")
    sentence = "\n".join(wrap(image_guarantee(calibration), 48 + 52 * len(panels)))
    figure.suptitle(sentence, fontsize=11, color=_INK, fontweight="bold")
    figure.supxlabel(subject, fontsize=8.5, color=_FAINT)
    grid = figure.subplots(2, len(panels), sharex="col", squeeze=False, height_ratios=[3, 2])
    for column, panel in enumerate(panels):
        _draw_histogram(grid[0, column], panel)
        _draw_tail(grid[1, column], panel, calibration.alpha)
    return _as_png(figure)


def _draw_histogram(axes: Axes, panel: _Panel) -> None:
    limit, (low, high) = panel.statistic.threshold, panel.window
    # Twice the Rice rule: the "auto" width makes millions of bins when one score lies far out.
    bins = int(np.clip(np.ceil(4 * np.cbrt(panel.statistic.n)), 10, _MOST_BINS))
    axes.hist(panel.values, bins=bins, range=(low, high), color=_NORMAL, edgecolor="white", linewidth=0.5)
    below, above = int(np.sum(panel.values < low)), int(np.sum(panel.values > high))
    if below:
        _note(axes, 0.01, f"← {below:,} lower, down to {panel.values[0]:.4g}")
    if above:
        _note(axes, 0.99, f"{above:,} higher, up to {panel.values[-1]:.4g} →")
    _draw_limit(axes, panel)
    origin = describe_threshold(panel.statistic, panel.what)
    axes.set_title(f"threshold {limit:.6g} = {origin}", fontsize=10, color=_LIMIT, loc="left")
    axes.set_ylabel("normals")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    _strip(axes)


def _draw_tail(axes: Axes, panel: _Panel, alpha: float | None) -> None:
    """The share of normals that score as high or higher, on a logarithmic axis: the tail is what matters."""
    n = panel.statistic.n
    share = np.arange(n, 0, -1) / n
    axes.step(panel.values, share, where="pre", color=_NORMAL, linewidth=1.4)
    axes.plot(panel.values, share, ".", color=_NORMAL, markersize=4)
    _draw_limit(axes, panel)
    axes.set_yscale("log")
    axes.set_ylim(min(alpha or 1, 1 / n) / 2, 1.5)
    axes.yaxis.set_major_formatter(lambda value, _: percent(value))
    axes.set_ylabel("as high or higher")
    axes.set_xlabel(panel.label)
    if alpha is not None:
        axes.axhline(alpha, color=_FAINT, linewidth=1, linestyle=":")
        axes.annotate(
            f"asked: {percent(alpha)}",
            (0.01, alpha),
            xycoords=axes.get_yaxis_transform(),
            xytext=(0, 3),
            textcoords="offset points",
            fontsize=8.5,
            color=_FAINT,
        )
    _strip(axes)


def _draw_limit(axes: Axes, panel: _Panel) -> None:
    """The threshold, and what is rejected, to the right of it."""
    limit, (low, high) = panel.statistic.threshold, panel.window
    margin = 0.04 * (high - low) or 1.0  # one normal has no width
    high = max(high, limit + margin) + margin
    axes.set_xlim(low - margin, high)
    axes.axvline(limit, color=_LIMIT, linewidth=1.6, linestyle="--")
    axes.axvspan(limit, high, color=_LIMIT, alpha=0.07, linewidth=0)


def _note(axes: Axes, x: float, text: str) -> None:
    side = "left" if x < 0.5 else "right"
    axes.text(x, 0.95, text, transform=axes.transAxes, ha=side, va="top", fontsize=8.5, color=_INK)


def _strip(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=_INK, labelsize=9)


def _as_png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def draw_scores(values: NDArray[np.float64], found: Threshold, label: str, kind: str) -> Chart:
    """A histogram of the normals. ``values``: float64 ``(n,)``; ``kind``: what one of them is."""
    figure = new_figure()
    axes = figure.subplots()
    bins = int(np.clip(np.ceil(4 * np.cbrt(values.size)), 10, _MOST_BINS))
    axes.hist(values, bins=bins, color=NORMAL)
    _mark_threshold(axes, found.threshold)
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
    _mark_threshold(axes, found.threshold)
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


def _mark_threshold(axes: Axes, threshold: float) -> None:
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
