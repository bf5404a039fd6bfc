"""The charts of both pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from edge_ad_report import ANOMALY, FAINT, INK, NORMAL, figure_svg, new_figure, strip

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge_ad_export.fidelity.agreement import Agreement
    from edge_ad_report import Chart

__all__ = ["bar_chart", "scatter_chart"]

_ROW_IN: Final = 0.34


def scatter_chart(name: str, reference: str, agreement: Agreement) -> Chart:
    """The scores over those of the reference; normals and synthetic defects have their own marks."""
    figure = new_figure()
    axes = figure.subplots()
    both = np.concatenate([agreement.reference, agreement.defect_reference])
    ends = [float(both.min()), float(both.max())]
    axes.plot(ends, ends, color=FAINT, linewidth=1, linestyle=":")
    axes.scatter(agreement.reference, agreement.scores, s=16, color=NORMAL, label="normal", alpha=0.8)
    axes.scatter(
        agreement.defect_reference, agreement.defect_scores, s=20, color=ANOMALY, marker="^", label="synthetic defect"
    )
    axes.set_xlabel(f"score of {reference}")
    axes.set_ylabel(f"score of {name}")
    axes.legend(loc="upper left", fontsize=9)
    strip(axes)
    return figure_svg(
        figure,
        alt=f"scores of {name} over those of {reference}, rank correlation {agreement.spearman:.4f}",
        caption=f"{name}: rank correlation {agreement.spearman:.4f}, among normals {agreement.spearman_normals:.4f}. "
        "On the dotted line both scores are equal.",
    )


def bar_chart(names: Sequence[str], values: Sequence[float], unit: str, caption: str, best: str) -> Chart:
    """One bar for each variant; that of ``best`` has a colour of its own."""
    figure = new_figure(height_in=0.8 + _ROW_IN * len(names))
    axes = figure.subplots()
    places = range(len(names))
    axes.barh(places, values, color=[NORMAL if name == best else FAINT for name in names], height=0.62)
    axes.set_yticks(places, names)
    axes.invert_yaxis()
    axes.set_xlabel(unit)
    for place, value in zip(places, values, strict=True):
        label = f"{value:.3g}"
        axes.annotate(
            label, (value, place), xytext=(4, 0), textcoords="offset points", va="center", fontsize=9, color=INK
        )
    axes.margins(x=0.15)
    strip(axes)
    shown = ", ".join(f"{name} {value:.3g} {unit}" for name, value in zip(names, values, strict=True))
    return figure_svg(figure, alt=shown, caption=caption)
