"""The table of the zoo in the docs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ZooRow", "add_row", "short"]

_BEGIN, _END = "<!-- zoo: begin -->", "<!-- zoo: end -->"
_HEADER = (
    "model",
    "trained",
    "importer, score",
    "passes that applied",
    "file, ms",
    "float32",
    "variants",
    "rejected",
    "export, s",
)
_MEASURED = "Measured on "


@dataclass(frozen=True)
class ZooRow:
    """One model. ``trained``: for how long. ``smaller``: the part that the peer has in several sizes, if not in its own
    choice. ``importer``: what found the score, and whose it is. ``file_ms``: the untouched file in the better engine.
    ``float32_gain``: how many times as fast the better float32 variant is. ``gains``: that of every variant that
    passed, ``default`` among them. ``rejected``: variants with the reason. ``export_s``: how long export took.
    ``refused``: why there is no bundle; then all but ``model`` may be missing."""

    model: str
    trained: str = "-"
    smaller: str = ""
    importer: str = "-"
    passes: tuple[str, ...] = ()
    file_ms: float | None = None
    float32_gain: float | None = None
    default: str = "-"
    gains: Mapping[str, float] | None = None
    rejected: tuple[str, ...] = ()
    export_s: float | None = None
    refused: str | None = None


def short(variant: str) -> str:
    """The name of a variant in the table."""
    return variant.replace("openvino", "ov").replace("onnx", "ort")


def add_row(docs: Path, row: ZooRow, measured: str) -> None:
    """Adds a row to the table between the two marks of a document, in the place of that model's old one.

    Rows of other models stay, unless the table has other columns.

    Raises:
        ValueError: the document has no marks.
    """
    text = docs.read_text(encoding="utf-8")
    if text.count(_BEGIN) != 1 or text.count(_END) != 1:
        raise ValueError(f"{docs} has no place for the table: expected {_BEGIN} and {_END}, once each")
    before, rest = text.split(_BEGIN)
    old, after = rest.split(_END)
    rows, missing, machines = _parsed(old)
    rows.pop(row.model, None)
    missing.pop(row.model, None)
    if row.refused:
        missing[row.model] = f"- {row.model}: {row.refused}"
    else:
        rows[row.model] = _line(_cells(row))
    table = [_line(_HEADER), _line(("---",) * len(_HEADER)), *(rows[name] for name in sorted(rows))]
    blocks = ["\n".join(table)]
    if missing:
        blocks += ["Without a bundle:", "\n".join(missing[name] for name in sorted(missing))]
    blocks += dict.fromkeys((_MEASURED + measured, *machines))
    between = "\n\n".join(blocks)
    docs.write_text(f"{before}{_BEGIN}\n\n{between}\n\n{_END}{after}", encoding="utf-8")


def _parsed(table: str) -> tuple[dict[str, str], dict[str, str], list[str]]:
    """The lines of the rows and of what has no bundle, by model, and where they were measured."""
    lines = table.strip().splitlines()
    if not lines or lines[0] != _line(_HEADER):
        return {}, {}, []
    rows = {_model(line[2:].split(" | ")[0]): line for line in lines[2:] if line.startswith("| ")}
    missing = {line[2:].split(":")[0]: line for line in lines if line.startswith("- ")}
    return rows, missing, [line for line in lines if line.startswith(_MEASURED)]


def _model(cell: str) -> str:
    return cell.split(",", maxsplit=1)[0]


def _line(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _cells(row: ZooRow) -> tuple[str, ...]:
    gains = sorted((row.gains or {}).items(), key=lambda one: (one[0] != row.default, -one[1]))
    variants = [f"{short(name)} {gain:.2f}" for name, gain in gains]
    if row.default in (row.gains or {}):
        variants[0] = f"**{variants[0]}**"
    return (
        f"{row.model}, {row.smaller}" if row.smaller else row.model,
        row.trained,
        row.importer,
        ", ".join(row.passes) or "none",
        _figure(row.file_ms),
        "-" if row.float32_gain is None else f"{row.float32_gain:.2f}",
        ", ".join(variants) or "-",
        "; ".join(row.rejected) or "none",
        _figure(row.export_s),
    )


def _figure(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"
