"""From a bundle and a set of held-out normals to thresholds with a guarantee, written into the bundle."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

# Used after the scoring only: loaded here, so that a missing library is found before hours of it.
import matplotlib.figure  # noqa: F401
import msgspec
import scipy.stats  # noqa: F401

from edge_ad.bundle import FrameLimits, calibration_name, write_calibrations
from edge_ad.bundle.records import Exclusion, FixedCalibration, RankCalibration, Threshold
from edge_ad.errors import (
    BundleError,
    EdgeAdError,
    EngineError,
    GoldenError,
    InputError,
    MissingExtraError,
    one_line,
)
from edge_ad.files import check_output
from edge_ad.sources.listing import is_stream
from edge_ad.sources.object_table import read_objects
from edge_ad.thresholds.order_statistic import reached_confidence
from edge_ad.thresholds.wording import image_guarantee, pixel_guarantee
from edge_ad_calibration.normals.exclusions import SelectedNormals, list_confirmed, select_normals
from edge_ad_calibration.normals.leaks import Leak
from edge_ad_calibration.normals.measured import Duplicate, collect_normals, engine_record, measure_normals
from edge_ad_calibration.normals.objects import object_names
from edge_ad_calibration.normals.selection import list_normals, list_table
from edge_ad_calibration.pages.publishing import Files, publish
from edge_ad_calibration.request import CalibrationRequest
from edge_ad_calibration.scoring import ScoreJob, no_progress, open_job, score_images
from edge_ad_calibration.stations import MeasuredNormals, StationCalibration, calibrate_each, check_numbers
from edge_ad_calibration.thresholds.groups import Difference
from edge_ad_calibration.thresholds.methods import utc_now

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from edge_ad.bundle import Bundle, Variant, WrittenCalibration
    from edge_ad.sources.object_table import ObjectTable
    from edge_ad_calibration.scoring import Progress
    from edge_ad_calibration.thresholds.methods import Clock

__all__ = [
    "CalibrationRequest",
    "CalibrationResult",
    "CalibrationResults",
    "calibrate_bundle",
    "calibrate_stations",
    "calibrate_variants",
]


class CalibrationResult(msgspec.Struct, frozen=True, kw_only=True):
    """What was calibrated and written for one station.

    ``confidence_reached``: the chance that the asked rate holds, which the exact rank raises above what was asked;
    ``None`` for a method without a guarantee, and where the guarantee is not shown. ``guarantee_shown``: whether
    a guarantee was asked for and nothing was found that refutes it; ``doubt`` says what was found. ``not_checked``:
    what could speak against it and was not checked. ``frames``: how many ``pictures``, images or objects, were scored.
    ``statements``: what is promised, in words. ``frame_limits``: outside of them a frame is refused; ``None`` of
    vectors. ``difference``: between the groups of a pooled calibration. ``uncalibrated``: the other variants of the
    bundle that have no thresholds for this station. ``replaced``: under which number the earlier calibration of this
    station is kept (``edge_ad.bundle.restore_calibration``), or ``None``.
    """

    bundle: str
    variant: str
    station: str
    method: str
    alpha: float | None
    confidence: float | None
    confidence_reached: float | None
    observation: str
    frames: int
    pictures: str
    image: Threshold
    pixel: Threshold | None
    image_guarantee: str
    pixel_guarantee: str | None
    guarantee_shown: bool
    doubt: str | None
    statements: tuple[str, ...]
    warnings: tuple[str, ...]
    frame_limits: FrameLimits | None
    not_checked: tuple[str, ...]
    duplicates: tuple[Duplicate, ...]
    leaks: tuple[Leak, ...]
    exclusions: tuple[Exclusion, ...]
    difference: Difference | None
    uncalibrated: tuple[str, ...]
    calibration: str
    replaced: int | None
    plot: str
    report: str | None
    sheet: str | None


@dataclass(frozen=True)
class CalibrationResults:
    """Of every variant and station that was calibrated. ``left_out``: a sentence for each variant that was not, because
    this machine cannot run it or gives other scores."""

    results: tuple[CalibrationResult, ...]
    left_out: tuple[str, ...] = ()


def calibrate_variants(
    bundle: Bundle, sources: Sequence[str | Path], request: CalibrationRequest, progress: Progress = no_progress
) -> CalibrationResults:
    """As :func:`calibrate_stations`, for every variant that the devices of a bundle for several kinds of CPU need
    (:meth:`Bundle.to_calibrate`), unless the request names one. Of every other bundle it is one variant, too.

    Raises:
        EdgeAdError: as :func:`calibrate_stations`; or no variant at all can be calibrated on this machine.
    """
    if request.variant is not None or not bundle.manifest.orders:
        return CalibrationResults(tuple(calibrate_stations(bundle, sources, request, progress)))
    variants = bundle.to_calibrate()
    if request.outputs.asked and len(variants) > 1:
        raise InputError(
            f"{request.outputs.asked[0]} would be written for each of {', '.join(one.id for one in variants)}, which "
            "are calibrated for several kinds of CPU: leave out --plot, --report and --sheet, or name one --variant"
        )

    def calibrated(variant: str) -> list[CalibrationResult] | EdgeAdError:
        try:
            return calibrate_stations(bundle, sources, replace(request, variant=variant), progress)
        except (GoldenError, MissingExtraError, EngineError) as error:
            return error

    found = {one.id: calibrated(one.id) for one in variants}
    results = [result for some in found.values() if isinstance(some, list) for result in some]
    failures = {name: one for name, one in found.items() if isinstance(one, EdgeAdError)}
    if not results:
        raise next(iter(failures.values()))
    left_out = tuple(f"{name} is not calibrated by this machine: {one_line(why)}" for name, why in failures.items())
    told = (msgspec.structs.replace(one, uncalibrated=_uncalibrated(bundle, one.station)) for one in results)
    return CalibrationResults(tuple(told), left_out)


def calibrate_bundle(
    bundle: Bundle, sources: Sequence[str | Path], request: CalibrationRequest, progress: Progress = no_progress
) -> CalibrationResult:
    """As :func:`calibrate_stations`, for the one station of a request without groups or with pooled ones."""
    (result,) = calibrate_stations(bundle, sources, request, progress)
    return result


def calibrate_stations(
    bundle: Bundle,
    sources: Sequence[str | Path],
    request: CalibrationRequest,
    progress: Progress = no_progress,
    now: Clock = utc_now,
) -> list[CalibrationResult]:
    """Calibrates one variant of ``bundle``, for one station or for each that the groups' CSV file names.

    Other variants and stations keep what they have. The engine and its thread count are those of this run; the
    variant's golden frames are replayed first, so that a machine that scores differently calibrates nothing. When
    anything fails the calibration that was there before is untouched.

    Args:
        bundle: a bundle that is a folder.
        sources: what names the held-out normals, see ``list_normals``; with groups it may be empty, and the images
            of their CSV file are taken.
        request: what is asked for.
        progress: shows how far the scoring is.
        now: tells the time that the calibrations record.

    Raises:
        InputError: no such variant or images, images that cannot be scored, constant scores, a packed bundle, or
            something asked for that does not fit the images.
        NotEnoughNormalsError: the guarantee needs more normals; says how many.
        BundleError: the bundle is damaged, or this machine gives other scores than it promises.
        DeviceError: the engine failed, or a file cannot be written.
    """
    variant = bundle.variant(request.variant)
    _check_places(bundle, variant, request)
    objects = _open_table(bundle, request)
    paths = list(dict.fromkeys(_list(sources, request))) if objects else _list(sources, request)
    plot = request.outputs.plot or (bundle.path / calibration_name(variant)).with_name("calibration.png")
    _check_before_scoring(bundle, paths, request, objects)
    training = list_normals(request.selection.training) if request.selection.training else []
    confirmed = _confirmed(bundle, variant, request)
    job = ScoreJob(bundle=bundle.path, variant=variant.id, engine=request.engine, min_area_px=request.min_area_px)
    # Once for all that follows: scoring, the record of the engine, and the pictures.
    with contextlib.closing(open_job(job)) as opened:
        thinning = request.selection.thinning
        normals = collect_normals(measure_normals(paths, opened, request.plan, thinning, progress, objects))
        selected = select_normals(normals, request.selection, training)
        borderline = collect_normals(score_images(confirmed, opened, request.plan)).scores if confirmed else ()
        engine = engine_record(opened.scorer.engine.info)
        stations = calibrate_each(
            MeasuredNormals(
                selected=selected,
                engine=engine,
                confirmed=tuple(borderline),
                level=bundle.manifest.geometry.level,
                any_size=bundle.manifest.geometry.frame is None,
                reach=opened.scorer.frames_until_score - 1,
            ),
            request,
            now,
        )
        # Pictures before the calibration: an error never leaves a new one behind.
        files = publish(bundle, variant, opened.scorer, stations, request, plot)
    written = write_calibrations(bundle, variant, {station.name: station.calibration for station in stations})
    return [_result(bundle, variant, one, selected, files[one.name], written) for one in stations]


def _open_table(bundle: Bundle, request: CalibrationRequest) -> ObjectTable | None:
    """Where the objects are; ``None`` where every image shows one object, or frames are scored.

    Raises:
        InputError: the file cannot be used, or something is asked for that does not go with objects.
    """
    selection, file = request.selection, request.selection.objects
    if bundle.manifest.geometry.level != "object":
        if file is not None:
            raise InputError("this bundle scores whole frames: leave out --objects, or export with --level object")
        return None
    if selection.confirmed is not None:
        raise InputError("--update scores whole frames, and this bundle scores objects: leave it out")
    if file is None:
        return None
    if selection.training:
        raise InputError("--train compares whole images: leave it out with --objects, or give crops as images")
    if request.plan.cluster is not None:
        raise InputError("objects of frames are scored on this machine: leave out --cluster, or give crops as images")
    return read_objects(file)


def _list(sources: Sequence[str | Path], request: CalibrationRequest) -> list[Path]:
    groups = request.selection.groups
    if sources or groups is None:
        return list_normals(sources, request.selection.thinning)
    return list_table(groups, request.selection.thinning)


def _check_places(bundle: Bundle, variant: Variant, request: CalibrationRequest) -> None:
    """Checks before the scoring that everything can be written; otherwise it would fail hours later.

    Raises:
        InputError: the bundle is packed, or a folder does not exist.
        OutputError: the bundle or a folder cannot be written to.
    """
    if not bundle.path.is_dir():
        raise InputError(f"{bundle.path} is packed: run  edge-ad unpack  first, calibrate the folder, pack again")
    check_output(bundle.path / calibration_name(variant))
    outputs = request.outputs
    for option, path in (("--plot", outputs.plot), ("--report", outputs.report), ("--sheet", outputs.sheet)):
        if path is not None:
            check_output(path, option)


def _check_before_scoring(
    bundle: Bundle, paths: Sequence[Path], request: CalibrationRequest, objects: ObjectTable | None
) -> None:
    """What else would come out after hours of scoring."""
    if bundle.manifest.takes_vectors and request.outputs.sheet:
        raise InputError("--sheet shows pictures, and this bundle takes vectors: leave it out")
    images = [path for path in paths if not is_stream(path)]
    names = object_names(images, objects) if objects else [str(path) for path in images]
    if len(images) == len(paths):
        check_numbers(names, request, bundle.manifest.geometry.level)


def _confirmed(bundle: Bundle, variant: Variant, request: CalibrationRequest) -> list[Path]:
    folder = request.selection.confirmed
    return [] if folder is None else list_confirmed(folder, bundle.artefact_sha256(variant))


def _result(
    bundle: Bundle,
    variant: Variant,
    station: StationCalibration,
    selected: SelectedNormals,
    files: Files,
    written: WrittenCalibration,
) -> CalibrationResult:
    made, kept = station.calibration, written.replaced
    shown = isinstance(made, RankCalibration | FixedCalibration) and made.doubt is None
    reached = reached_confidence(made) if shown and isinstance(made, RankCalibration) else None
    return CalibrationResult(
        bundle=str(bundle.path),
        variant=variant.id,
        station=station.name,
        method=made.method,
        alpha=made.alpha,
        confidence=made.confidence,
        confidence_reached=reached,
        observation=made.observation,
        frames=len(station.normals),
        pictures=station.observations.pictures,
        image=made.image,
        pixel=made.pixel,
        image_guarantee=image_guarantee(made),
        pixel_guarantee=pixel_guarantee(made),
        guarantee_shown=shown,
        doubt=made.doubt,
        statements=made.statements,
        warnings=made.warnings,
        frame_limits=made.frame_limits,
        not_checked=made.not_checked,
        duplicates=station.normals.duplicates,
        leaks=selected.leaks,
        exclusions=made.exclusions,
        difference=station.difference,
        uncalibrated=_uncalibrated(bundle, station.name),
        calibration=str(written.path),
        replaced=kept.number if kept is not None and station.name in kept.stations else None,
        plot=str(files.plot),
        report=None if files.report is None else str(files.report),
        sheet=None if files.sheet is None else str(files.sheet),
    )


def _uncalibrated(bundle: Bundle, station: str) -> tuple[str, ...]:
    shipped = [v for v in bundle.manifest.variants if bundle.manifest.rejected(v.id) is None]
    return tuple(v.id for v in shipped if not _has_station(bundle, v, station))


def _has_station(bundle: Bundle, variant: Variant, station: str) -> bool:
    with contextlib.suppress(BundleError):
        record = bundle.calibration(variant)
        return record is not None and station in record.stations
    return False
