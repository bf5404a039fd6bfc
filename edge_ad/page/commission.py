"""What the page shows for commissioning an inspection: what it is calibrated for, what is taught, what is proposed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import msgspec
import numpy as np

from edge_ad.bundle import DEFAULT_STATION, Bundle, FrameLimit, Variant
from edge_ad.bundle.records import Calibration, FixedCalibration
from edge_ad.errors import BundleError, EdgeAdError, InputError, one_line
from edge_ad.link.messages import InspectionFacts, Snapshot
from edge_ad.station import read_station_file
from edge_ad.station.station_file import InspectionSettings, StationFile
from edge_ad.teaching import CalibrateOrder, Regions, TeachingFolder, TeachingSession, is_version_of, regions_of
from edge_ad.thresholds.order_statistic import USUAL_RATES, smallest_n
from edge_ad.update import JournalLine, Slots

__all__ = [
    "BundleFacts",
    "CommissionState",
    "CommissionedInspection",
    "bundle_facts",
    "commission_state",
    "find_place",
    "list_places",
    "previous_bundle",
    "previous_facts",
    "scoring_now",
]

_SCORES = 400
_STEPS = 8


@dataclass(frozen=True, slots=True)
class CommissionedInspection:
    """An inspection of a recipe. ``settings``: as the station file has it. ``bundle``: the one in force.

    ``others``: variants of the same bundle that other inspections name. ``shared``: inspections that use the very
    same thresholds, which would change along.
    """

    recipe: str
    inspection: str
    settings: InspectionSettings
    bundle: str
    slots: Slots
    folder: TeachingFolder
    root: str
    is_signed: bool
    others: tuple[str, ...]
    shared: tuple[str, ...]

    def order(self) -> CalibrateOrder:
        """What calibrating needs to know."""
        one = self.settings
        return CalibrateOrder(
            bundle=self.bundle,
            variant=one.variant,
            calibration=one.calibration,
            device=one.device,
            threads=one.threads,
            folder=self.root,
            inspection=self.inspection,
            recipe=self.recipe,
            is_signed=self.is_signed,
            others=self.others,
        )


class BundleFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A bundle as an inspection uses it. ``wrong``: why it cannot be used. ``threshold``: ``None`` without a
    calibration. ``rate``: what is promised with ``confidence``, unless there is a ``doubt``. ``scores``: at most some
    hundreds of the calibration's, ascending. ``seen``: how its normals looked, ``limits``: outside of which a frame is
    refused. ``regions``: what is inspected; ``None`` where it was made for frames of any size."""

    title: str
    seal: str = ""
    wrong: str | None = None
    variant: str = ""
    method: str | None = None
    threshold: float | None = None
    normals: int = 0
    rate: float | None = None
    confidence: float | None = None
    doubt: str | None = None
    created: str | None = None
    statements: tuple[str, ...] = ()
    scores: tuple[float, ...] = ()
    limits: dict[str, FrameLimit] = msgspec.field(default_factory=dict)
    seen: dict[str, tuple[float, float, float]] = msgspec.field(default_factory=dict)
    regions: Regions | None = None
    has_map: bool = False
    artefact: str = ""


class CommissionState(msgspec.Struct, frozen=True, kw_only=True):
    """All that the page shows of it. ``needed``: for what is asked; ``table``: parts for each false-reject rate.

    ``proposal``: what came of calibrating, as it was written; ``fits``: whether it is still about this session and this
    bundle. ``steps``: of the bundle that was deployed last. ``previous``: what was in force before.
    ``has_regions``: the bundle in force inspects the regions that were drawn.
    """

    recipe: str
    inspection: str
    camera: str
    session: TeachingSession
    has_regions: bool
    parts: int
    frames: int
    needed: int
    table: tuple[tuple[float, int], ...]
    bundle: BundleFacts
    previous: BundleFacts | None
    proposal: msgspec.Raw | None
    fits: bool
    steps: tuple[JournalLine, ...]
    shared: tuple[str, ...]


class _Head(msgspec.Struct, frozen=True):
    version: int
    type: str
    base: str = ""


