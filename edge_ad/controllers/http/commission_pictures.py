"""Pictures of ``/page/commission``: parts that were counted, the reference, and how far the camera is from it."""

from __future__ import annotations

import asyncio
import re
from functools import lru_cache
from pathlib import Path as FilePath
from typing import Annotated

import msgspec
from fastapi import APIRouter, Path
from starlette.requests import Request
from starlette.responses import Response

from edge_ad.controllers.http.answers import ProblemError, json_answer
from edge_ad.controllers.http.commission_views import place_of
from edge_ad.controllers.http.desk import Viewer, desk_of
from edge_ad.errors import EdgeAdError
from edge_ad.page import read_preview
from edge_ad.page.aids import Shift, find_shift, reference_picture, shrunk_jpeg
from edge_ad.page.commission import CommissionedInspection

__all__ = ["router"]

router = APIRouter(prefix="/page/commission")

_HEADERS = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
_NAMED = re.compile(r"[0-9]{16,20}-[0-9]{8,20}")

Recipe = Annotated[str, Path(max_length=64)]
Inspection = Annotated[str, Path(max_length=64)]


class AidsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """How the newest picture compares with the reference. ``shift``: ``None`` where the two have nothing in common."""

    shift: Shift | None


@router.get("/{recipe}/{inspection}/taught/{name}.jpg")
async def taught(request: Request, _: Viewer, recipe: Recipe, inspection: Inspection, name: str) -> Response:
    """A part that was counted."""
    place = await asyncio.to_thread(place_of, desk_of(request), recipe, inspection)
    if _NAMED.fullmatch(name) is None:
        raise ProblemError(404, "unknown_part", "no such part was counted")
    async with desk_of(request).pictures:
        picture = await asyncio.to_thread(_small, place.folder.picture(name))
    if picture is None:
        raise ProblemError(404, "unknown_part", "no such part was counted")
    return Response(picture, 200, _HEADERS, "image/jpeg")


@lru_cache(64)
def _small(path: FilePath) -> bytes | None:
    try:
        return shrunk_jpeg(path.read_bytes(), 320)
    except OSError:
        return None


@router.get("/{recipe}/{inspection}/reference.jpg")
async def reference(request: Request, _: Viewer, recipe: Recipe, inspection: Inspection) -> Response:
    """A picture of how it should look: a part that was taught, or else a golden frame of the bundle."""
    place = await asyncio.to_thread(place_of, desk_of(request), recipe, inspection)
    picture = await asyncio.to_thread(_reference, place)
    if picture is None:
        raise ProblemError(404, "no_reference", "there is no picture to compare with")
    return Response(picture, 200, _HEADERS, "image/jpeg")


@router.get("/{recipe}/{inspection}/aids")
async def aids(request: Request, _: Viewer, recipe: Recipe, inspection: Inspection) -> Response:
    """How far the newest picture is shifted against the reference."""
    desk = desk_of(request)
    place = await asyncio.to_thread(place_of, desk, recipe, inspection)
    folder = desk.settings.preview
    found = None if folder is None else await asyncio.to_thread(read_preview, FilePath(folder), inspection)
    before = await asyncio.to_thread(_reference, place)
    shift = None
    if found is not None and before is not None:
        start = found.data.index(b"\n") + 1
        jpeg = found.data[start : start + found.head.picture]
        shift = await asyncio.to_thread(find_shift, before, jpeg, (found.head.width, found.head.height))
    return json_answer(AidsAnswer(shift=shift), headers={"Cache-Control": "no-store"})


def _reference(place: CommissionedInspection) -> bytes | None:
    parts = place.folder.parts()
    first = next(iter(parts.values()), None)
    taught = None if first is None else place.folder.picture(first[0].name or "")
    try:
        return _cached_reference(place.bundle, taught if taught is not None and taught.is_file() else None)
    except (EdgeAdError, OSError):
        return None


@lru_cache(8)
def _cached_reference(bundle: str, taught: FilePath | None) -> bytes | None:
    return reference_picture(bundle, taught)
