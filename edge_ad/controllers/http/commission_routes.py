"""``/page/commission``: teaches good parts to an inspection, and changes its regions and thresholds.

All changes name the version of the session that they were seen in; whoever comes second is told who was first.
What takes long goes on here while nobody looks, and is found again.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path as FilePath
from typing import Annotated

import msgspec
from fastapi import APIRouter, Path, Query
from starlette.requests import Request
from starlette.responses import Response

from edge_ad.controllers.http.answers import ProblemError, json_answer
from edge_ad.controllers.http.commission_views import (
    check_alone,
    check_variant,
    commission_answer,
    place_of,
    threshold_change,
)
from edge_ad.controllers.http.deploying import deployed
from edge_ad.controllers.http.desk import Desk, Engineer, Viewer, Work, desk_of
from edge_ad.controllers.http.requests import read_json
from edge_ad.controllers.security import Who
from edge_ad.errors import BundleError, EdgeAdError, one_line
from edge_ad.page.commission import (
    CommissionedInspection,
    bundle_facts,
    commission_state,
    list_places,
    previous_bundle,
    previous_facts,
    scoring_now,
)
from edge_ad.teaching import ChangedError, ExcludedPart, Regions, TeachingSession, ThresholdOrder, set_threshold

__all__ = ["router"]

logger = logging.getLogger(__name__)

router = APIRouter(prefix="/page/commission")

_NOT_KEPT = {"Cache-Control": "no-store"}
_CALIBRATE_S = 3_600.0

Text = Annotated[str, msgspec.Meta(min_length=3, max_length=500)]
Recipe = Annotated[str, Path(max_length=64)]
Inspection = Annotated[str, Path(max_length=64)]


class _Ask(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``version``: of the session that the person has seen."""

    version: int


class TeachAsk(_Ask, frozen=True, kw_only=True):
    """Count the next ``count`` parts, so that at most ``alpha`` of the good ones are rejected, with ``confidence``."""

    count: Annotated[int, msgspec.Meta(ge=1, le=100_000)]
    alpha: Annotated[float, msgspec.Meta(ge=1e-6, le=0.5)] = 0.01
    confidence: Annotated[float, msgspec.Meta(ge=0.5, le=0.9999)] = 0.95


class MoreAsk(_Ask, frozen=True, kw_only=True):
    """``collecting``: whether parts go on being counted, up to ``count`` in all."""

    collecting: bool
    count: Annotated[int, msgspec.Meta(ge=1, le=100_000)] | None = None


class AimAsk(_Ask, frozen=True, kw_only=True):
    """Calibrate with the parts that were counted, for this promise."""

    alpha: Annotated[float, msgspec.Meta(ge=1e-6, le=0.5)]
    confidence: Annotated[float, msgspec.Meta(ge=0.5, le=0.9999)]


class ExcludeAsk(_Ask, frozen=True, kw_only=True):
    """``reason``: why this part was not good; ``None`` takes it in again."""

    part: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    reason: Text | None


class RegionsAsk(_Ask, frozen=True, kw_only=True):
    """``regions``: ``None`` for those of the bundle."""

    regions: Regions | None


class ThresholdAsk(_Ask, frozen=True, kw_only=True):
    """``value``: the new threshold."""

    value: float
    reason: Text


class ReasonAsk(_Ask, frozen=True, kw_only=True):
    """Go back to what was in force before."""

    reason: Text


@router.get("")
async def places(request: Request, _: Viewer) -> Response:
    """What can be commissioned: recipes with their inspections."""
    file = desk_of(request).gateway.station_file
    found = [] if file is None else await asyncio.to_thread(list_places, file)
    return json_answer([{"recipe": recipe, "inspection": name} for recipe, name in found], headers=_NOT_KEPT)


@router.get("/{recipe}/{inspection}")
async def state(request: Request, _: Viewer, recipe: Recipe, inspection: Inspection) -> Response:
    """How one of them stands."""
    return await _told(desk_of(request), recipe, inspection)


