"""One CSV row per frame, for spreadsheets: flat, with a header."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from edge_ad.outputs.jsonlines import CALIBRATED_FIELDS
from edge_ad.outputs.sink import Sink
from edge_ad.outputs.text_lines import LineWriter, printable
from edge_ad.verdict import State

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edge_ad.sources import Frame
    from edge_ad.verdict import Drift, Region, Verdict

__all__ = ["CsvSink"]

_WORST_REGION = tuple(f"worst_{name}" for name in ("x", "y", "width", "height", "area_px", "peak_x", "peak_y", "peak"))
_DRIFT = ("drift", "drift_evidence", "drift_causes", "brightness", "contrast", "sharpness")
_OBJECTS = ("objects", "objects_rejected", *(f"object_{name}" for name in ("x", "y", "width", "height")))
_COLUMNS = (
    *("source", "frame_id", "part_id", "captured_at", "state", "reason", "detail", "score", "p_value", "threshold"),
    *("pixel_threshold", "regions", *_WORST_REGION),
    *_OBJECTS,
    *_DRIFT,
    *("geometry_ms", "engine_ms", "decision_ms", "total_ms", "bundle", "variant", "station"),
)


class CsvSink(Sink):
    """A header, then a row per frame (RFC 4180, UTF-8); what is unknown is empty.

    ``regions`` is their number, ``worst_...`` the one with the highest peak, in camera pixels; all of them are in
    the JSON lines. ``verdicts=False`` leaves out the columns that an uncalibrated bundle cannot fill. ``objects=True``
    adds how many there are, how many are rejected, and the box of the highest-scoring one.
    """

    needs_map = False

    def __init__(self, target: Path | BinaryIO, *, verdicts: bool, objects: bool = False) -> None:
        self._lines = LineWriter(target)
        hidden = frozenset() if verdicts else CALIBRATED_FIELDS | {*_WORST_REGION, *_DRIFT, "objects_rejected"}
        hidden |= frozenset() if objects else frozenset(_OBJECTS)
        self._columns = [column for column in _COLUMNS if column not in hidden]
        self._has_header = False

    def write(self, frame: Frame, verdict: Verdict, anomaly_map: NDArray[np.float32] | None) -> None:  # noqa: ARG002
        if not self._has_header:
            self._lines.write(_row(self._columns))
            self._has_header = True
        cells = _cells(frame, verdict)
        self._lines.write(_row([cells[column] for column in self._columns]))

    def close(self) -> None:
        self._lines.close()


def _cells(frame: Frame, verdict: Verdict) -> dict[str, object]:
    latency = verdict.latency_ms
    worst = max(verdict.regions, key=lambda region: region.peak_score, default=None)
    return {
        "source": printable(frame.source),
        "frame_id": verdict.frame_id,
        "part_id": verdict.part_id,
        "captured_at": verdict.captured_at,
        "state": verdict.state.value,
        "reason": verdict.reason and verdict.reason.value,
        "detail": verdict.detail and printable(verdict.detail),
        "score": verdict.score,
        "p_value": verdict.p_value,
        "threshold": verdict.threshold,
        "pixel_threshold": verdict.pixel_threshold,
        "regions": len(verdict.regions),
        **dict(zip(_WORST_REGION, _worst(worst), strict=True)),
        **dict(zip(_OBJECTS, _objects(verdict), strict=True)),
        **dict(zip(_DRIFT, _drift(verdict.drift), strict=True)),
        "geometry_ms": latency.geometry,
        "engine_ms": latency.engine,
        "decision_ms": latency.decision,
        "total_ms": latency.total,
        "bundle": verdict.bundle,
        "variant": verdict.variant,
        "station": verdict.station,
    }


def _worst(region: Region | None) -> list[int | float | None]:
    if region is None:
        return [None] * len(_WORST_REGION)
    box, peak = region.box, region.peak
    return [box.x, box.y, box.width, box.height, region.area_px, peak.x, peak.y, region.peak_score]


def _objects(verdict: Verdict) -> list[int | None]:
    worst = max(verdict.objects, key=lambda one: one.score, default=None)
    rejected = sum(one.state is State.REJECT for one in verdict.objects)
    box = [None] * 4 if worst is None else [worst.box.x, worst.box.y, worst.box.width, worst.box.height]
    return [len(verdict.objects), rejected, *box]


def _drift(drift: Drift | None) -> list[str | float | None]:
    if drift is None:
        return [None] * len(_DRIFT)
    seen = drift.statistics
    looks = [None, None, None] if seen is None else [seen.brightness, seen.contrast, seen.sharpness]
    return [drift.state.value, drift.evidence, ", ".join(drift.causes), *looks]


def _row(cells: list[str] | list[object]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerow(cells)
    return text.getvalue().encode()
