"""A comparison of two models as a page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import edge_ad
from edge_ad_export.pages.agreement_charts import bar_chart, scatter_chart
from edge_ad_export.pages.variant_table import change_text, figure_text
from edge_ad_metrics.machine import describe_cpu
from edge_ad_report import Fact, Facts, Page, Section, Text

if TYPE_CHECKING:
    from edge_ad_export.compare import Compared

__all__ = ["compare_page"]


def compare_page(found: Compared, created: str) -> Page:
    """Figures, the scores of both against each other, latency and size, and the same frames with the maps of both.

    ``created``: when they were compared, ISO 8601.
    """
    figures = found.fidelity
    facts = [
        Fact(
            "Rank correlation",
            f"{figures.spearman:.4f}",
            f"at least {figure_text(figures.spearman_low)}, over {figures.images} normals, {figures.defects} defects",
        ),
        Fact("Worst map", figure_text(figures.map_correlation_min), "correlation of the two maps"),
        Fact("ROC-AUC change", change_text(figures.roc_auc_lost), "on synthetic defects"),
        Fact("AUPIMO change", change_text(figures.aupimo_lost), "on synthetic defects"),
    ]
    if figures.labelled:
        real = figures.labelled
        facts.append(Fact("Real ROC-AUC", f"{real.roc_auc:.4f}", f"change {change_text(real.roc_auc_lost)}"))
    names = (found.first, found.second)
    latencies, sizes = (found.first_latency_ms, figures.latency_ms), (found.first_size_bytes, figures.size_bytes)
    return Page(
        title="Comparison",
        subtitle=f"{created[:10]} · {found.second} compared with {found.first}",
        lead=(Facts(tuple(facts)),),
        sections=(
            Section("Scores", (scatter_chart(found.second, found.first, found.agreement),)),
            Section(
                "Latency and size",
                (
                    bar_chart(names, latencies, "ms", "Latency of the engine for one frame.", ""),
                    bar_chart(names, [size / 1e6 for size in sizes], "MB", "Size of the model's files.", ""),
                ),
            ),
            Section("The same frames", (Text(_EXAMPLES), *found.galleries)),
        ),
        footer=f"Compared at {created} with edge-ad {edge_ad.__version__}. "
        f"Latencies measured on: {describe_cpu().model}.",
    )


_EXAMPLES = (
    "On the left is the frame, then the frame with the map of each model. Both maps have the colour scale of the first "
    "one. Synthetic defects are outlined in cyan."
)