async def _told(desk: Desk, recipe: str, inspection: str, status: int = 200) -> Response:
    answer = await asyncio.to_thread(commission_answer, desk, recipe, inspection)
    return json_answer(answer, status, headers=_NOT_KEPT)


# --- what is taught


@router.post("/{recipe}/{inspection}/teach")
async def teach(request: Request, who: Engineer, recipe: Recipe, inspection: Inspection) -> Response:
    """Count the next good parts; those that were counted before go."""
    desk = desk_of(request)
    asked = await read_json(request, TeachAsk, desk.settings.receive_s)

    def begun(before: TeachingSession) -> TeachingSession:
        return msgspec.structs.replace(
            before, wanted=asked.count, since=time.time(), collecting=True, alpha=asked.alpha,
            confidence=asked.confidence, excluded=(),
        )  # fmt: skip

    after = f"{asked.count} parts for {asked.alpha:g} at {asked.confidence:g}"
    await _changed(desk, who, (recipe, inspection), "teach", asked.version, begun, after=after, forget=True)
    return await _told(desk, recipe, inspection)


@router.post("/{recipe}/{inspection}/counting")
async def counting(request: Request, who: Engineer, recipe: Recipe, inspection: Inspection) -> Response:
    """Stop counting parts, or go on."""
    desk = desk_of(request)
    asked = await read_json(request, MoreAsk, desk.settings.receive_s)

    def changed(before: TeachingSession) -> TeachingSession:
        if before.since == 0:
            raise ProblemError(409, "not_begun", "nothing was taught yet: begin with counting parts")
        return msgspec.structs.replace(before, collecting=asked.collecting, wanted=asked.count or before.wanted)

    after = "on" if asked.collecting else "stop"
    await _changed(desk, who, (recipe, inspection), "teach", asked.version, changed, after=after)
    return await _told(desk, recipe, inspection)


@router.post("/{recipe}/{inspection}/exclude")
async def exclude(request: Request, who: Engineer, recipe: Recipe, inspection: Inspection) -> Response:
    """Say that a part that was counted was not good after all, and why."""
    desk = desk_of(request)
    asked = await read_json(request, ExcludeAsk, desk.settings.receive_s)

    def changed(before: TeachingSession) -> TeachingSession:
        others = tuple(one for one in before.excluded if one.part != asked.part)
        more = () if asked.reason is None else (ExcludedPart(part=asked.part, reason=asked.reason, who=who.name),)
        return msgspec.structs.replace(before, excluded=(*others, *more))

    after = f"in again: {asked.part}" if asked.reason is None else f"out: {asked.part} ({asked.reason})"
    await _changed(desk, who, (recipe, inspection), "teach_exclude", asked.version, changed, after=after)
    return await _told(desk, recipe, inspection)


@router.put("/{recipe}/{inspection}/regions")
async def regions(request: Request, who: Engineer, recipe: Recipe, inspection: Inspection) -> Response:
    """What is to be inspected of a frame. It counts from the next calibration on, because it changes all scores."""
    desk = desk_of(request)
    asked = await read_json(request, RegionsAsk, desk.settings.receive_s)
    place = await asyncio.to_thread(place_of, desk, recipe, inspection)
    running = scoring_now(desk.gateway.view.snapshot, place)
    facts = await asyncio.to_thread(bundle_facts, place.bundle, place.settings, running)
    if asked.regions is not None and asked.regions.ignored and not facts.has_map:
        raise ProblemError(422, "no_map", "this model has no anomaly map, so no area can be ignored")
    if asked.regions is not None and place.is_signed:
        raise ProblemError(409, "signed", "this station takes signed bundles only: other regions need another bundle")

    def changed(before: TeachingSession) -> TeachingSession:
        return msgspec.structs.replace(before, regions=asked.regions)

    drawn = asked.regions
    after = (
        "those of the bundle"
        if drawn is None
        else f"region {drawn.roi or 'whole picture'}, ignored areas: {len(drawn.ignored)}"
    )
    await _changed(desk, who, (recipe, inspection), "regions", asked.version, changed, after=after)
    return await _told(desk, recipe, inspection)