def list_places(station_file: Path) -> list[tuple[str, str]]:
    """Recipe and inspection of all that may be taught; empty where the station file has no ``[teaching]``.

    Raises:
        InputError: the station file is not in order.
    """
    file = read_station_file(station_file)
    if file.teaching is None or file.update is None:
        return []
    return [(recipe, name) for recipe in file.recipes for name in file.inspections(recipe)]


def find_place(station_file: Path, recipe: str, inspection: str) -> CommissionedInspection:
    """Where an inspection of a recipe is commissioned.

    Raises:
        InputError: there is none, or the station file takes no bundles or teaches nothing.
    """
    file = read_station_file(station_file)
    if file.teaching is None or file.update is None:
        raise InputError("nothing can be taught: the station file needs the tables [teaching] and [update]")
    if recipe not in file.recipes or inspection not in file.inspect:
        raise InputError(f"the station has no inspection {inspection!r} in a recipe {recipe!r}")
    settings = file.inspections(recipe)[inspection]
    slots = Slots(Path(file.update.folder), settings.bundle)
    others, shared = _beside(file, recipe, inspection, settings)
    return CommissionedInspection(
        recipe=recipe,
        inspection=inspection,
        settings=settings,
        bundle=slots.in_force()[0],
        slots=slots,
        folder=TeachingFolder(Path(file.teaching.folder), inspection, recipe),
        root=file.teaching.folder,
        is_signed=file.trust is not None,
        others=others,
        shared=shared,
    )


