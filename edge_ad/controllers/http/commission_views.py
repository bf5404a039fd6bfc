"""What the routes of ``/page/commission`` answer: how an inspection stands, and what a threshold would change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from edge_ad.bundle import DEFAULT_STATION, Bundle
from edge_ad.controllers.http.answers import ProblemError
from edge_ad.controllers.http.desk import Desk
from edge_ad.controllers.http.evidence_routes import inspections, kept_rows
from edge_ad.errors import EdgeAdError, InputError
from edge_ad.link.messages import Snapshot
from edge_ad.page import Rate, observed_rate
from edge_ad.page.commission import (
    BundleFacts,
    CommissionedInspection,
    CommissionState,
    bundle_facts,
    commission_state,
    find_place,
    scoring_now,
)
from edge_ad.page.findings import Findings
from edge_ad.teaching import normals_above

__all__ = [
    "CommissionAnswer",
    "KeptChange",
    "ThresholdChange",
    "check_alone",
    "check_variant",
    "commission_answer",
    "place_of",
    "threshold_change",
]

_MOST_KEPT, _EXAMPLES = 20_000, 12


class WorkAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What goes on, or how it ended last. ``kind``: ``calibrating`` or ``deploying``."""

    kind: str
    by: str
    at: float
    is_going: bool
    error: str | None


class CommissionAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """``is_active``: whether the station inspects by this recipe now, so that parts are counted."""

    state: CommissionState
    is_active: bool
    work: WorkAnswer | None


class KeptChange(msgspec.Struct, frozen=True, kw_only=True):
    """A kept frame on which another threshold would decide otherwise. ``judged``: what a person found of it."""

    inspection: str
    name: str
    part_id: str | None
    captured_at: float
    state: str
    reason: str | None
    score: float
    threshold: float | None
    recipe: str | None
    judged: str | None = None
    judged_by: str | None = None


class ThresholdChange(msgspec.Struct, frozen=True, kw_only=True):
    """``normals``: which share of the calibration's parts this threshold rejects, with its limits, which hold only for
    a threshold that was chosen without these parts. ``kept``: so many frames were kept that can be compared.

    ``accepted``, ``rejected``: which of them it would accept and reject otherwise. ``bad_accepted``: accepted although
    a person found them truly bad; ``good_accepted``: those found falsely rejected.
    """

    value: float
    before: float
    normals: Rate
    kept: int
    accepted: int
    rejected: int
    bad_accepted: int
    good_accepted: int
    examples: tuple[KeptChange, ...]


def place_of(desk: Desk, recipe: str, inspection: str) -> CommissionedInspection:
    """Where an inspection is commissioned; raises :class:`ProblemError` where it cannot be."""
    file = desk.gateway.station_file
    if file is None:
        raise ProblemError(404, "no_teaching", "this controller knows no station file")
    try:
        return find_place(file, recipe, inspection)
    except InputError as error:
        raise ProblemError(404, "no_teaching", str(error)) from None


def commission_answer(desk: Desk, recipe: str, inspection: str) -> CommissionAnswer:
    """How it stands now."""
    place = place_of(desk, recipe, inspection)
    work = desk.works.get((recipe, inspection))
    told = None
    if work is not None:
        told = WorkAnswer(kind=work.kind, by=work.by, at=work.at, is_going=work.is_going, error=work.error)
    is_active = desk.gateway.view.is_connected and desk.gateway.view.recipe == recipe
    state = commission_state(place, scoring_now(desk.gateway.view.snapshot, place))
    return CommissionAnswer(state=state, is_active=is_active, work=told)


def check_alone(place: CommissionedInspection) -> None:
    """Raises :class:`ProblemError` where other inspections use the same thresholds, which would change along."""
    if place.shared:
        detail = f"{', '.join(place.shared)} would change along: give each inspection a calibration of its own name"
        raise ProblemError(409, "shared", detail)