# --- what comes of it


@router.post("/{recipe}/{inspection}/calibrate")
async def calibrate(request: Request, who: Engineer, recipe: Recipe, inspection: Inspection) -> Response:
    """Make thresholds of the parts that were counted. They are proposed, and not in force."""
    desk = desk_of(request)
    asked = await read_json(request, AimAsk, desk.settings.receive_s)
    place = await _idle(desk, recipe, inspection)

    def aimed(before: TeachingSession) -> TeachingSession:
        return msgspec.structs.replace(before, collecting=False, alpha=asked.alpha, confidence=asked.confidence)

    after = f"{asked.alpha:g} at {asked.confidence:g}"
    await _changed(desk, who, (recipe, inspection), "calibrate", asked.version, aimed, after=after)
    _begin(desk, place, "calibrating", who, lambda: _calibrate(place))
    return await _told(desk, recipe, inspection, 202)


@router.post("/{recipe}/{inspection}/confirm")
async def confirm(request: Request, who: Engineer, recipe: Recipe, inspection: Inspection) -> Response:
    """Take the proposed thresholds into use between two parts, on the road of every new bundle."""
    desk = desk_of(request)
    asked = await read_json(request, _Ask, desk.settings.receive_s)
    place = await _idle(desk, recipe, inspection)
    standing = await asyncio.to_thread(commission_state, place)
    if standing.session.version != asked.version:
        raise ChangedError(standing.session)
    if standing.proposal is None or not standing.fits or not place.folder.proposed.is_dir():
        raise ProblemError(409, "no_proposal", "nothing is proposed that could be taken into use: calibrate again")
    target = f"{recipe}/{inspection}"
    async with desk.gateway.audited("calibration", who, target=target, after=standing.bundle.title):
        await _touch(who, place, asked.version)
    _begin(desk, place, "deploying", who, lambda: _deploy(desk, place, place.folder.proposed, who))
    return await _told(desk, recipe, inspection, 202)


@router.post("/{recipe}/{inspection}/threshold")
async def threshold(request: Request, who: Engineer, recipe: Recipe, inspection: Inspection) -> Response:
    """Set the threshold by hand, with a reason. Nothing is promised of it."""
    desk = desk_of(request)
    asked = await read_json(request, ThresholdAsk, desk.settings.receive_s)
    place = await _idle(desk, recipe, inspection)
    facts = await asyncio.to_thread(check_variant, desk.gateway.view.snapshot, place)
    if facts.threshold is None:
        raise ProblemError(409, "uncalibrated", "this inspection is not calibrated: teach it good parts first")
    before, after = f"{facts.threshold:g}", f"{asked.value:g} ({asked.reason})"
    target = place.folder.folder / "by-hand"
    order = ThresholdOrder(
        bundle=place.bundle,
        variant=place.settings.variant,
        calibration=place.settings.calibration,
        target=str(target),
        value=asked.value,
        reason=asked.reason,
        who=who.name,
        others=place.others,
    )
    async with desk.gateway.audited("threshold", who, target=f"{recipe}/{inspection}", before=before, after=after):
        await _touch(who, place, asked.version)
        await asyncio.to_thread(set_threshold, order)
    _begin(desk, place, "deploying", who, lambda: _deploy(desk, place, target, who))
    return await _told(desk, recipe, inspection, 202)


