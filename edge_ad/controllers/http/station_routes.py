"""``/api/v1``: the station, its recipe, alarms and counters, and everything that happens as server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

import msgspec
from fastapi import APIRouter, Path
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from edge_ad.controllers.gateway import EventStream
from edge_ad.controllers.http.answers import StationAnswer, json_answer, station_answer
from edge_ad.controllers.http.describing import asks, says
from edge_ad.controllers.http.desk import Desk, Operator, Supervisor, Viewer, desk_of
from edge_ad.controllers.http.requests import read_json
from edge_ad.link.messages import Name

__all__ = ["RecipeAsk", "router"]

router = APIRouter(prefix="/api/v1", tags=["station"])

_SILENCE_S = 10.0


class RecipeAsk(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The name of the wanted recipe."""

    name: Name


@router.get("/station", responses=says(StationAnswer, 200))
async def station(request: Request, _: Viewer) -> Response:
    """How the station stands."""
    return json_answer(station_answer(desk_of(request).gateway.view))


@router.get("/health", responses=says(None, 200, 503))
async def health(request: Request) -> Response:
    """Whether the station is connected; asks for no token."""
    connected = desk_of(request).gateway.view.is_connected
    return json_answer({"connected": connected}, 200 if connected else 503)


@router.post("/recipe", status_code=202, responses=says(None, 202, 404, 409, 503), openapi_extra=asks(RecipeAsk))
async def recipe(request: Request, who: Supervisor) -> Response:
    """Ask for another recipe. The station's events and ``/station`` tell when it is active."""
    desk = desk_of(request)
    asked = await read_json(request, RecipeAsk, desk.settings.receive_s)
    await desk.gateway.recipe(asked.name, by=who)
    return json_answer({"requested": asked.name}, 202)


@router.post("/reset", responses=says(StationAnswer, 200, 409, 503))
async def reset(request: Request, who: Operator) -> Response:
    """Leave FAULT, where its cause is gone."""
    desk = desk_of(request)
    await desk.gateway.reset(by=who)
    return json_answer(station_answer(desk.gateway.view))


@router.post("/alarms/{alarm}/acknowledge", responses=says(StationAnswer, 200, 404, 409, 503))
async def acknowledge(
    request: Request, who: Operator, alarm: Annotated[str, Path(min_length=1, max_length=128)]
) -> Response:
    """Say that somebody has seen an alarm."""
    desk = desk_of(request)
    await desk.gateway.acknowledge(alarm, by=who)
    return json_answer(station_answer(desk.gateway.view))


@router.post("/counters/reset", responses=says(StationAnswer, 200, 409, 503))
async def reset_counters(request: Request, who: Supervisor) -> Response:
    """Begin to count anew, as at the end of a shift."""
    desk = desk_of(request)
    await desk.gateway.reset_counters(by=who)
    return json_answer(station_answer(desk.gateway.view))


@router.get("/events", response_class=StreamingResponse, responses=says("text/event-stream", 200))
async def events(request: Request, _: Viewer) -> Response:
    """Everything that happens from now on, as server-sent events.

    The first event is ``station``, as ``/station`` has it; then come those of the link under their own names. A reader
    that is too slow loses the oldest; an event ``lost`` says how many.
    """
    desk = desk_of(request)
    return StreamingResponse(_told(desk), media_type="text/event-stream", headers={"Cache-Control": "no-store"})


async def _told(desk: Desk) -> AsyncIterator[bytes]:
    with desk.gateway.events(desk.settings.events) as stream:
        yield _event("station", msgspec.json.encode(station_answer(desk.gateway.view)))
        lost = 0
        async for line in _lines(stream, desk.closing):
            if stream.dropped > lost:
                yield _event("lost", msgspec.json.encode({"events": stream.dropped - lost}))
                lost = stream.dropped
            yield line


async def _lines(stream: EventStream, closing: asyncio.Event) -> AsyncIterator[bytes]:
    """The events, and a comment after each silence, by which a connection that is gone is noticed."""
    waiting = asyncio.ensure_future(closing.wait())
    events = aiter(stream)
    following = asyncio.ensure_future(anext(events))
    try:
        while not closing.is_set():
            done, _ = await asyncio.wait({following, waiting}, timeout=_SILENCE_S, return_when=asyncio.FIRST_COMPLETED)
            if following in done:
                event = following.result()
                following = asyncio.ensure_future(anext(events))
                yield _event(event.__struct_config__.tag, msgspec.json.encode(event))
            elif not done:
                yield b":\n\n"
    finally:
        following.cancel()
        waiting.cancel()


def _event(name: object, data: bytes) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (str(name).encode(), data)