def _beside(
    file: StationFile, recipe: str, inspection: str, settings: InspectionSettings
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The variants that others of the same bundle name, and who has the same thresholds with another camera."""
    variants: set[str] = set()
    shared: set[str] = set()
    for other in file.recipes:
        for name, one in file.inspections(other).items():
            if one.bundle != settings.bundle or (other, name) == (recipe, inspection):
                continue
            if one.variant is not None:
                variants.add(one.variant)
            if name != inspection and (one.variant, one.calibration) == (settings.variant, settings.calibration):
                shared.add(name)
    return tuple(sorted(variants)), tuple(sorted(shared))


def scoring_now(snapshot: Snapshot | None, place: CommissionedInspection) -> InspectionFacts | None:
    """What the station says that this inspection scores with; ``None`` where it inspects by another recipe now, or
    says nothing."""
    known = {} if snapshot is None or snapshot.recipe != place.recipe else snapshot.inspections
    return known.get(place.inspection)


def commission_state(place: CommissionedInspection, running: InspectionFacts | None = None) -> CommissionState:
    """How it stands now. ``running``: :func:`scoring_now`.

    Raises:
        InputError: the session is damaged.
    """
    session = place.folder.session()
    parts = place.folder.parts()
    bundle = bundle_facts(place.bundle, place.settings, running)
    raw = place.folder.proposal()
    lines = place.slots.lines()
    last = lines[-1].slot if lines else None
    return CommissionState(
        recipe=place.recipe,
        inspection=place.inspection,
        camera=place.settings.camera,
        session=session,
        has_regions=session.regions is not None and is_version_of(bundle.title.rpartition("@")[2], session.regions),
        parts=len(parts),
        frames=sum(map(len, parts.values())),
        needed=needed_parts(session.alpha, session.confidence),
        table=tuple((rate, needed_parts(rate, session.confidence)) for rate in USUAL_RATES),
        bundle=bundle,
        previous=previous_facts(place, running),
        proposal=None if raw is None else msgspec.Raw(raw),
        fits=raw is not None and _fits(raw, session, bundle),
        steps=tuple(one for one in lines if one.slot == last)[-_STEPS:],
        shared=place.shared,
    )


@lru_cache(64)
def needed_parts(alpha: float, confidence: float) -> int:
    """How many parts a promise takes."""
    return smallest_n(alpha, confidence)


def _fits(raw: bytes, session: TeachingSession, bundle: BundleFacts) -> bool:
    try:
        head = msgspec.json.decode(raw, type=_Head)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return head.version == session.version and (head.type == "refused" or head.base == bundle.seal)


def previous_bundle(place: CommissionedInspection) -> str | None:
    """Where the bundle lies that was in force before; ``None`` where nothing was deployed."""
    state = place.slots.state()
    if state.active is None:
        return None
    return place.slots.named if state.previous is None else str(place.slots.path(state.previous))


def previous_facts(place: CommissionedInspection, running: InspectionFacts | None = None) -> BundleFacts | None:
    """What was in force before; ``None`` where nothing was deployed."""
    path = previous_bundle(place)
    if path is None:
        return None
    # It would be opened anew, with the variant of the station file where that names one.
    return bundle_facts(path, place.settings, running if place.settings.variant is None else None)


def bundle_facts(path: str, settings: InspectionSettings, running: InspectionFacts | None = None) -> BundleFacts:
    """What a bundle is calibrated for.

    ``running``: what the station scores with. Where that is a calibrated variant of this bundle, the facts are about
    it; otherwise about the one that the station file names, or the first choice for this device.
    """
    return _facts(path, settings.variant, settings.calibration, running, _stamp(path))


def _stamp(path: str) -> tuple[int, ...]:
    """Changes with what is in a bundle, so that it is read again only then."""
    found: list[int] = []
    for one in (Path(path), Path(path) / "manifest.json", *sorted(Path(path).glob("variants/*/calibration.json"))):
        found += _touched(one)
    return tuple(found)


def _touched(path: Path) -> list[int]:
    try:
        known = path.stat()
    except OSError:
        return [0]
    return [known.st_mtime_ns, known.st_size, known.st_ino]


@lru_cache(16)
def _facts(
    path: str, variant: str | None, calibration: str | None, running: InspectionFacts | None, _: tuple[int, ...]
) -> BundleFacts:
    try:
        bundle = Bundle.open(path)
        chosen = _running_variant(bundle, calibration, running) or bundle.variant(variant, calibration)
        record = bundle.calibration(chosen)
    except (EdgeAdError, BundleError) as error:
        return BundleFacts(title=Path(path).name, wrong=one_line(error))
    manifest = bundle.manifest
    known = BundleFacts(
        title=f"{manifest.name}@{manifest.version}",
        seal=manifest.seal,
        variant=chosen.id,
        has_map=chosen.map is not None,
        regions=regions_of(bundle),
        artefact=bundle.artefact_sha256(chosen),
    )
    made = None if record is None else record.stations.get(calibration or DEFAULT_STATION)
    return known if made is None else _calibrated(known, made)


def _running_variant(bundle: Bundle, calibration: str | None, running: InspectionFacts | None) -> Variant | None:
    if running is None or running.bundle != f"{bundle.manifest.name}@{bundle.manifest.version}":
        return None
    for one in bundle.manifest.variants:
        record = bundle.calibration(one) if one.id == running.variant else None
        if record is not None and (calibration or DEFAULT_STATION) in record.stations:
            return one
    return None


def _calibrated(known: BundleFacts, made: Calibration) -> BundleFacts:
    scores = np.array(made.scores)
    few = scores[np.unique(np.linspace(0, scores.size - 1, min(scores.size, _SCORES)).round().astype(int))]
    limits = made.frame_limits
    reference = made.frame_reference
    middle: Callable[[tuple[float, ...]], tuple[float, float, float]] = lambda values: (  # noqa: E731
        values[0],
        values[len(values) // 2],
        values[-1],
    )
    return msgspec.structs.replace(
        known,
        method=made.method,
        threshold=made.image.threshold,
        normals=made.image.n,
        rate=made.image.bound if isinstance(made, FixedCalibration) else made.alpha,
        confidence=made.confidence,
        doubt=made.doubt,
        created=made.created,
        statements=made.statements,
        scores=tuple(few.tolist()),
        limits={} if limits is None else {str(name): one for name, one in limits.values.items()},
        seen={}
        if reference is None
        else {name: middle(getattr(reference, name)) for name in ("brightness", "contrast", "sharpness")},
    )
