"""Thresholds from the parts that were taught: ``python -m edge_ad.teaching``, a process of its own.

The same order statistic, limits of frames and record as ``edge-ad calibrate`` makes on a workstation. The bundle in
force is not touched: what is proposed is a whole bundle in a folder of its own.
"""

from __future__ import annotations

import contextlib
import itertools
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec
import numpy as np

import edge_ad
from edge_ad.bundle import DEFAULT_STATION, Bundle, FrameLimits, write_calibrations
from edge_ad.bundle.records import EngineRecord, Exclusion, RankCalibration
from edge_ad.detector import Detector
from edge_ad.engines import EngineOptions
from edge_ad.errors import EdgeAdError, InputError, named
from edge_ad.scoring.frame_statistics import frame_reference
from edge_ad.scoring.opening import open_proven_scorer
from edge_ad.sources import read_image
from edge_ad.teaching.derived import copy_bundle, with_regions
from edge_ad.teaching.measuring import Measured, TaughtPart, measure
from edge_ad.teaching.session import ExcludedPart, Regions, TeachingFolder
from edge_ad.thresholds.correlation import matters, rate_shown
from edge_ad.thresholds.frame_limits import learn_limits, limits_risk
from edge_ad.thresholds.order_statistic import (
    USUAL_RATES,
    confidence_with_excluded,
    kept_scores,
    largest_rank,
    reached_confidence,
    round_up,
    smallest_alpha,
    smallest_n,
    threshold,
)
from edge_ad.thresholds.pixels import hash_of_all, hash_pixels, image_marks
from edge_ad.thresholds.wording import about_refused, image_guarantee, pixel_guarantee

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge_ad.bundle.records import Calibration, Variant
    from edge_ad.scoring.scorer import Scorer

__all__ = ["CalibrateOrder", "Proposal", "RefusedCalibration", "calibrate_taught", "frames_only"]

_SHOWN = 12
_NOT_CHECKED = (
    "whether a part was among those that the model was trained on, which only edge-ad calibrate --train can say"
)


class CalibrateOrder(msgspec.Struct, frozen=True, kw_only=True):
    """``bundle``: the one in force, with how an inspection uses it. ``folder``, ``inspection``, ``recipe``: of what was
    taught. ``others``: variants that other inspections name, whose calibrations stay."""

    bundle: str
    variant: str | None
    calibration: str | None
    device: str
    threads: int | None
    folder: str
    inspection: str
    recipe: str
    is_signed: bool = False
    others: tuple[str, ...] = ()


class RefusedCalibration(msgspec.Struct, frozen=True, kw_only=True, tag="refused"):
    """Why nothing is proposed. ``needed``: so many parts would be enough, where that is the reason; ``rate``: what
    the ``parts`` that there are can promise."""

    version: int
    reason: Literal["too_few", "failed"]
    detail: str
    parts: int = 0
    needed: int | None = None
    rate: float | None = None


class Proposal(msgspec.Struct, frozen=True, kw_only=True, tag="proposed"):
    """New thresholds. ``version``: of the session that they were made from; ``base``: the seal of the bundle in force.

    ``parts``: which were counted, of ``frames``. ``reached``: the confidence that the exact rank gives; ``None`` where
    the guarantee is not shown, and ``doubt`` says why. ``before``: the threshold in force; ``rejected_before``: so many
    of these parts are above it. ``rejected``: above the new one, or outside the limits of frames. ``more``: for lower
    rates, how many parts each would need. ``highest``: the parts with the highest scores. ``regions``: what is
    inspected changes, so that scores before and after cannot be compared.
    """

    version: int
    base: str
    parts: int
    frames: int
    copies: int
    alpha: float
    confidence: float
    rank: int
    threshold: float
    pixel_threshold: float | None
    reached: float | None
    doubt: str | None
    statements: tuple[str, ...]
    before: float | None
    rejected_before: int | None
    rejected: int
    more: tuple[tuple[float, int], ...]
    highest: tuple[TaughtPart, ...]
    scores: tuple[float, ...]
    limits: tuple[str, ...]
    regions: Regions | None = None


def frames_only(bundle: Bundle) -> None:
    """Raises :class:`InputError` for a bundle that does not score single frames."""
    if bundle.manifest.clip is not None or bundle.manifest.geometry.level != "frame":
        raise InputError(
            "parts can be taught to bundles that score single frames; calibrate this one with edge-ad calibrate"
        )


