"""The charts of a calibration: where the normal images score, and where the threshold lies.

The picture beside the model and the charts of the page are drawn by the same functions, in the colours of all pages.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from textwrap import wrap
from typing import TYPE_CHECKING

import numpy as np

from edge_ad.thresholds.wording import describe_threshold, image_guarantee, percent
from edge_ad_report import FAINT, INK, LIMIT, NORMAL, figure_svg, new_figure, strip

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from edge_ad.bundle.records import Calibration, Threshold
    from edge_ad_calibration.normals.parts import Observations
    from edge_ad_report import Chart

__all__ = ["draw_calibration", "draw_distribution", "draw_scores", "shows_the_same"]

_DPI = 130
_MOST_BINS = 60
_MOST_POINTS = 400
_SMALL_PT = 8.5
_LETTERS_PER_INCH = 9.3  # of the bold title


@dataclass(frozen=True, slots=True)
class _Panel:
    """What one chart shows: ``values``, float64 ``(n,)``, raw and ascending, and the threshold made from them.

    ``label``: the axis of the values. ``what``: what several of them are called. ``things``: what is counted.
    """

    label: str
    what: str
    things: str
    values: NDArray[np.float64]
    found: Threshold

    @property
    def limits(self) -> tuple[float, float]:
        """The values that are shown: twice the distance from the median to the threshold, to either side.

        Otherwise one value far away would press all others into a single bar.
        """
        median = float(np.median(self.values))
        reach = 2 * abs(self.found.threshold - median) or np.inf
        highest = max(self.values[-1], self.found.threshold)
        return max(self.values[0], median - reach), min(highest, median + reach)


def draw_calibration(calibration: Calibration, observations: Observations, subject: str) -> bytes:
    """Draws the scores with their threshold, and the largest values of the maps if there is a pixel threshold.

    Args:
        calibration: what is drawn.
        observations: what it was made from.
        subject: what was calibrated, one short line.

    Returns:
        A PNG file.
    """
    things = f"{observations.kind}s"
    panels = [_Panel("score", "scores", things, np.sort(observations.scores), calibration.image)]
    if calibration.pixel is not None and observations.peaks is not None and not shows_the_same(observations):
        label = f"largest map value of a {observations.kind}"
        panels.append(_Panel(label, "map maxima", things, np.sort(observations.peaks), calibration.pixel))
    width_in = 3 + 4.8 * len(panels)
    figure = new_figure(width_in, 5.6)
    sentence = "\n".join(wrap(image_guarantee(calibration), int(_LETTERS_PER_INCH * width_in)))
    figure.suptitle(sentence, fontsize=11, color=INK, fontweight="bold")
    figure.supxlabel(subject, fontsize=_SMALL_PT, color=FAINT)
    grid = figure.subplots(2, len(panels), sharex="col", squeeze=False, height_ratios=[3, 2])
    for column, panel in enumerate(panels):
        _draw_histogram(grid[0, column], panel)
        _draw_tail(grid[1, column], panel, calibration.alpha, calibration.confidence)
        grid[1, column].set_xlabel(panel.label)
        origin = describe_threshold(panel.found, panel.what)
        title = f"threshold {panel.found.threshold:.6g} = {origin}"
        grid[0, column].set_title(title, fontsize=10, color=LIMIT, loc="left")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI, facecolor="white")
    return buffer.getvalue()


def shows_the_same(observations: Observations) -> bool:
    """Whether the largest map values are the scores, as of many models: their charts would be the same."""
    peaks = observations.peaks
    return peaks is not None and np.allclose(peaks, observations.scores, rtol=1e-6, atol=0)


def draw_scores(values: NDArray[np.float64], found: Threshold, label: str, kind: str) -> Chart:
    """A histogram with the threshold.

    Args:
        values: float64 ``(n,)``, raw, in any order.
        found: the threshold that was made from them.
        label: what one of the values is.
        kind: what is counted, such as ``frame``.
    """
    panel = _Panel(label, label, f"{kind}s", np.sort(values), found)
    figure = new_figure()
    axes = figure.subplots()
    _draw_histogram(axes, panel)
    _name_threshold(axes, panel)
    axes.set_xlabel(label)
    above = int(np.sum(values > found.threshold))
    return figure_svg(
        figure,
        alt=f"histogram of the {label} of {values.size} normals with the threshold {found.threshold:.5g}",
        caption=f"{above:,} of {values.size:,} normal {kind}s lie above the threshold.",
    )


def draw_distribution(
    values: NDArray[np.float64], found: Threshold, alpha: float | None, confidence: float | None, label: str
) -> Chart:
    """The share of the values that are as high or higher, with its exact band and the threshold.

    Args:
        values: float64 ``(n,)``, raw, in any order.
        found: the threshold that was made from them.
        alpha: the rate of false rejects that was asked for, a fraction; ``None`` if none was.
        confidence: the probability that the band holds the true share; ``None`` stands for 0.95.
        label: what one of the values is.
    """
    panel = _Panel(label, label, "normals", np.sort(values), found)
    figure = new_figure()
    axes = figure.subplots()
    _draw_tail(axes, panel, alpha, confidence)
    _name_threshold(axes, panel)
    axes.set_xlabel(label)
    level = percent(confidence or 0.95)
    return figure_svg(
        figure,
        alt=f"share of normals whose {label} is as high or higher, with its {level} band",
        caption=f"The band holds the true share with {level} probability at each place by itself, if the normals are "
        "independent.",
    )


def _draw_histogram(axes: Axes, panel: _Panel) -> None:
    from matplotlib.ticker import MaxNLocator

    low, high = panel.limits
    # Twice the Rice rule: the "auto" width makes millions of bins when one value is far away.
    bins = int(np.clip(np.ceil(4 * np.cbrt(panel.values.size)), 10, _MOST_BINS))
    axes.hist(panel.values, bins=bins, range=(low, high), color=NORMAL, rwidth=0.94)
    below, above = int(np.sum(panel.values < low)), int(np.sum(panel.values > high))
    if below:
        _note(axes, 0.01, f"← {below:,} lower, down to {panel.values[0]:.4g}")
    if above:
        _note(axes, 0.99, f"{above:,} higher, up to {panel.values[-1]:.4g} →")
    _draw_threshold(axes, panel)
    axes.set_ylabel(panel.things)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    strip(axes)


def _draw_tail(axes: Axes, panel: _Panel, alpha: float | None, confidence: float | None) -> None:
    """The share of the values that are as high or higher, with its exact band.

    The axis is logarithmic, because the few highest values matter. The true share above the i-th largest of n scores
    has the distribution ``Beta(i, n + 1 - i)``; the band is its central interval, at each place by itself.
    """
    from scipy.stats import beta

    n, ranks = panel.values.size, _ranks(panel.values.size)
    places = panel.values[n - ranks]
    low, high = beta.interval(confidence or 0.95, ranks, n + 1 - ranks)
    axes.fill_between(places, low, high, step="pre", color=NORMAL, alpha=0.25, linewidth=0)
    axes.step(places, ranks / n, ".-", where="pre", color=NORMAL, linewidth=1.4, markersize=4)
    _draw_threshold(axes, panel)
    if alpha is not None:
        axes.axhline(alpha, color=FAINT, linewidth=1, linestyle=":")
        axes.annotate(
            f"asked: {percent(alpha)}",
            (0.01, alpha),
            xycoords=axes.get_yaxis_transform(),
            xytext=(0, 3),
            textcoords="offset points",
            fontsize=_SMALL_PT,
            color=INK,
        )
    axes.set_yscale("log")
    axes.set_ylim(min(alpha or 1, 1 / n) / 2, 1.5)
    axes.yaxis.set_major_formatter(lambda value, _: percent(value))
    axes.set_ylabel("as high or higher")
    strip(axes)


def _draw_threshold(axes: Axes, panel: _Panel) -> None:
    """The threshold as a dashed line, and a light area over all that is rejected, on its right."""
    limit, (low, high) = panel.found.threshold, panel.limits
    margin = 0.04 * (high - low) or 1.0  # a single value has no width
    high = max(high, limit + margin) + margin
    axes.set_xlim(low - margin, high)
    axes.axvline(limit, color=LIMIT, linewidth=1.6, linestyle="--")
    axes.axvspan(limit, high, color=LIMIT, alpha=0.07, linewidth=0)


def _name_threshold(axes: Axes, panel: _Panel) -> None:
    axes.set_title(f"threshold {panel.found.threshold:.5g}", fontsize=10, color=LIMIT, loc="left")


def _note(axes: Axes, x: float, text: str) -> None:
    side = "left" if x < 0.5 else "right"
    axes.text(x, 0.95, text, transform=axes.transAxes, ha=side, va="top", fontsize=_SMALL_PT, color=INK)


def _ranks(n: int) -> NDArray[np.intp]:
    """The ranks, descending to 1; of very many some hundred, the denser the closer to 1."""
    if n <= _MOST_POINTS:
        return np.arange(n, 0, -1)
    return np.unique(np.geomspace(1, n, _MOST_POINTS).round().astype(np.intp))[::-1]
