"""The table in the docs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.families.rows import Row

__all__ = ["format_rows", "write_table"]

_BEGIN, _END = "<!-- families: begin -->", "<!-- families: end -->"
_HEADER = (
    "family",
    "model",
    "images",
    "where it came from",
    "float parity",
    "int8 rank corr.",
    "before, ms",
    "after, ms",
    "variant",
    "ROC-AUC",
)


def format_rows(rows: Sequence[Row]) -> str:
    """The rows in Markdown, grouped by family."""
    lines = [_HEADER, ("---",) * len(_HEADER), *map(_cells, sorted(rows, key=lambda row: (row.family, row.data)))]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write_table(docs: Path, rows: Sequence[Row], machine: str) -> None:
    """Replaces what stands between the two marks of a document. Raises :class:`ValueError`: it has no marks."""
    text = docs.read_text()
    if text.count(_BEGIN) != 1 or text.count(_END) != 1:
        raise ValueError(f"{docs} has no place for the table: expected {_BEGIN} and {_END}, once each")
    before, rest = text.split(_BEGIN)
    after = rest.split(_END)[1]
    measured = "Measured on " + machine.replace("\n", "; ") + "."
    docs.write_text(f"{before}{_BEGIN}\n\n{format_rows(rows)}\n\n{measured}\n\n{_END}{after}")


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.family,
        row.model,
        row.data,
        row.origin,
        f"{row.score_parity:.0e}",
        _figure(row.int8_spearman),
        f"{row.before_ms:.2f}",
        f"{row.after_ms:.2f}",
        row.variant,
        _figure(row.roc_auc),
    )


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