def calibrate_taught(order: CalibrateOrder) -> Proposal | RefusedCalibration:
    """Scores what was taught with the bundle, and writes the bundle that is proposed.

    Raises:
        EdgeAdError: the bundle, a frame or the disk is at fault.
    """
    taught = TeachingFolder(Path(order.folder), order.inspection, order.recipe)
    session = taught.session()
    out = {one.part for one in session.excluded}
    parts = {part: frames for part, frames in taught.parts().items() if part not in out}
    alpha, confidence = session.alpha, session.confidence
    needed = smallest_n(alpha, confidence)
    if len(parts) < needed:
        return _too_few(session.version, len(parts), needed, confidence)
    bundle = Bundle.open(order.bundle)
    frames_only(bundle)
    options = EngineOptions(device=order.device, threads=order.threads, spin=False, flush_denormals=True)
    regions = session.regions
    taught.discard_proposal()
    with contextlib.ExitStack() as stack:
        # As the station opens it, so that what is taught is the variant that scores here.
        detector = stack.enter_context(
            Detector.open(bundle, order.variant, order.calibration, engine=options, calibrated=False)
        )
        variant, base, scorer = detector.variant, bundle, detector.scorer
        before = _calibration(bundle, variant, order.calibration)
        if regions is not None:
            detector.close()
            pictures = [read_image(taught.picture(frames[0].name or "")) for frames in list(parts.values())[:4]]
            base = stack.enter_context(
                with_regions(bundle, variant, regions, pictures, options, order.is_signed, taught.folder)
            )
            scorer, _ = open_proven_scorer(base, variant, options)
            stack.callback(scorer.close)
        measured = measure(scorer, parts, taught)
        if len(measured.parts) < needed:
            return _too_few(session.version, len(measured.parts), needed, confidence)
        made = _calibrated(measured, scorer, base, alpha, confidence)
        made = _with_excluded(made, session.excluded, scorer, taught)
        others = () if regions is not None else (*_passed_over(bundle, order, variant), *order.others)
        copy = copy_bundle(base, taught.proposed, keep=(variant.id, *others))
        write_calibrations(copy, copy.variant(variant.id), {order.calibration or DEFAULT_STATION: made})
    told = _proposal(session.version, measured, made, None if regions is not None else before, regions)
    return msgspec.structs.replace(told, base=bundle.manifest.seal)


def _passed_over(bundle: Bundle, order: CalibrateOrder, variant: Variant) -> list[str]:
    """What is tried before ``variant`` on this device, and is not used. Of a bundle for one kind of CPU it keeps its
    calibration, without which nothing could take its place; of every other one the taught variant then comes first."""
    if order.variant is not None or bundle.target is not None:
        return []
    return [one.id for one in itertools.takewhile(lambda one: one != variant, bundle.choices(order.calibration))]


def _too_few(version: int, parts: int, needed: int, confidence: float) -> RefusedCalibration:
    rate = round_up(smallest_alpha(parts, confidence)) if parts else None
    detail = f"{parts} parts were counted, and {needed} are needed"
    return RefusedCalibration(version=version, reason="too_few", detail=detail, parts=parts, needed=needed, rate=rate)


def _calibration(bundle: Bundle, variant: Variant, station: str | None) -> Calibration | None:
    record = bundle.calibration(variant)
    return None if record is None else record.stations.get(station or DEFAULT_STATION)


def _calibrated(measured: Measured, scorer: Scorer, bundle: Bundle, alpha: float, confidence: float) -> RankCalibration:
    scores = measured.scores
    n = scores.size
    rank = largest_rank(n, alpha, confidence)
    limits, outside = _limits(measured, rank, alpha, confidence, any_size=bundle.manifest.geometry.frame is None)
    measured.outside = outside
    has_map = bool(measured.peaks) and bool(np.isfinite(measured.peaks).all())
    info = scorer.engine.info
    length = matters(scores)
    made = RankCalibration(
        alpha=alpha,
        confidence=confidence,
        image=threshold(scores, alpha, confidence, rank=rank, outside=outside),
        pixel=threshold(measured.peaks, alpha, confidence, rank=rank, what="largest map value") if has_map else None,
        scores=kept_scores(scores),
        observation="part" if measured.frames > n else "frame",
        part_by="the station's part ids" if measured.frames > n else None,
        images_sha256=hash_of_all(measured.pixels),
        images=image_marks(measured.pixels),
        frames=measured.frames,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        producer=f"edge-ad {edge_ad.__version__} (taught at the station)",
        doubt=None if length is None else _doubt(rank, n, length, alpha, confidence),
        not_checked=(_NOT_CHECKED,),
        engine=EngineRecord(
            name=info.name, version=info.version, device=info.device, precision=info.precision, threads=info.threads
        ),
        frame_limits=limits,
        frame_reference=frame_reference([measured.statistics[place] for place in measured.first_frames()]),
    )
    pixel = pixel_guarantee(made)
    statements = (image_guarantee(made), *([pixel] if pixel else []), *about_refused(made))
    return msgspec.structs.replace(made, statements=statements)