def check_variant(snapshot: Snapshot | None, place: CommissionedInspection) -> BundleFacts:
    """What the bundle is with the variant whose threshold would be changed.

    Raises:
        ProblemError: the station is known to score with another variant, so it would be changed for nothing.
    """
    running, facts = scoring_now(snapshot, place), bundle_facts(place.bundle, place.settings)
    if running is None or running.bundle != facts.title or running.variant == facts.variant:
        return facts
    names = {"running": running.variant, "wanted": facts.variant}
    scores = f"this device scores with {running.variant},"
    if place.settings.variant is not None:
        why = f"until it is started again with {facts.variant} of its station file: set the threshold then"
        raise ProblemError(409, "other_variant_until_restart", f"{scores} {why}", names=names)
    why = (
        f"because {facts.variant} cannot be used here: name "
        f'variant = "{running.variant}" for the inspection in the station file, and set its threshold then'
    )
    raise ProblemError(409, "other_variant", f"{scores} {why}", names=names)


def threshold_change(desk: Desk, recipe: str, inspection: str, value: float) -> ThresholdChange:
    """What another threshold would change for the variant that scores.

    Raises:
        ProblemError: there is no threshold to change.
    """
    place = place_of(desk, recipe, inspection)
    facts = bundle_facts(place.bundle, place.settings, scoring_now(desk.gateway.view.snapshot, place))
    bundle = Bundle.open(place.bundle)
    record = bundle.calibration(bundle.variant(facts.variant or place.settings.variant, place.settings.calibration))
    made = None if record is None else record.stations.get(place.settings.calibration or DEFAULT_STATION)
    if made is None:
        raise ProblemError(409, "uncalibrated", "this inspection is not calibrated: teach it good parts first")
    before = made.image.threshold
    kept = _kept(desk, place, facts)
    accepted = [one for one in kept if one.score > before and one.score <= value]
    rejected = [one for one in kept if one.score <= before and one.score > value]
    return ThresholdChange(
        value=value,
        before=before,
        normals=observed_rate(normals_above(made, value), made.image.n),
        kept=len(kept),
        accepted=len(accepted),
        rejected=len(rejected),
        bad_accepted=sum(one.judged == "bad" for one in accepted),
        good_accepted=sum(one.judged == "good" for one in accepted),
        examples=tuple([*accepted, *rejected][:_EXAMPLES]),
    )


def _kept(desk: Desk, place: CommissionedInspection, facts: BundleFacts) -> list[KeptChange]:
    """The kept frames that this very variant of the bundle has scored, the newest first."""
    if desk.settings.evidence is None:
        return []
    folder = Path(desk.settings.evidence)
    where = inspections(folder).get(place.inspection)
    if where is None:
        return []
    query = (
        "SELECT name, part_id, captured_at, state, reason, score, threshold, recipe FROM evidence WHERE recipe = ? "
        "AND score IS NOT NULL AND artefact_sha256 = ? AND bundle = ? ORDER BY name DESC LIMIT ?"
    )
    rows = kept_rows(where, query, (place.recipe, facts.artefact, facts.title, _MOST_KEPT))
    judged = _judged(folder, min((row[2] for row in rows), default=0.0))
    return [_change(place.inspection, row, judged) for row in rows]


def _judged(folder: Path, since: float) -> dict[tuple[str, str], tuple[str, str]]:
    try:
        return {(one.inspection, one.name): (one.judged, one.who) for one in Findings(folder).since(since)}
    except EdgeAdError:  # what is known without them is shown all the same
        return {}


def _change(inspection: str, row: tuple[Any, ...], judged: dict[tuple[str, str], tuple[str, str]]) -> KeptChange:
    name, part_id, captured_at, state, reason, score, threshold, recipe = row
    found, who = judged.get((inspection, name), (None, None))
    return KeptChange(
        inspection=inspection,
        name=name,
        part_id=part_id,
        captured_at=captured_at,
        state=state,
        reason=reason,
        score=score,
        threshold=threshold,
        recipe=recipe,
        judged=found,
        judged_by=who,
    )
