"""Kept rejects for the page, and what people found when they looked at them."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path as FilePath
from typing import IO, Annotated, Any

import msgspec
from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from edge_ad.controllers.http.answers import ProblemError, json_answer
from edge_ad.controllers.http.desk import Operator, Viewer, desk_of
from edge_ad.controllers.http.evidence_routes import Inspection, Name, evidence_folder, inspections, kept_rows
from edge_ad.controllers.http.requests import read_json
from edge_ad.page.findings import Finding, Findings, Judged
from edge_ad.page.found_good import write_found_good

__all__ = ["KeptReject", "router"]

router = APIRouter(prefix="/page/kept")

_COLUMNS = "name, captured_at, part_id, state, reason, score, threshold, recipe"
_PRODUCTION = "state != 'ACCEPT' AND why != 'challenge'"
_IN_MEMORY, _BLOCK = 16 << 20, 1 << 18
_NOT_KEPT = {"Cache-Control": "no-store"}


class KeptReject(msgspec.Struct, frozen=True, kw_only=True):
    """A kept frame that was not accepted. ``judged``, ``judged_by``: what somebody found, where somebody has looked."""

    inspection: str
    name: str
    captured_at: float
    part_id: str | None
    state: str
    reason: str | None
    score: float | None
    threshold: float | None
    recipe: str | None
    judged: Judged | None = None
    judged_by: str | None = None


class FindingAsk(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``judged``: ``None`` takes it back."""

    judged: Judged | None


@router.get("")
async def kept(request: Request, _: Viewer, limit: Annotated[int, Query(ge=1, le=500)] = 12) -> Response:
    """The kept frames that were not accepted, the newest first."""
    folder = evidence_folder(request)
    return json_answer(await asyncio.to_thread(_listed, folder, limit), headers=_NOT_KEPT)


@router.get("/falsely-rejected.zip")
async def found_good(
    request: Request, _: Viewer, inspection: Annotated[str | None, Query(max_length=64)] = None
) -> Response:
    """The frames that people found falsely rejected, for whoever wants to calibrate with them."""
    folder = evidence_folder(request)
    target = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115  it is closed when it has been sent
    try:
        async with desk_of(request).pictures:
            await asyncio.to_thread(write_found_good, folder, target, inspection)
    except BaseException:
        target.close()
        raise
    headers = {**_NOT_KEPT, "Content-Disposition": 'attachment; filename="falsely-rejected.zip"'}
    return StreamingResponse(_blocks(target), media_type="application/zip", headers=headers)


async def _blocks(target: IO[bytes]) -> AsyncIterator[bytes]:
    with target:
        target.seek(0)
        while block := await asyncio.to_thread(target.read, _BLOCK):
            yield block


@router.put("/{inspection}/{name}/finding")
async def finding(request: Request, who: Operator, inspection: Inspection, name: Name) -> Response:
    """Says that a kept reject is truly bad, or that the part was good. It stands in the audit trail."""
    desk = desk_of(request)
    asked = await read_json(request, FindingAsk, desk.settings.receive_s)
    folder = evidence_folder(request)
    found = await asyncio.to_thread(_one, folder, inspection, name)
    before = found.judged and f"{found.judged} ({found.judged_by})"
    target = f"{inspection}/{name}"
    async with desk.gateway.audited("finding", who, target=target, before=before, after=asked.judged):
        await asyncio.to_thread(_put, Findings(folder), found, asked.judged, who.name)
    return json_answer({"judged": asked.judged, "judged_by": asked.judged and who.name}, headers=_NOT_KEPT)


def _put(findings: Findings, kept: KeptReject, judged: Judged | None, who: str) -> None:
    if judged is None:
        findings.remove(kept.inspection, kept.name)
        return
    findings.put(
        Finding(
            inspection=kept.inspection,
            name=kept.name,
            judged=judged,
            who=who,
            at=time.time(),
            captured_at=kept.captured_at,
            part_id=kept.part_id,
            recipe=kept.recipe,
            score=kept.score,
            threshold=kept.threshold,
        )
    )


def _listed(folder: FilePath, limit: int) -> list[KeptReject]:
    query = f"SELECT {_COLUMNS} FROM evidence WHERE {_PRODUCTION} ORDER BY name DESC LIMIT ?"  # noqa: S608
    rows = [(name, *row) for name, place in inspections(folder).items() for row in kept_rows(place, query, (limit,))]
    rows = sorted(rows, key=lambda row: row[1], reverse=True)[:limit]
    return _judged(folder, rows)


def _one(folder: FilePath, inspection: str, name: str) -> KeptReject:
    place = inspections(folder).get(inspection)
    query = f"SELECT {_COLUMNS} FROM evidence WHERE name = ? AND {_PRODUCTION}"  # noqa: S608
    rows = [] if place is None else kept_rows(place, query, (name,))
    if not rows:
        raise ProblemError(404, "unknown_evidence", "no such rejected frame is kept")
    return _judged(folder, [(inspection, *rows[0])])[0]


def _judged(folder: FilePath, rows: list[tuple[Any, ...]]) -> list[KeptReject]:
    oldest = min((row[2] for row in rows), default=0.0)
    known = {(one.inspection, one.name): one for one in Findings(folder).since(oldest)}
    names = ("inspection", *(one.strip() for one in _COLUMNS.split(",")))
    found = [KeptReject(**dict(zip(names, row, strict=True))) for row in rows]
    return [_with(one, known.get((one.inspection, one.name))) for one in found]


def _with(kept: KeptReject, finding: Finding | None) -> KeptReject:
    if finding is None:
        return kept
    return msgspec.structs.replace(kept, judged=finding.judged, judged_by=finding.who)