def _with_excluded(
    made: RankCalibration, excluded: tuple[ExcludedPart, ...], scorer: Scorer, taught: TeachingFolder
) -> RankCalibration:
    """The record with the parts that a person took out, and what would hold if they had been good after all."""
    parts, found, warnings = taught.parts(), [], []
    for one in excluded:
        try:
            pixels = [read_image(taught.picture(frame.name or "")) for frame in parts.get(one.part, [])]
            scores = [scorer.measure(each).score for each in pixels]
            best = int(np.argmax(scores))
        except (EdgeAdError, ValueError):  # it was taken out because it cannot be scored
            warnings.append(f"{one.part} was taken out by {one.who}: {one.reason}")
            continue
        reason = f"{one.reason} ({one.who})"
        digest = hash_pixels(pixels[best])
        found.append(Exclusion(image=one.part, pixel_sha256=digest, score=scores[best], reason=reason, by="person"))
    if not found:
        return msgspec.structs.replace(made, warnings=tuple(warnings))
    reached = confidence_with_excluded(made.image, made.alpha, len(found))
    said = f"{len(found)} parts were taken out. If they were all good, the confidence is {100 * reached:.3g} %."
    return msgspec.structs.replace(
        made, exclusions=tuple(found), warnings=tuple(warnings), statements=(*made.statements, said)
    )


def _limits(
    measured: Measured, rank: int, alpha: float, confidence: float, *, any_size: bool
) -> tuple[FrameLimits, NDArray[np.bool_]]:
    """The limits of frames, and which parts count as rejected because of them."""
    n = len(measured.parts)
    learned = learn_limits(
        measured, measured.first_frames(), limits_risk(rank, n, alpha, confidence), with_size=any_size
    )
    assert learned is not None  # noqa: S101 - pictures have statistics
    outside = np.zeros(n, np.bool_)
    outside[np.array(measured.part_of)[learned.outside]] = True
    count = int(outside.sum())
    if count >= rank:
        names = [measured.parts[place].part for place in np.flatnonzero(outside)]
        raise InputError(
            f"{count} of {n} parts look too different from the others in brightness, contrast, sharpness or colour: "
            f"{named(names)}. Take out what is no good part, or count more parts"
        )
    return msgspec.structs.replace(learned.limits, outside=count), outside


def _doubt(rank: int, n: int, length: float, alpha: float, confidence: float) -> str | None:
    """Why the guarantee is not shown: the same sentence as that of ``edge-ad calibrate``."""
    independent = max(1, int(n / length))
    rate = rate_shown(rank, n, independent, confidence)
    if rate <= alpha * (1 + 1e-6):
        return None
    shown = f"These show a rate of at most {100 * rate:.2g} %" if rate < 1 else "These show nothing"
    worth = f"The {n:,} parts are worth about {independent:,} independent ones, because neighbouring parts score alike."
    return f"{worth} {shown}."


def _proposal(
    version: int, measured: Measured, made: RankCalibration, before: Calibration | None, regions: Regions | None
) -> Proposal:
    scores, outside = measured.scores, measured.outside
    n = scores.size
    order = np.argsort(-scores, kind="stable")[:_SHOWN]
    spread = np.sort(scores)[np.unique(np.linspace(0, n - 1, min(n, 400)).round().astype(int))]
    lower = [rate for rate in USUAL_RATES if rate < made.alpha][:3]
    return Proposal(
        version=version,
        base="",
        parts=n,
        frames=measured.frames,
        copies=measured.copies,
        alpha=made.alpha,
        confidence=made.confidence,
        rank=made.image.rank,
        threshold=made.image.threshold,
        pixel_threshold=None if made.pixel is None else made.pixel.threshold,
        reached=None if made.doubt else reached_confidence(made),
        doubt=made.doubt,
        statements=made.statements,
        before=None if before is None else before.image.threshold,
        rejected_before=None if before is None else int((scores > before.image.threshold).sum()),
        rejected=int(((scores > made.image.threshold) | outside).sum()),
        more=tuple((rate, smallest_n(rate, made.confidence)) for rate in lower),
        highest=tuple(msgspec.structs.replace(measured.parts[k], outside=bool(outside[k])) for k in order.tolist()),
        scores=tuple(spread.tolist()),
        limits=tuple(made.frame_limits.lines) if made.frame_limits else (),
        regions=regions,
    )
