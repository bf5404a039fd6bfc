"""The table of the zoo in the docs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ZooRow", "write_rows"]

_BEGIN, _END = "<!-- zoo: begin -->", "<!-- zoo: end -->"
_HEADER = (
    "model",
    "passes that applied",
    "file, ms",
    "float32, times as fast",
    "default variant",
    "times as fast",
    "rejected",
    "export, s",
)


@dataclass(frozen=True)
class ZooRow:
    """One model. ``file_ms``: the untouched file in the better engine. ``float32_gain``, ``default_gain``: how many
    times as fast the better float32 variant and the ``default`` variant are. ``rejected``: variants with the reason.
    ``export_s``: how long export took. ``refused``: why there is no bundle; then all but ``model`` may be missing."""

    model: str
    passes: tuple[str, ...] = ()
    file_ms: float | None = None
    float32_gain: float | None = None
    default: str = "-"
    default_gain: float | None = None
    rejected: tuple[str, ...] = ()
    export_s: float | None = None
    refused: str | None = None


def write_rows(docs: Path, rows: Sequence[ZooRow], measured: str) -> None:
    """Replaces what stands between the two marks of a document. Raises :class:`ValueError`: it has no marks."""
    text = docs.read_text(encoding="utf-8")
    if text.count(_BEGIN) != 1 or text.count(_END) != 1:
        raise ValueError(f"{docs} has no place for the table: expected {_BEGIN} and {_END}, once each")
    before, rest = text.split(_BEGIN)
    after = rest.split(_END)[1]
    told = [f"- {row.model}: {row.refused}" for row in rows if row.refused]
    lines = [_HEADER, ("---",) * len(_HEADER), *(_cells(row) for row in rows if not row.refused)]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    missing = "\n\nWithout a bundle:\n\n" + "\n".join(told) if told else ""
    docs.write_text(f"{before}{_BEGIN}\n\n{table}{missing}\n\n{measured}\n\n{_END}{after}", encoding="utf-8")


def _cells(row: ZooRow) -> tuple[str, ...]:
    return (
        row.model,
        ", ".join(row.passes) or "none",
        _figure(row.file_ms),
        _gain(row.float32_gain),
        row.default,
        _gain(row.default_gain),
        "; ".join(row.rejected) or "none",
        _figure(row.export_s),
    )


def _gain(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _figure(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"
