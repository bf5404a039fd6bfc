"""Challenge parts and challenge sets for the page: what is asked of the station, and what has been proved."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import msgspec
from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from edge_ad.controllers.http.answers import ProblemError, json_answer
from edge_ad.controllers.http.desk import Desk, Operator, Viewer, desk_of
from edge_ad.controllers.http.requests import read_json
from edge_ad.errors import EdgeAdError
from edge_ad.link.messages import ChallengeAction, Name
from edge_ad.page.proofs_shown import ShownProof, Study, show_proofs, study_proofs
from edge_ad.station.proofs import Proof, read_proofs

__all__ = ["known_proofs", "router"]

router = APIRouter(prefix="/page/challenge")

_NOT_KEPT = {"Cache-Control": "no-store"}


class ChallengeAsk(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``part``: the one that comes next. ``runs``: how often a challenge set is replayed."""

    action: ChallengeAction
    part: Name | None = None
    runs: Annotated[int, msgspec.Meta(ge=1, le=10)] = 1


class Proved(msgspec.Struct, frozen=True):
    """``proofs``: the newest first. ``studies``: of what is proved now, by recipe and kind."""

    proofs: tuple[ShownProof, ...]
    studies: tuple[Study, ...]


@router.post("")
async def ask(request: Request, who: Operator) -> Response:
    """Begin a challenge, say that the next part comes, cancel it, or replay the challenge set."""
    desk = desk_of(request)
    asked = await read_json(request, ChallengeAsk, desk.settings.receive_s)
    await desk.gateway.challenge(asked.action, asked.part, asked.runs, by=who)
    return json_answer({"asked": asked.action}, headers=_NOT_KEPT)


@router.get("")
async def proved(request: Request, _: Viewer, limit: Annotated[int, Query(ge=1, le=500)] = 20) -> Response:
    """What has been proved, and the figures of the measurement system."""
    desk = desk_of(request)
    proofs = await asyncio.to_thread(known_proofs, desk)
    shown = await asyncio.to_thread(lambda: Proved(show_proofs(proofs)[:limit], study_proofs(proofs)))
    return json_answer(shown, headers=_NOT_KEPT)


def known_proofs(desk: Desk) -> tuple[Proof, ...]:
    """The proofs of the file that the controller's table names; none where it names none."""
    path = desk.settings.proof
    try:
        return () if path is None else read_proofs(Path(path))
    except EdgeAdError as error:
        raise ProblemError(503, "proof", str(error)) from None
