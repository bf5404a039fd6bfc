"""An evaluation as a page for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import edge_ad
from edge_ad.detector import Detector
from edge_ad.thresholds.wording import percent
from edge_ad_calibration.evaluation.example_pictures import ExamplePictures
from edge_ad_calibration.evaluation.metric_charts import (
    confusion_chart,
    histogram_chart,
    precision_recall_chart,
    roc_chart,
    types_chart,
)
from edge_ad_calibration.evaluation.observe import scores_of
from edge_ad_calibration.evaluation.records import figure, rate_groups, share, with_interval
from edge_ad_report import Fact, Facts, Gallery, Note, Page, Section, Table, Text

if TYPE_CHECKING:
    from edge_ad.bundle import Bundle
    from edge_ad_calibration.evaluation.evaluate import Evaluated, EvaluationRequest
    from edge_ad_calibration.evaluation.records import Evaluation, VideoMetrics
    from edge_ad_metrics.ranking import Estimate, OperatingPoint

__all__ = ["evaluation_page"]

_PICTURES: Final = 6


def evaluation_page(result: Evaluated, bundle: Bundle, request: EvaluationRequest) -> Page:
    """Figures, charts, the lowest-scoring anomalies and the highest-scoring normals, which are scored once more.

    Raises:
        BundleError, DeviceError: as :meth:`edge_ad.Detector.open`.
    """
    summary = result.summary
    scores = scores_of(result.counted)
    ranking = Section(
        "How well normal and anomalous are told apart",
        (histogram_chart(scores, summary), roc_chart(scores, summary), precision_recall_chart(scores, summary)),
    )
    sections = [ranking, _rates_section(summary), _threshold_section(summary)]
    if len(summary.types) > 1:
        sections.append(Section("By type of defect", (types_chart(result.counted, summary), _types_table(summary))))
    if summary.video:
        sections.append(_video_section(summary.video))
    if not bundle.manifest.takes_vectors:
        sections += _picture_sections(result, bundle, request)
    return Page(
        title="Evaluation",
        subtitle=_subtitle(summary),
        lead=(_facts(summary), *_lead_text(summary), *(Note(_sentence(note), "warning") for note in summary.notes)),
        sections=tuple(sections),
        footer=f"Measured at {summary.created} with edge-ad {edge_ad.__version__}. Brackets hold 95 % confidence "
        "intervals: exact binomial ones for rates, bootstrap ones for all other figures.",
    )


def _subtitle(summary: Evaluation) -> str:
    station = f" · group {summary.station}" if summary.station else ""
    return (
        f"{summary.created[:10]} · {summary.bundle} · {summary.variant}{station} · {summary.data} ({summary.layout}), "
        f"{summary.normal:,} normal and {summary.anomalous:,} anomalous {summary.observation}s"
    )


def _lead_text(summary: Evaluation) -> tuple[Text, ...]:
    if not summary.promise:
        return ()
    return (Text(f"What the calibration promises: {summary.promise}."),)


def _sentence(note: str) -> str:
    return f"{note[0].upper()}{note[1:]}{'' if note.endswith('.') else '.'}"


def _facts(summary: Evaluation) -> Facts:
    facts = [_fact("ROC-AUC", summary.roc_auc), _fact("Average precision", summary.average_precision)]
    if summary.calibrated:
        counts = summary.calibrated.confusion
        facts.append(_counted("Anomalies rejected", counts.true_positives, counts.false_negatives))
        facts.append(_counted("Normals rejected", counts.false_positives, counts.true_negatives))
    if summary.pixel:
        facts += [Fact("Pixel ROC-AUC", figure(summary.pixel.roc_auc)), Fact("AUPRO", figure(summary.pixel.aupro))]
        facts.append(_fact("AUPIMO", summary.pixel.aupimo))
    if summary.video:
        facts.append(Fact("ROC-AUC, macro", figure(summary.video.roc_auc_macro)))
    return Facts(tuple(facts))


def _fact(label: str, estimate: Estimate | None) -> Fact:
    if estimate is None:
        return Fact(label, "-")
    return Fact(label, figure(estimate.value), f"{estimate.low:.3f} to {estimate.high:.3f}")


def _counted(label: str, rejected: int, passed: int) -> Fact:
    return Fact(label, f"{rejected:,} of {rejected + passed:,}", f"{passed:,} pass")


def _rates_section(summary: Evaluation) -> Section:
    rows = tuple(
        (
            f"at most {label}",
            _few(one.normals_rejected, summary.normal, one.rate),
            percent(round(one.false_positive_rate.high, 4)),
            f"{one.threshold:.6g}",
            share(one.anomalies_caught, summary.anomalous),
            f"{one.recall.low:.3f} to {one.recall.high:.3f}",
        )
        for label, one in rate_groups(summary)
    )
    head = (
        "False rejects", "Normals rejected", "On a line, up to", "Rejected above", "Anomalies caught",
        "95 % interval",
    )  # fmt: skip
    text = (
        f"Each threshold is the lowest one that rejects no more than this share of the {summary.normal:,} normal "
        f"{summary.observation}s here. It is taken from these labels, so it shows what is possible; edge-ad calibrate "
        "sets a threshold that holds for parts to come. On a line the rate may be higher than here, because these are "
        "only so many normals: the third column is the upper end of its 95 % interval."
    )
    return Section(
        "How many anomalies are caught at which false-reject rate", (Text(text), Table(head=head, rows=rows))
    )


def _few(rejected: int, normals: int, rate: float) -> str:
    """A rate below one normal cannot be told from a rate of 0."""
    return f"{rejected:,} of {normals:,}{'' if rate * normals >= 1 else ': too few to tell'}"


def _threshold_section(summary: Evaluation) -> Section:
    points = [("Best F1 on these labels", summary.best)]
    if summary.calibrated:
        points.insert(0, ("Calibrated threshold", summary.calibrated))
    table = Table(
        head=("", *(name for name, _ in points)),
        rows=tuple(
            (label, *cells)
            for label, *cells in zip(_POINT_ROWS, *(_point_cells(point) for _, point in points), strict=True)
        ),
    )
    remark = Text(
        "The threshold with the best F1 is taken from these labels. It shows what is possible, not what to expect on a "
        "line, where there are no labels."
    )
    return Section(
        "What the threshold does", (*(confusion_chart(point, name) for name, point in points), table, remark)
    )


_POINT_ROWS: Final = ("Rejected above", "Recall (TPR)", "False rejects (FPR)", "Precision", "F1")


def _point_cells(point: OperatingPoint) -> tuple[str, ...]:
    rates = (point.recall, point.false_positive_rate, point.precision, point.f1)
    return (f"{point.threshold:.6g}", *(with_interval(rate) for rate in rates))


def _types_table(summary: Evaluation) -> Table:
    rows = []
    for one in summary.types:
        pixel = one.pixel
        rows.append(
            (
                one.type,
                f"{one.count:,}",
                figure(one.roc_auc.value),
                figure(one.average_precision.value),
                with_interval(one.recall),
                figure(pixel.roc_auc if pixel else None),
                figure(pixel.aupro if pixel else None),
                figure(pixel.aupimo.value if pixel and pixel.aupimo else None),
            )
        )
    head = ("Type", "Count", "ROC-AUC", "AP", "Rejected when calibrated", "Pixel ROC-AUC", "AUPRO", "AUPIMO")
    return Table(head=head, rows=tuple(rows), caption="Each type against all normals.")


def _video_section(video: VideoMetrics) -> Section:
    rows = [
        ("Clips", f"{video.clips:,}"),
        ("Frame ROC-AUC, micro: all frames together", figure(video.roc_auc_micro)),
        (f"Frame ROC-AUC, macro: mean of {video.clips_with_both} clips", figure(video.roc_auc_macro)),
    ]
    if video.delay:
        delay = video.delay
        rows.append(("Anomalous events detected", f"{delay.detected:,} of {delay.events:,}"))
        rows.append(("Frames to detection, median", "-" if delay.median_frames is None else f"{delay.median_frames:g}"))
        rows.append(
            ("Frames to detection, longest", "-" if delay.longest_frames is None else str(delay.longest_frames))
        )
        rows.append(("Seconds to detection, median", "-" if delay.median_s is None else f"{delay.median_s:.3g}"))
    return Section("Clips", (Table(head=("", "Figure"), rows=tuple(rows)),))


def _picture_sections(result: Evaluated, bundle: Bundle, request: EvaluationRequest) -> list[Section]:
    ascending = sorted(result.counted, key=lambda row: row.score)
    anomalies = [row for row in ascending if row.label == 1]
    normals = [row for row in reversed(ascending) if row.label == 0]
    masks = {str(image.path): image.masks for image in result.data.images if image.masks}
    with Detector.open(bundle, request.variant, request.station, engine=request.engine) as detector:
        pictures = ExamplePictures(detector, masks)
        # Normals first: they set the colour scale.
        alarms, misses = pictures.of(normals, _PICTURES), pictures.of(anomalies, _PICTURES)
    outlined = " The marked defect is outlined in cyan." if masks else ""
    once = "Images that look alike are shown once."
    return [
        Section(
            "The anomalies with the lowest scores: the first to be missed",
            (Text(f"The lowest score comes first. {once}{outlined}"), Gallery(misses)),
        ),
        Section(
            "The normals with the highest scores: the first to be rejected",
            (Text(f"The highest score comes first. {once}"), Gallery(alarms)),
        ),
    ]
