"""What an evaluation leaves: lines for a terminal, and files."""

from __future__ import annotations

import csv
import importlib
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_ad.files import atomic_write, check_output
from edge_ad_calibration.evaluation.records import figure, rate_groups, share, with_interval

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from edge_ad.bundle import Bundle
    from edge_ad_calibration.evaluation.evaluate import Evaluated, EvaluationRequest
    from edge_ad_calibration.evaluation.records import Evaluation, ScoredRow, VideoMetrics
    from edge_ad_metrics.ranking import OperatingPoint

__all__ = ["EvaluationFiles", "lines", "rows_as_csv"]

_COLUMNS = ("path", "label", "type", "part", "score", "rejected")


def lines(result: Evaluation) -> Iterator[str]:
    """What a person wants to know, line by line."""
    yield f"{result.bundle}  {result.variant}" + (f"  group {result.station}" if result.station else "")
    yield (
        f"{result.data} ({result.layout}): {result.normal:,} normal and {result.anomalous:,} anomalous "
        f"{result.observation}s; in brackets 95 % confidence intervals"
    )
    yield ""
    yield _line("ROC-AUC", with_interval(result.roc_auc))
    yield _line("average precision", with_interval(result.average_precision))
    if result.pixel:
        yield _line("pixel ROC-AUC", figure(result.pixel.roc_auc))
        yield _line("AUPRO", figure(result.pixel.aupro))
        yield _line("AUPIMO", with_interval(result.pixel.aupimo))
    if result.video:
        yield from _video(result.video)
    if result.calibrated:
        yield from _operating("calibrated", result.calibrated)
        if result.promise:
            yield _line("promised", result.promise)
    yield from _operating("threshold with the best F1 on these labels", result.best)
    yield from _rates(result)
    if len(result.types) > 1:
        yield from _types(result)
    for note in result.notes:
        yield f"note: {note}"


def rows_as_csv(rows: Iterable[ScoredRow]) -> bytes:
    """A header, then a row per image or frame (RFC 4180, UTF-8); ``rejected`` is empty without a calibration."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(_COLUMNS)
    for row in rows:
        rejected = "" if row.rejected is None else int(row.rejected)
        writer.writerow([row.path, row.label, row.type, row.part, row.score, rejected])
    return text.getvalue().encode()


def _line(name: str, text: str) -> str:
    return f"  {name:<22} {text}"


def _operating(name: str, point: OperatingPoint) -> Iterator[str]:
    counts = point.confusion
    yield f"{name}: rejected above {point.threshold:.6g}"
    yield _line("recall (TPR)", with_interval(point.recall))
    yield _line("false rejects (FPR)", with_interval(point.false_positive_rate))
    yield _line("precision", with_interval(point.precision))
    yield _line("F1", with_interval(point.f1))
    caught, false = counts.true_positives, counts.false_positives
    yield _line(
        "anomalous", f"{caught:,} of {caught + counts.false_negatives:,} rejected, {counts.false_negatives:,} pass"
    )
    yield _line("normal", f"{false:,} of {false + counts.true_negatives:,} rejected, {counts.true_negatives:,} pass")


def _rates(result: Evaluation) -> Iterator[str]:
    """How many anomalies are caught where few of these normals are rejected."""
    yield "anomalies caught if at most this share of these normals is rejected:"
    for label, one in rate_groups(result):
        caught = share(one.anomalies_caught, result.anomalous)
        few = "" if one.rate * result.normal >= 1 else ", too few to tell this rate from 0"
        yield _line(label, f"{caught}; {one.normals_rejected:,} of {result.normal:,} normals rejected{few}")


def _video(video: VideoMetrics) -> Iterator[str]:
    yield _line("ROC-AUC, micro", figure(video.roc_auc_micro))
    of = f"over {video.clips_with_both} of {video.clips} clips, those with frames of both classes"
    yield _line("ROC-AUC, macro", f"{figure(video.roc_auc_macro)} {of}")
    if video.delay is None:
        return
    delay = video.delay
    text = f"{delay.detected} of {delay.events} events"
    if delay.detected:
        seconds = "" if delay.median_s is None else f" ({delay.median_s:.3g} s)"
        text += f", after {delay.median_frames:g} frames{seconds} at the median, {delay.longest_frames} at most"
    yield _line("detected", text)


def _types(result: Evaluation) -> Iterator[str]:
    """Each type against all normals."""
    width = max(len(one.type) for one in result.types)
    heads = ("count", "ROC-AUC", "AP", "recall", "px AUC", "AUPRO", "AUPIMO")
    yield f"{'type':<{width}}" + "".join(f"{head:>9}" for head in heads)
    for one in result.types:
        pixel = one.pixel
        cells = (
            one.roc_auc.value,
            one.average_precision.value,
            one.recall.value if one.recall else None,
            pixel.roc_auc if pixel else None,
            pixel.aupro if pixel else None,
            pixel.aupimo.value if pixel and pixel.aupimo else None,
        )
        yield f"{one.type:<{width}}{one.count:>9,}" + "".join(f"{figure(cell):>9}" for cell in cells)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationFiles:
    """The files to write. ``table``: a CSV file. ``report``: an HTML page. ``None`` writes none."""

    table: Path | None = None
    report: Path | None = None

    def check(self) -> None:
        """Finds before the scoring what would otherwise fail hours later.

        Raises:
            InputError, OutputError: a file cannot be written where it is asked for.
            ModuleNotFoundError: a library is missing that draws the page.
        """
        for option, path in (("--csv", self.table), ("--report", self.report)):
            if path is not None:
                check_output(path, option)
        if self.report is not None:
            for needed in ("jinja2", "matplotlib"):
                importlib.import_module(needed)

    def write(self, result: Evaluated, bundle: Bundle, request: EvaluationRequest) -> None:
        """Writes each file whole or not at all. The page's pictures are scored once more.

        Raises:
            OutputError: a file cannot be written.
        """
        if self.table is not None:
            atomic_write(self.table, rows_as_csv(result.rows))
        if self.report is not None:
            from edge_ad_calibration.evaluation.evaluation_page import evaluation_page
            from edge_ad_report import write_page

            write_page(self.report, evaluation_page(result, bundle, request))
