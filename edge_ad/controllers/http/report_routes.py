"""The report of a shift, for the page and as CSV."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated

import msgspec
from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from edge_ad.controllers.http.answers import ProblemError, json_answer
from edge_ad.controllers.http.challenge_routes import known_proofs
from edge_ad.controllers.http.desk import Desk, Viewer, desk_of
from edge_ad.controllers.security import read_trail
from edge_ad.errors import EdgeAdError, one_line
from edge_ad.link.messages import PresentCounts
from edge_ad.page.shift_report import Change, ShiftName, ShiftReport, list_shifts, report_shift, report_table
from edge_ad.station.counting import StationCounters
from edge_ad.station.kept_counts import CountsFile, ShiftCounts

__all__ = ["router"]

router = APIRouter(prefix="/page/shifts")

_NOT_KEPT = {"Cache-Control": "no-store"}
_SHIFTS, _CHANGES = 100, 200

Number = Annotated[int, Query(ge=0, lt=_SHIFTS + 1)]


@router.get("")
async def shifts(request: Request, _: Viewer) -> Response:
    """The counts that can be reported, the oldest first; the last one is the present one."""
    counts = await asyncio.to_thread(_counts, desk_of(request))
    return json_answer(list_shifts(counts.shifts), headers=_NOT_KEPT)


@router.get("/report.json")
async def report(request: Request, _: Viewer, number: Number) -> Response:
    """The report of one of them."""
    return json_answer(await asyncio.to_thread(_report, desk_of(request), number), headers=_NOT_KEPT)


@router.get("/report.csv")
async def table(request: Request, _: Viewer, number: Number) -> Response:
    """The same as CSV."""
    made = await asyncio.to_thread(_report, desk_of(request), number)
    name = f"shift-{made.shift.since.replace(':', '')}.csv"  # a date and a time: nothing that a client said
    headers = {
        **_NOT_KEPT,
        "Content-Disposition": f'attachment; filename="{name}"',
        "X-Content-Type-Options": "nosniff",
    }
    return Response(report_table(made), 200, headers, "text/csv; charset=utf-8")


def _report(desk: Desk, number: int) -> ShiftReport:
    counts = _counts(desk)
    names = list_shifts(counts.shifts)
    if number >= len(names):
        raise ProblemError(404, "unknown_shift", "there is no such count")
    evidence = None if desk.settings.evidence is None else Path(desk.settings.evidence)
    snapshot = desk.gateway.view.snapshot
    drift = {} if snapshot is None else dict(snapshot.drift)
    changes = list(_changes(desk, names[number]))[-_CHANGES:]
    recipes = counts.shifts[number].recipes
    return report_shift(counts.station, names[number], recipes, evidence, changes, drift, known_proofs(desk))


def _counts(desk: Desk) -> CountsFile:
    """The counts that the station keeps; where this controller knows no file of them, only the present ones."""
    view = desk.gateway.view
    path = None if desk.settings.counters is None else Path(desk.settings.counters)
    if path is not None and path.exists():
        try:
            return msgspec.json.decode(path.read_bytes(), type=CountsFile)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ProblemError(503, "counters", f"the file of the counts cannot be read: {one_line(error)}") from None
    present = None if view.snapshot is None else view.snapshot.counts
    if present is None:
        raise ProblemError(503, "station_away", "the station's counts are not known yet")
    shift = ShiftCounts(shift=present.since, recipes={present.recipe: _counters(present)})
    return CountsFile(station=view.station, shifts=[shift])


def _counters(present: PresentCounts) -> StationCounters:
    scored = present.parts.get("ACCEPT", 0) + present.parts.get("REJECT", 0)
    return StationCounters(
        parts=dict(present.parts),
        reasons=dict(present.invalid),
        refused=dict(present.refused),
        challenges=dict(present.challenges),
        lost_frames=present.lost_frames,
        faults=present.faults,
        scorer_restarts=present.scorer_restarts,
        scored=scored,
        latency_sum_ms=(present.latency_mean_ms or 0.0) * scored,
        latency_max_ms=present.latency_max_ms,
    )


def _changes(desk: Desk, shift: ShiftName) -> Iterator[Change]:
    """What was done in this time, as the audit trail says."""
    path = desk.gateway.audit_path
    if path is None or not path.exists():
        return
    try:
        for one in read_trail(path):
            at = datetime.fromisoformat(one.time.replace("Z", "+00:00"))
            at = at if at.tzinfo else at.replace(tzinfo=timezone.utc)
            is_change = one.result == "done" and one.action != "challenge"  # which is told among the proofs
            if is_change and shift.begin <= at.timestamp() < (shift.end or float("inf")):
                yield Change(
                    time=f"{at.astimezone():%Y-%m-%dT%H:%M:%S}",
                    action=one.action,
                    who=one.who,
                    target=one.target,
                    before=one.before,
                    after=one.after,
                )
    except EdgeAdError:  # a damaged trail is told by  edge-ad audit --verify
        return
