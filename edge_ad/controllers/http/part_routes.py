"""``/api/v1``: triggers and pictures, and their results."""

from __future__ import annotations

import asyncio
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import msgspec
from fastapi import APIRouter, Path, Query
from starlette.requests import Request
from starlette.responses import Response

from edge_ad.controllers.http.answers import PartAccepted, PartAnswer, ProblemError, json_answer, part_answer
from edge_ad.controllers.http.describing import asks, asks_picture, says
from edge_ad.controllers.http.desk import Desk, Operator, Viewer, desk_of, finished
from edge_ad.controllers.http.requests import decode_picture, read_body, read_json
from edge_ad.link.messages import PART_ID_CHARACTERS, PartId

if TYPE_CHECKING:
    from edge_ad.controllers.conversation import Outcome

__all__ = ["PartAsk", "router"]

router = APIRouter(prefix="/api/v1", tags=["parts"])

PartNumber = Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]
Wait = Annotated[bool, Query(description="Answer with the result; else as soon as the part is accepted.")]
_ANSWERS = says(PartAnswer, 200, 409, 429, 503) | says(PartAccepted, 202)
_PICTURES = ("image/png", "image/jpeg", "image/bmp", "image/tiff", "image/webp", "application/octet-stream")


class PartAsk(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A part is there. ``number``: the controller's own, echoed in the answer."""

    part_id: PartId | None = None
    number: PartNumber | None = None


@router.post("/parts", responses=_ANSWERS, openapi_extra=asks(PartAsk))
async def trigger(request: Request, _: Operator, wait: Wait = True) -> Response:
    """Trigger a part, and wait for its result."""
    desk = desk_of(request)
    asked = await read_json(request, PartAsk, desk.settings.receive_s)
    return await _answered(desk, await desk.gateway.begin(asked.part_id, asked.number), asked.part_id, wait)


@router.post(
    "/frames",
    responses=_ANSWERS,
    openapi_extra=asks_picture(*_PICTURES),
)
async def frame(
    request: Request,
    _: Operator,
    part_id: Annotated[str | None, Query(max_length=PART_ID_CHARACTERS)] = None,
    number: Annotated[int | None, Query(ge=0, le=2**32 - 1)] = None,
    camera: Annotated[str | None, Query(min_length=1, max_length=128)] = None,
    wait: Wait = True,
) -> Response:
    """Hand in the picture of a part, as a file of PNG, JPEG, BMP, TIFF or WebP, and wait for its result."""
    desk = desk_of(request)
    content = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content not in _PICTURES:
        detail = f"expected one of {', '.join(_PICTURES)} as Content-Type, found {content or 'none'}"
        raise ProblemError(415, "content_type", detail)
    settings = desk.settings
    async with desk.bodies:
        body = await read_body(request, int(settings.frame_mb * 1e6), settings.receive_s)
        async with desk.pictures:
            pixels = await asyncio.to_thread(decode_picture, body, int(settings.frame_megapixels * 1e6))
        outcome = await desk.gateway.begin(part_id, number, pixels, camera)
    return await _answered(desk, outcome, part_id, wait)


@router.get("/parts/{id}", responses=says(PartAnswer, 200, 404) | says(PartAccepted, 202))
async def result(request: Request, _: Viewer, id: Annotated[str, Path(max_length=64)]) -> Response:  # noqa: A002
    """The result of a part that was asked for here; 202 as long as there is none."""
    book = desk_of(request).parts
    if not book.is_known(id):
        raise ProblemError(404, "unknown_part", "no part of this id is remembered")
    done = book.outcome(id)
    return json_answer(_accepted(id, None), 202) if done is None else json_answer(done)


@router.get("/results", responses=says(list[PartAnswer], 200))
async def results(
    request: Request,
    _: Viewer,
    part_id: Annotated[str | None, Query(max_length=PART_ID_CHARACTERS)] = None,
    trigger: Annotated[int | None, Query(ge=0, le=2**63 - 1)] = None,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
) -> Response:
    """The results of late, the newest first, whoever has triggered them."""
    found = desk_of(request).parts.results(part_id, trigger)
    return json_answer(list(islice(found, limit)))


async def _answered(desk: Desk, outcome: asyncio.Future[Outcome], part_id: str | None, wait: bool) -> Response:
    name = desk.parts.add(outcome)
    if not wait:
        accepted = _accepted(name, part_id)
        return json_answer(accepted, 202, {"Location": accepted.result})
    return json_answer(part_answer(await finished(outcome), name))


def _accepted(name: str, part_id: str | None) -> PartAccepted:
    return PartAccepted(id=name, part_id=part_id, result=f"/api/v1/parts/{name}")
