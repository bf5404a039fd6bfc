"""From a bundle and labelled data to the figures of the field."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edge_ad.bundle.records import DEFAULT_STATION, RankCalibration
from edge_ad.engines.base import EngineOptions
from edge_ad.errors import CalibrationError, InputError
from edge_ad.thresholds.wording import percent
from edge_ad_calibration.evaluation.observe import (
    Observed,
    Scoring,
    decided_scores,
    observations,
    observe_images,
    scores_of,
)
from edge_ad_calibration.evaluation.records import Evaluation, PixelMetrics, ScoredRow, TypeMetrics
from edge_ad_calibration.evaluation.video import observe_clips
from edge_ad_calibration.normals.known import known_again
from edge_ad_calibration.scoring import MapJournal, ScoreJob, ScorePlan, no_progress
from edge_ad_calibration.scoring.journal import check_room
from edge_ad_calibration.thresholds.methods import utc_now
from edge_ad_metrics.datasets.dataset import check_both_classes
from edge_ad_metrics.datasets.layouts import read_dataset
from edge_ad_metrics.ranking import (
    Scores,
    best_threshold,
    caught_at,
    estimate_average_precision,
    estimate_mean,
    estimate_roc_auc,
    operate,
)

if TYPE_CHECKING:
    from pathlib import Path

    from edge_ad.bundle import Bundle, Variant
    from edge_ad.bundle.records import Calibration
    from edge_ad_calibration.scoring import Progress
    from edge_ad_calibration.thresholds.methods import Clock
    from edge_ad_metrics.datasets.dataset import LabelledSet
    from edge_ad_metrics.pixels import PixelAreas

__all__ = ["Evaluated", "EvaluationRequest", "evaluate_bundle"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationRequest:
    """What is asked for. ``layout``: ``None`` finds out. ``variant``, ``station``: ``None`` is the default one.

    ``pixels``: whether maps are measured too, where the model gives them and masks are there.
    """

    data: Path
    layout: str | None = None
    variant: str | None = None
    station: str | None = None
    pixels: bool = True
    engine: EngineOptions = field(default_factory=EngineOptions)
    plan: ScorePlan = field(default_factory=ScorePlan)


@dataclass(frozen=True, slots=True)
class Evaluated:
    """``data``: what was scored. ``summary``: the figures. ``rows``: each image or frame, in their order.

    ``counted``: what the figures are over: the rows, or of each part the one that scores highest.
    """

    data: LabelledSet
    summary: Evaluation
    rows: tuple[ScoredRow, ...]
    counted: tuple[ScoredRow, ...]


ALMOST_ZERO = 5e-5
"""Below it a figure reads 0.0000."""

RATES = (0.001, 0.005, 0.01, 0.02, 0.05)
"""The false-reject rates, fractions, at which an evaluation says how many anomalies are caught."""


def evaluate_bundle(
    bundle: Bundle, request: EvaluationRequest, progress: Progress = no_progress, now: Clock = utc_now
) -> Evaluated:
    """Measures one variant of ``bundle`` on labelled data, through the artefact and geometry of the device.

    ``now``: tells the time that the result records.

    Raises:
        InputError: no such data, variant or station, labels of one class, images or masks that cannot be used.
        BundleError: the bundle is damaged, or this machine gives other scores than it promises.
        DeviceError: the engine or a clip failed.
    """
    variant = bundle.variant(request.variant)
    calibration = _calibration(bundle, variant, request.station)
    wants_maps = request.pixels and variant.map is not None
    data = read_dataset(request.data, request.layout, masks=wants_maps)
    wants_maps = wants_maps and any(image.masks for image in data.images if image.anomalous)
    if wants_maps and variant.map is not None:
        check_room(request.plan.cache, len(data.images), variant.map.width * variant.map.height)
    with MapJournal(request.plan.cache, str(request.data.absolute())) as journal:
        scoring = Scoring(
            bundle=bundle,
            variant=variant,
            job=ScoreJob(bundle=bundle.path, variant=variant.id, engine=request.engine, maps=wants_maps),
            plan=request.plan,
            progress=progress,
            threshold=calibration.image.threshold if calibration else None,
            limits=calibration.frame_limits if calibration else None,
            journal=journal,
        )
        seen = observe_clips(request.data, data.clips, scoring) if data.clips else observe_images(data.images, scoring)
        counted = observations(seen.rows)
        check_both_classes(request.data, [row.label == 1 for row in counted], "parts")
        summary = _summarise(request, data, scoring, calibration, seen, created=now().isoformat(timespec="seconds"))
        return Evaluated(data, summary, seen.rows, counted)


def _summarise(
    request: EvaluationRequest,
    data: LabelledSet,
    scoring: Scoring,
    calibration: Calibration | None,
    seen: Observed,
    *,
    created: str,
) -> Evaluation:
    manifest, threshold = scoring.bundle.manifest, scoring.threshold
    counted = observations(seen.rows)
    scores = scores_of(counted)
    repeated = _repeated(calibration, seen.rows)
    return Evaluation(
        created=created,
        bundle=f"{manifest.name}@{manifest.version}",
        variant=scoring.variant.id,
        station=(request.station or DEFAULT_STATION) if calibration else None,
        data=str(request.data),
        layout=data.layout,
        observation=_observation(data),
        normal=scores.normal.size,
        anomalous=scores.anomalous.size,
        normals_of_calibration=repeated,
        roc_auc=estimate_roc_auc(scores),
        average_precision=estimate_average_precision(scores),
        rates=tuple(caught_at(scores, rate) for rate in RATES),
        best=operate(scores, best_threshold(scores)),
        calibrated=None if threshold is None else operate(decided_scores(counted), threshold),
        promise=_promise(calibration),
        pixel=_pixel_metrics(seen.areas.get(None)),
        types=_by_type(counted, seen.areas, threshold),
        video=seen.video,
        notes=(
            *data.notes,
            *_notes(request, data, scoring, calibration),
            *_about_repeated(repeated, seen.rows),
            *_about_refused(seen, threshold),
            *_about_localisation(seen.areas.get(None)),
            *seen.notes,
        ),
    )


def _calibration(bundle: Bundle, variant: Variant, station: str | None) -> Calibration | None:
    record = bundle.calibration(variant)
    if record is None:
        if station is not None:
            raise InputError(f"{variant.id} of {bundle.path} is not calibrated, so there is no group {station!r}")
        return None
    name = station or DEFAULT_STATION
    if name not in record.stations:
        raise CalibrationError(f"no calibration for the group {name!r}: calibrated are {', '.join(record.stations)}")
    return record.stations[name]


def _observation(data: LabelledSet) -> str:
    if data.clips:
        return "frame"
    return "part" if any(image.part is not None for image in data.images) else "image"


def _promise(calibration: Calibration | None) -> str | None:
    if not isinstance(calibration, RankCalibration) or calibration.doubt is not None:
        return None
    of = f"normal {calibration.observation}s"
    return f"at most {percent(calibration.alpha)} of {of} rejected, with {percent(calibration.confidence)} confidence"


def _notes(
    request: EvaluationRequest, data: LabelledSet, scoring: Scoring, calibration: Calibration | None
) -> list[str]:
    notes = []
    if calibration is None:
        notes.append(
            f"{scoring.variant.id} is not calibrated, so there is no threshold to measure: run edge-ad calibrate. The "
            "best threshold on these labels is no substitute, because it is chosen with them"
        )
    elif calibration.doubt is not None:
        notes.append(f"the calibration does not show the rate that was asked for: {calibration.doubt}")
    if calibration and (calibration.observation == "part" or calibration.part_by) and _observation(data) != "part":
        notes.append(
            f"the calibration counts {calibration.observation}s, but these data count single images: name the part of "
            "each image in a CSV file with a column part"
        )
    if data.clips:
        notes.append(
            "neighbouring frames of a clip look alike, but the intervals take them for independent and are too narrow"
        )
    unmasked = sum(image.anomalous and not image.masks for image in data.images)
    if scoring.job.maps and unmasked:
        notes.append(f"{unmasked} anomalous images have no mask: they are left out of the pixel metrics")
    elif request.pixels and data.images and not scoring.job.maps:
        lack = "there are no masks" if scoring.variant.map else f"{scoring.variant.id} gives no anomaly map"
        notes.append(f"no pixel metrics: {lack}")
    return notes


def _repeated(calibration: Calibration | None, rows: tuple[ScoredRow, ...]) -> int | None:
    """How many of the normal images the calibration was made from; ``None``: not known."""
    return (
        None if calibration is None else known_again(calibration, [row.pixel_sha256 for row in rows if not row.label])
    )


def _about_repeated(repeated: int | None, rows: tuple[ScoredRow, ...]) -> list[str]:
    if not repeated:
        return []
    normals = sum(not row.label for row in rows)
    which = (
        "the normal images are those"
        if repeated == normals
        else f"{repeated:,} of {normals:,} normal images are among those"
    )
    return [
        f"{which} that the calibration was made from: its threshold was chosen on them, so the false-reject rate here "
        "is lower than it will be; evaluate with normal images that were not used before"
    ]


def _about_refused(seen: Observed, threshold: float | None) -> list[str]:
    """How many images the device refuses for their look or size although their score is not above the threshold."""
    if threshold is None:
        return []
    refused = sum(bool(row.rejected) and row.score <= threshold for row in seen.rows)
    if not refused:
        return []
    return [
        f"{refused} of {len(seen.rows)} images are outside the calibration's limits of frames and count as rejected at "
        "the calibrated threshold, although their score is not above it"
    ]


def _about_localisation(areas: PixelAreas | None) -> list[str]:
    if areas is None or areas.aupimo is None or areas.aupimo.mean() >= ALMOST_ZERO:
        return []
    return [
        "AUPIMO is 0 because some normal pixels have map values as high as the defects: where 1 normal pixel in 10,000 "
        "or fewer may be marked, which is all that AUPIMO allows, the maps mark nothing of them. AUPRO allows far more"
    ]


def _by_type(
    rows: tuple[ScoredRow, ...], areas: dict[str | None, PixelAreas], threshold: float | None
) -> tuple[TypeMetrics, ...]:
    kinds = sorted({row.type for row in rows if row.label == 1})
    return tuple(
        _one_type(kind, scores_of(rows, kind), decided_scores(rows, kind), areas.get(kind), threshold) for kind in kinds
    )


def _one_type(
    kind: str, scores: Scores, decided: Scores, areas: PixelAreas | None, threshold: float | None
) -> TypeMetrics:
    return TypeMetrics(
        type=kind,
        count=scores.anomalous.size,
        roc_auc=estimate_roc_auc(scores),
        average_precision=estimate_average_precision(scores),
        recall=None if threshold is None else operate(decided, threshold).recall,
        pixel=_pixel_metrics(areas),
    )


def _pixel_metrics(areas: PixelAreas | None) -> PixelMetrics | None:
    if areas is None:
        return None
    return PixelMetrics(
        images=areas.images,
        regions=areas.regions,
        roc_auc=areas.roc_auc,
        aupro=areas.aupro,
        aupimo=None if areas.aupimo is None else estimate_mean(areas.aupimo),
    )
