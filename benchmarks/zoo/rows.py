"""The table of the zoo in the docs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ZooRow", "write_rows"]

_BEGIN, _END = "<!-- zoo: begin -->", "<!-- zoo: end -->"
_HEADER = (
    "model",
    "head",
    "passes that applied",
    "file, ms: ONNX Runtime",
    "OpenVINO",
    "bundle, ms: float32",
    "default",
    "gain",
    "export, s",
)


@dataclass(frozen=True)
class ZooRow:
    """One model. ``head``: what export composed, or "of the file". ``onnxruntime_ms``, ``openvino_ms``: the untouched
    file; ``float32_ms``: the faster of the bundle's float32 variants; ``default_ms``: its ``default`` variant.
    ``export_s``: how long export took. ``refused``: why there is no bundle; then all but ``model`` may be missing."""

    model: str
    head: str = "-"
    passes: tuple[str, ...] = ()
    onnxruntime_ms: float | None = None
    openvino_ms: float | None = None
    float32_ms: float | None = None
    default: str = "-"
    default_ms: float | None = None
    export_s: float | None = None
    refused: str | None = None

    @property
    def gain(self) -> float | None:
        """How many times as fast the default variant is as the file in its better engine."""
        before = [one for one in (self.onnxruntime_ms, self.openvino_ms) if one is not None]
        return min(before) / self.default_ms if before and self.default_ms else None


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
        row.head,
        ", ".join(row.passes) or "none",
        _figure(row.onnxruntime_ms),
        _figure(row.openvino_ms),
        _figure(row.float32_ms),
        f"{_figure(row.default_ms)} ({row.default})",
        "-" if row.gain is None else f"{row.gain:.2f}",
        _figure(row.export_s),
    )


def _figure(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"
