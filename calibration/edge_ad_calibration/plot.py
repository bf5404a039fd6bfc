"""The picture of a calibration: where the normals score and where the threshold lies."""

from __future__ import annotations

import io
from dataclasses import dataclass
from textwrap import wrap
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from edge_ad_calibration.wording import describe_threshold, image_guarantee, percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from edge_ad.bundle.records import Calibration, Threshold
    from edge_ad_calibration.parts import Observations

__all__ = ["draw_calibration"]

_NORMAL, _LIMIT, _INK, _FAINT = "#3b6ea8", "#c0392b", "#222222", "#8a8a8a"
_DPI = 130
_MOST_BINS = 60


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


def draw_calibration(calibration: Calibration, seen: Observations, subject: str) -> bytes:
    """Draws the normals' scores, and their maps' peaks where there is a pixel threshold, with the thresholds.

    Args:
        calibration: what is drawn.
        seen: the observations that it was made from.
        subject: what was calibrated, one short line.

    Returns:
        A PNG file.
    """
    panels = [_Panel("score", "scores", np.sort(seen.scores), calibration.image)]
    if calibration.pixel is not None and seen.peaks is not None:
        label = f"largest map value of a {seen.kind}"
        panels.append(_Panel(label, "map maxima", np.sort(seen.peaks), calibration.pixel))
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
