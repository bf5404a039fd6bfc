"""The table of variants, as text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge_ad.bundle.records import Fidelity, Manifest, Trial
    from edge_ad_export.provenance import Provenance

__all__ = ["SOURCE", "SourceFigures", "change_text", "figure_text", "format_table", "source_figures", "target_lines"]

SOURCE: Final = "as imported"

_HEADER = (
    "variant", "latency", "size", "score error", "rank corr.", "at least", "worst map", "AUC change", "AUPIMO change",
    "",
)  # fmt: skip


def format_table(trials: Sequence[Trial], default: str, provenance: Provenance, written: Sequence[str] = ()) -> str:
    """One line for each variant, and a last one for the imported file. A rejected variant says why it is rejected.

    ``provenance``: of the bundle. ``written``: the ids of the variants that are in it.

    ``score error``: the largest relative error against the imported model. ``rank corr.``: Spearman's rank correlation.
    ``at least``: the lower end of its interval, with 95 % confidence.
    ``worst map``: Pearson's correlation of the map that differs most. ``AUC change``: by how much the area under the
    ROC curve is higher (+) or lower (-) than the imported model's, on labelled images where there are any, else on
    synthetic defects. ``AUPIMO change``: the same of the maps' AUPIMO.
    """
    rows = [_HEADER, *((trial.id, *_figures(trial.fidelity), _note(trial, default, written)) for trial in trials)]
    if (source := source_figures(provenance)) is not None:
        rows.append((SOURCE, source.latency, source.size, *("-",) * (len(_HEADER) - 4), source.name))
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADER))]
    return "\n".join(_line(row, widths) for row in rows)


def target_lines(manifest: Manifest) -> list[str]:
    """Of a bundle for several kinds of CPU, what a device of each kind takes: a sentence each."""
    lines = []
    for kind in manifest.orders:
        first, *others = (one.id for one in manifest.needed_for(kind))
        otherwise = f", or {others[0]} if that scores differently there" if others else ""
        lines.append(f"on {kind} a device takes {first}{otherwise}")
    return lines


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    first, *figures, note = row
    cells = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(figures, widths[1:-1], strict=True))]
    return "  ".join([*cells, note]).rstrip()


def _figures(fidelity: Fidelity | None) -> tuple[str, ...]:
    if fidelity is None:
        return ("-",) * (len(_HEADER) - 2)
    correlation = fidelity.map_correlation_min
    judged = fidelity.labelled or fidelity
    return (
        f"{fidelity.latency_ms:.2f} ms",
        f"{fidelity.size_bytes / 1e6:.1f} MB",
        f"{fidelity.score_max_rel:.1e}",
        f"{fidelity.spearman:.4f}",
        figure_text(fidelity.spearman_low),
        "no map" if correlation is None else f"{correlation:.4f}",
        change_text(judged.roc_auc_lost),
        change_text(judged.aupimo_lost),
    )


def figure_text(figure: float | None) -> str:
    """Four digits, a dash for ``None``."""
    # Adding zero takes the sign from a zero.
    return "-" if figure is None else f"{round(figure, 4) + 0.0:.4f}"


def change_text(lost: float | None) -> str:
    """By how much a figure is higher (+) or lower (-) than the imported model's; a dash for ``None``.

    ``lost``: the other way round, as the records have it.
    """
    if lost is None:
        return "-"
    change = round(-lost, 4)
    return f"{change:+.4f}" if change else "0.0000"


@dataclass(frozen=True)
class SourceFigures:
    """The imported file as a row of the table. ``name``: with what its latency leaves out."""

    name: str
    latency: str
    size: str


def source_figures(provenance: Provenance) -> SourceFigures | None:
    """The imported file; ``None`` for a bundle of an earlier version, which does not record its size and latency."""
    name, size, latency = (provenance.get(key) for key in ("source", "source_bytes", "source_latency_ms"))
    if not isinstance(size, int):
        return None
    shown = f"{latency:.2f} ms" if isinstance(latency, float) else "-"
    left_out = ", without the score that export composes" if provenance.get("source_score_composed") else ""
    return SourceFigures(f"{name}{left_out}", shown, f"{size / 1e6:.1f} MB")


def _note(trial: Trial, default: str, written: Sequence[str]) -> str:
    if trial.rejected:
        return f"rejected{', but written' if trial.id in written else ''}: {trial.rejected}"
    return "default" if trial.id == default else ""
