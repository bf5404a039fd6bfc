"""The score histogram: good parts and every kind of defect on one axis, with the threshold."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, ScalarFormatter
from numpy.typing import NDArray

from edge_ad_demo.result.figures import GOOD, Figures, FrameVerdict
from edge_ad_demo.result.palette import FAINT, INK, NORMAL, REJECTED

__all__ = ["bin_edges", "draw_histogram"]

_DPI = 110
# Natural logarithm of the ratio of a bin's edges.
_BIN_RATIO = 0.055


def draw_histogram(frames: Sequence[FrameVerdict], figures: Figures) -> bytes:
    """One row of bars for the good parts and one for each kind of defect; a PNG file."""
    scores = {folder: _scores(frames, folder) for folder in (GOOD, *(row.kind.value for row in figures.defects))}
    edges = bin_edges(np.concatenate(list(scores.values())), figures.threshold)
    figure = Figure(figsize=(8.2, 5.6), dpi=_DPI, layout="constrained", facecolor="white")
    rows = figure.subplots(len(scores), 1, sharex=True, height_ratios=[2.2] + [1] * len(figures.defects))
    remarks = [_good_remark(figures), *(f"{row.caught} of {row.parts} caught" for row in figures.defects)]
    for axes, (folder, values), remark in zip(rows, scores.items(), remarks, strict=True):
        _draw_row(axes, values, edges, figures.threshold)
        _label(axes, folder, remark)
    rows[0].set_title(
        f"reject above {figures.threshold:.2f}: at most {figures.asked.fpr:.0%} of good parts, "
        f"with {figures.asked.confidence:.0%} confidence",
        loc="left", pad=10, fontsize=10.5, fontweight="bold", color=INK,
    )  # fmt: skip
    _finish_axis(rows[-1], edges)
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()


def bin_edges(scores: NDArray[np.float64], threshold: float) -> NDArray[np.float64]:
    """Bins of equal ratio around positive scores. One edge lies just above the threshold: no bar is on both sides."""
    limit = np.nextafter(threshold, np.inf)
    below = min(np.floor(np.log(scores.min() / limit) / _BIN_RATIO), 0) - 1
    above = max(np.ceil(np.log(scores.max() / limit) / _BIN_RATIO), 0) + 1
    return np.asarray(limit * np.exp(_BIN_RATIO * np.arange(below, above + 1)), np.float64)


def _scores(frames: Sequence[FrameVerdict], folder: str) -> NDArray[np.float64]:
    return np.array([frame.score for frame in frames if frame.folder == folder], np.float64)


def _good_remark(figures: Figures) -> str:
    return f"{figures.false_rejects} of {figures.good_parts} rejected"


def _draw_row(axes: Axes, values: NDArray[np.float64], edges: NDArray[np.float64], threshold: float) -> None:
    counts, _ = np.histogram(values, edges)
    above = edges[:-1] > threshold
    axes.bar(edges[:-1], counts, np.diff(edges), align="edge", color=np.where(above, REJECTED, NORMAL), linewidth=0)
    axes.axvline(threshold, color=INK, linewidth=1.2, linestyle=(0, (4, 2)))


def _label(axes: Axes, folder: str, remark: str) -> None:
    name = folder.replace("_", " ")
    beside: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "center"}
    axes.annotate(name, (1.02, 0.5), (0, 7), **beside, fontsize=10, fontweight="bold", color=INK)
    axes.annotate(remark, (1.02, 0.5), (0, -7), **beside, fontsize=9, color=FAINT)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=2, integer=True))
    axes.tick_params(labelsize=8.5, colors=FAINT, length=2)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color("#c8ced4")


def _finish_axis(axes: Axes, edges: NDArray[np.float64]) -> None:
    axes.set_xscale("log")
    ticks = [tick for tick in (1, 1.5, 2, 3, 5, 7, 10, 15, 20, 30, 50) if edges[0] <= tick <= edges[-1]]
    axes.set_xticks(ticks)
    axes.set_xticks([], minor=True)
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.set_xlabel("anomaly score, logarithmic  ·  blue: accepted, red: rejected", fontsize=9.5, color=INK)
