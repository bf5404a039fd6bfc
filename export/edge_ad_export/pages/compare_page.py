"""A comparison of two models as a page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_ad_export.pages.agreement_charts import bar_chart, scatter_chart
from edge_ad_export.pages.variant_table import figure_text
from edge_ad_metrics.machine import describe_cpu
from edge_ad_report import Fact, Facts, Page, Section, Text

if TYPE_CHECKING:
    from edge_ad_export.compare import Compared

__all__ = ["compare_page"]


def compare_page(found: Compared) -> Page:
    """Figures, scores against one another, latency and size, and the same frames through both."""
    figures = found.fidelity
    lost = figures.roc_auc_lost
    facts = [
        Fact("Rank correlation", f"{figures.spearman:.4f}", f"{figures.images} normals, {figures.defects} defects"),
        Fact("Worst map", figure_text(figures.map_correlation_min), "correlation"),
        Fact("ROC-AUC lost", figure_text(lost), "on synthetic defects"),
        Fact("AUPIMO lost", figure_text(figures.aupimo_lost), "on synthetic defects"),
    ]
    if figures.labelled:
        real = figures.labelled
        facts.append(Fact("Real ROC-AUC", f"{real.roc_auc:.4f}", f"{real.roc_auc_lost:+.4f} lost"))
    names = (found.first, found.second)
    latencies, sizes = (found.first_latency_ms, figures.latency_ms), (found.first_size_bytes, figures.size_bytes)
    return Page(
        title="Comparison",
        subtitle=f"{found.second} against {found.first}",
        lead=(Facts(tuple(facts)),),
        sections=(
            Section("Scores", (scatter_chart(found.second, found.first, found.agreement),)),
            Section(
                "Latency and size",
                (
                    bar_chart(names, latencies, "ms", "Latency of the engine, per frame.", ""),
                    bar_chart(names, [size / 1e6 for size in sizes], "MB", "Size of the model's files.", ""),
                ),
            ),
            Section("The same frames", (Text(_EXAMPLES), *found.galleries)),
        ),
        footer=f"Latencies measured on: {describe_cpu().model}.",
    )


_EXAMPLES = "Left the frame, then each model's map over it, both on the colour scale of the first one's map."