@router.post("/{recipe}/{inspection}/back")
async def back(request: Request, who: Engineer, recipe: Recipe, inspection: Inspection) -> Response:
    """Go back to the bundle, with its thresholds, that was in force before; on the same road."""
    desk = desk_of(request)
    asked = await read_json(request, ReasonAsk, desk.settings.receive_s)
    place = await _idle(desk, recipe, inspection)
    earlier = await asyncio.to_thread(previous_bundle, place)
    if earlier is None:
        raise ProblemError(409, "no_previous", "nothing was in force before this")
    running = scoring_now(desk.gateway.view.snapshot, place)
    facts = await asyncio.to_thread(previous_facts, place, running)
    if facts is None or facts.threshold is None:
        raise ProblemError(409, "no_previous", "what was in force before has no calibration, so it gives no verdicts")
    async with desk.gateway.audited("go_back", who, target=f"{recipe}/{inspection}", after=asked.reason):
        await _touch(who, place, asked.version)
    _begin(desk, place, "deploying", who, lambda: _deploy(desk, place, FilePath(earlier), who))
    return await _told(desk, recipe, inspection, 202)


@router.get("/{recipe}/{inspection}/threshold")
async def meaning(
    request: Request, _: Viewer, recipe: Recipe, inspection: Inspection, value: Annotated[float, Query()]
) -> Response:
    """What another threshold would change: of the calibration's normals, and of the frames that were kept."""
    change = await asyncio.to_thread(threshold_change, desk_of(request), recipe, inspection, value)
    return json_answer(change, headers=_NOT_KEPT)


# --- inside


async def _changed(
    desk: Desk,
    who: Who,
    where: tuple[str, str],
    action: str,
    version: int,
    made: Callable[[TeachingSession], TeachingSession],
    *,
    after: str,
    forget: bool = False,
) -> None:
    """Changes the session of an inspection; who asked for it, and what came of it, stands in the audit trail."""
    place = await _idle(desk, *where)
    check_alone(place)
    async with desk.gateway.audited(action, who, target="/".join(where), after=after):
        await asyncio.to_thread(place.folder.change, version, who.name, made, forget=forget)


async def _touch(who: Who, place: CommissionedInspection, version: int) -> None:
    """Nobody who has seen an older version may change anything after this."""
    check_alone(place)
    await asyncio.to_thread(place.folder.change, version, who.name, lambda before: before)


async def _idle(desk: Desk, recipe: str, inspection: str) -> CommissionedInspection:
    """The place, unless something is being done there."""
    place = await asyncio.to_thread(place_of, desk, recipe, inspection)
    work = desk.works.get((recipe, inspection))
    if work is not None and work.is_going:
        raise ProblemError(409, "busy", f"{work.by} has begun something here that is not done yet")
    return place


def _begin(
    desk: Desk, place: CommissionedInspection, kind: str, who: Who, doing: Callable[[], Awaitable[None]]
) -> None:
    work = Work(kind, who.name, time.time())
    desk.works[place.recipe, place.inspection] = work

    async def go() -> None:
        try:
            await doing()
        except EdgeAdError as error:
            work.error = one_line(error)
        except Exception as error:  # the page has to say that it ended
            logger.exception("%s of %s/%s ended", kind, place.recipe, place.inspection)
            work.error = one_line(error)
        finally:
            work.is_going = False

    work.task = asyncio.create_task(go())


async def _calibrate(place: CommissionedInspection) -> None:
    """Calibrates in a process of its own."""
    await _run(msgspec.json.encode(place.order()))


async def _run(order: bytes) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "edge_ad.teaching",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        _, err = await asyncio.wait_for(process.communicate(order), _CALIBRATE_S)
    except asyncio.TimeoutError:
        raise BundleError(f"the calibration was not done within {_CALIBRATE_S:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode:
        last = one_line(err.decode(errors="replace").strip().rpartition("\n")[2])[-300:]
        raise BundleError(f"the process that calibrates ended with {process.returncode}: {last}")


async def _deploy(desk: Desk, place: CommissionedInspection, bundle: FilePath, who: Who) -> None:
    """Hands a bundle to the station. Copies that were made for that go."""
    try:
        await deployed(desk, bundle, place.recipe, place.inspection, who)
    finally:
        if bundle.parent == place.folder.folder:
            await asyncio.to_thread(shutil.rmtree, bundle, True)
