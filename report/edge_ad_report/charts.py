"""One look for the charts of all pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["ANOMALY", "FAINT", "INK", "LIMIT", "NORMAL", "new_figure", "strip"]

# Told apart by people who see no red or green (Okabe and Ito 2008), and legible on white and on black.
NORMAL: Final = "#2f83c0"
ANOMALY: Final = "#d9791e"
LIMIT: Final = "#c8457a"
FAINT: Final = "#8a8f98"
INK: Final = "#1f2428"
"""Lines and letters. In a page they take the colour of the page's text, so that they show in the dark too."""


def new_figure(width_in: float = 5.2, height_in: float = 3.8) -> Figure:
    """An empty figure without background, in inches of which a screen shows 96 pixels; not known to pyplot."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width_in, height_in), layout="constrained", facecolor="none")


def strip(axes: Axes) -> None:
    """Takes away what says nothing, and puts the rest into :data:`INK`. Call it when all else is drawn."""
    axes.set_facecolor("none")
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["bottom", "left"]].set_color(FAINT)
    axes.tick_params(colors=INK, labelsize=9)
    for text in (axes.title, axes.xaxis.label, axes.yaxis.label):
        text.set_color(INK)
    legend = axes.get_legend()
    if legend is not None:
        legend.set_frame_on(False)
        for label in legend.get_texts():
            label.set_color(INK)
