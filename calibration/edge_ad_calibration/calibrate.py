"""From a bundle and a set of held-out normals to thresholds with a guarantee, written into the bundle."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import msgspec

import edge_ad
from edge_ad.bundle import Bundle, calibration_name, write_calibration
from edge_ad.bundle.records import DEFAULT_STATION, Calibration, Identifier, OrderStatistic, Variant
from edge_ad.detector import open_scorer
from edge_ad.engines import EngineOptions
from edge_ad.errors import BundleError, InputError
from edge_ad.files import atomic_write
from edge_ad.golden import replay
from edge_ad_calibration.collect import Duplicate, Normals, list_normals, score_normals
from edge_ad_calibration.order_statistic import (
    attained_confidence,
    check_enough,
    check_probability,
    threshold,
)
from edge_ad_calibration.plot import draw_calibration
from edge_ad_calibration.wording import image_guarantee, pixel_guarantee

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from edge_ad_calibration.collect import Track

__all__ = ["CalibrationRequest", "CalibrationResult", "calibrate_bundle"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationRequest:
    """What is asked for.

    ``alpha``: the rate of false rejects that must not be exceeded, and of normal frames with any region.
    ``confidence``: the chance that this holds; at least one half.
    ``variant``: ``None`` is the bundle's default one. ``plot``: ``None`` puts the picture into the bundle.

    Raises:
        InputError: a rate, the confidence or the station's name cannot be used.
    """

    alpha: float
    confidence: float
    variant: str | None = None
    station: str = DEFAULT_STATION
    plot: Path | None = None
    engine: EngineOptions = field(default_factory=EngineOptions)

    def __post_init__(self) -> None:
        check_probability("false-reject rate", self.alpha)
        check_probability("confidence", self.confidence)
        if self.confidence < 0.5:
            raise InputError(
                f"a confidence of {self.confidence:g} promises nothing: expected 0.5 or more, "
                f"did you mean {1 - self.confidence:g}?"
            )
        try:
            msgspec.convert(self.station, Identifier)
        except msgspec.ValidationError:
            raise InputError(
                f"{self.station!r} cannot name a station: expected up to 64 letters, digits, dots, dashes "
                "and underscores, the first a letter or digit"
            ) from None


class CalibrationResult(msgspec.Struct, frozen=True, kw_only=True):
    """What was calibrated and written.

    ``confidence_reached``: the chance that the asked rate holds, which the exact rank raises above what was
    asked. ``uncalibrated``: the other variants of the bundle that have no thresholds for this station.
    """

    bundle: str
    variant: str
    station: str
    alpha: float
    confidence: float
    confidence_reached: float
    image: OrderStatistic
    pixel: OrderStatistic | None
    image_guarantee: str
    pixel_guarantee: str | None
    duplicates: tuple[Duplicate, ...]
    uncalibrated: tuple[str, ...]
    calibration: str
    plot: str


def calibrate_bundle(
    bundle: Bundle, sources: Sequence[str | Path], request: CalibrationRequest, track: Track = contextlib.nullcontext
) -> CalibrationResult:
    """Calibrates one variant of ``bundle`` for one station. Other variants and stations keep what they have.

    The engine and its thread count are those of this run; the variant's golden frames are replayed first, so
    that a machine that scores differently calibrates nothing. When anything fails the calibration that was
    there before is untouched.

    Args:
        bundle: a bundle that is a folder.
        sources: image files, folders, globs of held-out normals, one image per part.
        request: what is asked for.
        track: wraps the sequence of images to show progress.

    Raises:
        InputError: no such variant or images, images that cannot be scored, constant scores, a packed bundle.
        NotEnoughNormalsError: the guarantee needs more normals; says how many.
        BundleError: the bundle is damaged, or this machine gives other scores than it promises.
        DeviceError: the engine failed, or a file cannot be written.
    """
    variant = bundle.variant(request.variant)
    plot = request.plot or _plot_path(bundle, variant, request.station)
    paths = list_normals(sources)
    _check_before_scoring(bundle, plot, len(paths), request)
    normals = _measure(bundle, variant, paths, request.engine, track)
    calibration = _decide(normals, request)
    subject = f"{bundle.manifest.name}@{bundle.manifest.version} · {variant.id} · station {request.station}"
    picture = draw_calibration(calibration, normals.peaks, f"{subject} · {calibration.created}")
    atomic_write(plot, picture)  # before the calibration: an error never leaves a new one behind
    file = write_calibration(bundle, variant, request.station, calibration)
    return CalibrationResult(
        bundle=str(bundle.path),
        variant=variant.id,
        station=request.station,
        alpha=calibration.alpha,
        confidence=calibration.confidence,
        confidence_reached=attained_confidence(calibration.image, calibration.alpha),
        image=calibration.image,
        pixel=calibration.pixel,
        image_guarantee=image_guarantee(calibration),
        pixel_guarantee=pixel_guarantee(calibration) if calibration.pixel else None,
        duplicates=normals.duplicates,
        uncalibrated=_uncalibrated(bundle, request.station),
        calibration=str(file),
        plot=str(plot),
    )


def _check_before_scoring(bundle: Bundle, plot: Path, images: int, request: CalibrationRequest) -> None:
    """What would otherwise come out after hours of scoring."""
    if not bundle.path.is_dir():
        raise InputError(f"{bundle.path} is packed: run  edge-ad unpack  first, calibrate the folder, pack again")
    if not plot.parent.is_dir():
        raise InputError(f"{plot}: its folder does not exist: create it first")
    check_enough(images, request.alpha, request.confidence)


def _measure(bundle: Bundle, variant: Variant, paths: Sequence[Path], options: EngineOptions, track: Track) -> Normals:
    # Not Detector.open: it refuses a bundle whose calibration is stale, which is what is to be replaced here.
    with contextlib.closing(open_scorer(bundle, variant, options)) as scorer:
        replay(bundle, variant, scorer)
        return score_normals(paths, scorer, track)


def _decide(normals: Normals, request: CalibrationRequest) -> Calibration:
    alpha, confidence = request.alpha, request.confidence
    peaks = normals.peaks
    return Calibration(
        method="order-statistic",
        alpha=alpha,
        confidence=confidence,
        image=threshold(normals.scores, alpha, confidence),
        pixel=None if peaks is None else threshold(peaks, alpha, confidence, what="largest map value"),
        scores=tuple(sorted(normals.scores.tolist())),
        observation="frame",
        images_sha256=normals.images_sha256,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        producer=f"edge-ad {edge_ad.__version__}",
    )


def _plot_path(bundle: Bundle, variant: Variant, station: str) -> Path:
    suffix = "" if station == DEFAULT_STATION else f"-{station}"
    return (bundle.path / calibration_name(variant)).with_name(f"calibration{suffix}.png")


def _uncalibrated(bundle: Bundle, station: str) -> tuple[str, ...]:
    return tuple(v.id for v in bundle.manifest.variants if not _has_station(bundle, v, station))


def _has_station(bundle: Bundle, variant: Variant, station: str) -> bool:
    with contextlib.suppress(BundleError):
        record = bundle.calibration(variant)
        return record is not None and station in record.stations
    return False
