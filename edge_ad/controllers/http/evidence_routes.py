"""``/api/v1/evidence``: frames that the station has kept, by the ids of its index. No path is taken from a client."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from pathlib import Path as FilePath
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Path, Query
from starlette.requests import Request
from starlette.responses import Response

from edge_ad.controllers.http.answers import ProblemError, json_answer
from edge_ad.controllers.http.describing import says
from edge_ad.controllers.http.desk import Viewer, desk_of

__all__ = ["EvidenceAnswer", "Inspection", "Name", "evidence_folder", "inspections", "kept_rows", "read_kept", "router"]

router = APIRouter(prefix="/api/v1/evidence", tags=["evidence"])

_INDEX = "index.sqlite"
_COLUMNS = "name, captured_at, part_id, why, state, reason, score, threshold, bundle, variant, recipe"
_NAMED = r"^[0-9]{8}T[0-9]{6}\.[0-9]{6}Z-[0-9]{8,20}$"
_INSPECTION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_WAIT_S = 2.0

Inspection = Annotated[str, Path(max_length=64)]
Name = Annotated[str, Path(pattern=_NAMED)]


class EvidenceAnswer(msgspec.Struct, frozen=True):
    """One kept frame. ``captured_at``: seconds since the epoch, UTC."""

    inspection: str
    name: str
    captured_at: float | None
    part_id: str | None
    why: str | None
    state: str | None
    reason: str | None
    score: float | None
    threshold: float | None
    bundle: str | None
    variant: str | None
    recipe: str | None


@router.get("", responses=says(list[EvidenceAnswer], 200, 404, 503))
async def evidence(
    request: Request,
    _: Viewer,
    part_id: Annotated[str | None, Query(max_length=128)] = None,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
) -> Response:
    """The frames that were kept, the newest first; of this part, where one is given."""
    folder = evidence_folder(request)
    return json_answer(await asyncio.to_thread(_listed, folder, part_id, limit))


@router.get("/{inspection}/{name}/frame.png", responses=says("image/png", 200, 404, 503))
async def frame(request: Request, _: Viewer, inspection: Inspection, name: Name) -> Response:
    """The frame, as the camera gave it."""
    data = await asyncio.to_thread(read_kept, evidence_folder(request), inspection, name, ".png")
    return Response(data, media_type="image/png")


@router.get("/{inspection}/{name}/record.json", responses=says(None, 200, 404, 503))
async def record(request: Request, _: Viewer, inspection: Inspection, name: Name) -> Response:
    """All that is known of the frame, with its verdict."""
    data = await asyncio.to_thread(read_kept, evidence_folder(request), inspection, name, ".json")
    return Response(data, media_type="application/json")


def evidence_folder(request: Request) -> FilePath:
    """The folder of evidence that the controller's table names."""
    folder = desk_of(request).settings.evidence
    if folder is None:
        raise ProblemError(404, "no_evidence", "the table of this controller names no folder of evidence")
    return FilePath(folder)


def inspections(folder: FilePath) -> dict[str, FilePath]:
    """The folders of the inspections: what is there decides, not what a client says."""
    if not folder.is_dir():
        return {}
    return {one.name: one for one in folder.iterdir() if _INSPECTION.fullmatch(one.name) and (one / _INDEX).is_file()}


def _listed(folder: FilePath, part_id: str | None, limit: int) -> list[EvidenceAnswer]:
    where, values = ("", ()) if part_id is None else (" WHERE part_id = ?", (part_id,))
    query = f"SELECT {_COLUMNS} FROM evidence{where} ORDER BY name DESC LIMIT ?"  # noqa: S608  no text of a client
    found = [
        EvidenceAnswer(name, *row)
        for name, place in inspections(folder).items()
        for row in kept_rows(place, query, (*values, limit))
    ]
    return sorted(found, key=lambda one: one.name, reverse=True)[:limit]


def read_kept(folder: FilePath, inspection: str, name: str, suffix: str) -> bytes:
    """A file of a kept frame. Raises :class:`ProblemError` where there is none."""
    place = inspections(folder).get(inspection)
    if place is None or not kept_rows(place, "SELECT name FROM evidence WHERE name = ?", (name,)):
        raise ProblemError(404, "unknown_evidence", "no such frame is kept")
    try:
        return (place / f"{name}{suffix}").read_bytes()
    except OSError:  # the oldest frames go while others are read
        raise ProblemError(404, "unknown_evidence", "no such frame is kept any more") from None


def kept_rows(place: FilePath, query: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    """Rows of the index of an inspection."""
    try:
        index = sqlite3.connect(f"{(place / _INDEX).absolute().as_uri()}?mode=ro", uri=True, timeout=_WAIT_S)
        try:
            return index.execute(query, values).fetchall()
        finally:
            index.close()
    except sqlite3.Error as error:
        raise ProblemError(503, "index", f"the index of the evidence cannot be read now: {error}") from None
