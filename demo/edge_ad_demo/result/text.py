"""The demo's result as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_ad_demo.result.figures import DemoResult, Figures

__all__ = ["describe"]


def describe(result: DemoResult) -> str:
    """A few lines for the terminal: figures, then where the pictures are."""
    figures = result.figures
    lines = [
        "",
        f"Good parts   {figures.false_rejects} of {figures.good_parts} fresh ones rejected "
        f"({figures.false_rejects / figures.good_parts:.1%})",
        f"             asked: at most {figures.asked.fpr:.0%} in the long run, with "
        f"{figures.asked.confidence:.0%} confidence",
        *_chance_lines(figures),
        *_defect_lines(figures),
        f"ROC-AUC      {figures.roc_auc:.3f} over all defects",
        f"Latency      {figures.latency_ms:.1f} ms per frame, of which the engine {figures.engine_ms:.1f} ms "
        f"(p50, {figures.variant})",
        f"Pictures     {result.sheet}",
        f"             {result.histogram}",
        f"             {result.rejects} (the last that the station rejected)",
        f"Figures      {result.figures_file}",
    ]
    return "\n".join(lines)


def _chance_lines(figures: Figures) -> list[str]:
    if figures.false_rejects == 0:
        return []
    return [
        f"             at exactly {figures.asked.fpr:.0%}, {figures.false_rejects} or more are seen "
        f"in {figures.chance:.0%} of such runs"
    ]


def _defect_lines(figures: Figures) -> list[str]:
    return [
        f"{'Defects' if number == 0 else '':<13}{row.kind.value.replace('_', ' '):<14}"
        f"{row.caught:>3} of {row.parts} caught   ROC-AUC {row.roc_auc:.3f}"
        for number, row in enumerate(figures.defects)
    ]
