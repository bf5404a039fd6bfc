"""The page for the people at the line: its files at ``/`` and ``/page/``, what it shows, and log-in by a cookie."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from functools import lru_cache
from pathlib import Path as FilePath
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from edge_ad.controllers.http.answers import ProblemError, json_answer
from edge_ad.controllers.http.desk import COOKIE, Desk, Viewer, desk_of
from edge_ad.controllers.http.evidence_routes import Inspection, Name, evidence_folder, read_kept
from edge_ad.controllers.http.page_answers import page_state
from edge_ad.controllers.http.requests import read_json
from edge_ad.controllers.security import Who
from edge_ad.page import Asset, Assets, read_assets, read_preview
from edge_ad.page.pictures import shown_frame
from edge_ad.station.preview_writer import want_previews

__all__ = ["router"]

router = APIRouter()

_SILENCE_S, _PAUSE_S = 1.0, 0.15
_SHIFT_S = 12 * 3_600
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
_NOT_KEPT = {"Cache-Control": "no-store"}
_KEPT = {"Cache-Control": "private, max-age=86400, immutable", "X-Content-Type-Options": "nosniff"}


class LogIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Somebody's token."""

    token: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


# --- its files


@lru_cache(8)
def _assets(texts: str | None) -> Assets:
    return read_assets(None if texts is None else FilePath(texts))


@router.get("/")
async def index(request: Request) -> Response:
    """The page."""
    return _file(request, _assets(desk_of(request).settings.texts).files["index.html"])


@router.get("/page/files/{name}")
async def file(request: Request, name: str) -> Response:
    """One of its files."""
    found = _assets(desk_of(request).settings.texts).files.get(name)
    if found is None:
        raise ProblemError(404, "not_found", "the page has no such file")
    return _file(request, found)


def _file(request: Request, asset: Asset) -> Response:
    headers = {**_HEADERS, "ETag": asset.tag, "Vary": "Accept-Encoding"}
    if request.headers.get("if-none-match") == asset.tag:
        return Response(None, 304, headers)
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(asset.packed, 200, {**headers, "Content-Encoding": "gzip"}, asset.type)
    return Response(asset.data, 200, headers, asset.type)


@router.get("/page/languages")
async def languages(request: Request) -> Response:
    """The languages that the page speaks, by their codes."""
    return json_answer(_assets(desk_of(request).settings.texts).languages, headers=_NOT_KEPT)


# --- log-in


@router.post("/page/session")
async def log_in(request: Request) -> Response:
    """Takes a token into a cookie that scripts cannot read, for a shift."""
    desk = desk_of(request)
    asked = await read_json(request, LogIn, desk.settings.receive_s)
    who = await desk.identified(request, asked.token)
    answer = json_answer({"who": who.name, "role": who.role}, headers=_NOT_KEPT)
    is_tls = request.url.scheme == "https"
    answer.set_cookie(COOKIE, asked.token, _SHIFT_S, path="/", secure=is_tls, httponly=True, samesite="strict")
    return answer


@router.delete("/page/session")
async def log_out(_: Request) -> Response:
    """Forgets the cookie."""
    answer = Response(None, 204, _NOT_KEPT)
    answer.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
    return answer


# --- what it shows


@router.get("/page/state")
async def state(request: Request, who: Viewer) -> Response:
    """What the events begin with, for a network that lets no events through."""
    desk = desk_of(request)
    if desk.settings.preview is not None:
        await asyncio.to_thread(_look, FilePath(desk.settings.preview))
    return json_answer(page_state(desk, who), headers=_NOT_KEPT)


@router.get("/page/results")
async def results(request: Request, _: Viewer, after: Annotated[int, Query(ge=0, le=2**63 - 1)] = 0) -> Response:
    """Results after that one, the oldest first."""
    return json_answer(desk_of(request).recent.after(after), headers=_NOT_KEPT)


@router.get("/page/events")
async def events(request: Request, who: Viewer, after: Annotated[int, Query(ge=0, le=2**63 - 1)] = 0) -> Response:
    """``state``, whenever it has changed and at least once a second, and ``results``, as server-sent events."""
    stream = _told(desk_of(request), who, after)
    headers = {"Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no"}
    return StreamingResponse(stream, media_type="text/event-stream", headers=headers)


async def _told(desk: Desk, who: Who, after: int) -> AsyncIterator[bytes]:
    news, closing = asyncio.Event(), asyncio.ensure_future(desk.closing.wait())
    desk.recent.told.add(news.set)
    try:
        while not desk.closing.is_set():
            news.clear()
            if desk.settings.preview is not None:
                await asyncio.to_thread(_look, FilePath(desk.settings.preview))
            told = await asyncio.to_thread(page_state, desk, who)
            yield b"event: state\ndata: %s\n\n" % msgspec.json.encode(told)
            fresh = desk.recent.after(after)
            if fresh:
                after = fresh[-1].number
                yield b"event: results\ndata: %s\n\n" % msgspec.json.encode(fresh)
            await asyncio.wait({closing}, timeout=_PAUSE_S)
            await _either(news, closing)
    finally:
        desk.recent.told.discard(news.set)
        closing.cancel()


async def _either(news: asyncio.Event, closing: asyncio.Future[Any]) -> None:
    """Until there is something to tell, or nothing more, for a second at most."""
    waiting = asyncio.ensure_future(news.wait())
    try:
        await asyncio.wait({waiting, closing}, timeout=_SILENCE_S, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()


def _look(folder: FilePath) -> None:
    from edge_ad.errors import OutputError

    try:
        want_previews(folder)
    except OutputError:  # the page says that there is no picture
        return


@router.get("/page/preview/{inspection}")
async def preview(request: Request, _: Viewer, inspection: Inspection) -> Response:
    """The newest frame of an inspection: a line of JSON, then a JPEG and the PNG of its map."""
    folder = desk_of(request).settings.preview
    found = None if folder is None else await asyncio.to_thread(read_preview, FilePath(folder), inspection)
    if found is None:
        raise ProblemError(404, "no_preview", "there is no picture of this inspection yet")
    headers = {**_NOT_KEPT, "ETag": found.tag}
    if request.headers.get("if-none-match") == found.tag:
        return Response(None, 304, headers)
    return Response(found.data, 200, headers, "application/octet-stream")


@router.get("/page/kept/{inspection}/{name}/{size}.jpg")
async def kept_picture(
    request: Request, _: Viewer, inspection: Inspection, name: Name, size: Literal["small", "large"]
) -> Response:
    """A kept frame, shrunk, with the boxes of its verdict."""
    folder = evidence_folder(request)
    drawn = _thumbnail if size == "small" else _picture
    async with desk_of(request).pictures:
        picture = await asyncio.to_thread(drawn, folder, inspection, name)
    if picture is None:
        raise ProblemError(404, "unreadable", "the kept frame is damaged")
    tag = f'"{hashlib.sha256(picture).hexdigest()[:16]}"'
    return Response(picture, 200, {**_KEPT, "ETag": tag}, "image/jpeg")


@lru_cache(256)
def _thumbnail(folder: FilePath, inspection: str, name: str) -> bytes | None:
    return _picture(folder, inspection, name, "small")


def _picture(folder: FilePath, inspection: str, name: str, size: Literal["small", "large"] = "large") -> bytes | None:
    data, record = (read_kept(folder, inspection, name, suffix) for suffix in (".png", ".json"))
    return shown_frame(data, record, size)
