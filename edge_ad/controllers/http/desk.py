"""What every route needs: the station, who asks, and what is remembered."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends
from starlette.requests import Request

from edge_ad.controllers.gateway import Gateway
from edge_ad.controllers.http.http_settings import HttpSettings
from edge_ad.controllers.http.parts import AskedParts
from edge_ad.controllers.http.recent_results import RecentResults
from edge_ad.controllers.security import Access, DeniedError, RateLimit, Role, Who
from edge_ad.errors import OutputError

if TYPE_CHECKING:
    from edge_ad.controllers.conversation import Outcome

__all__ = ["COOKIE", "SUBJECT", "Desk", "Engineer", "Operator", "Supervisor", "Viewer", "Work", "desk_of", "finished"]

logger = logging.getLogger(__name__)

SUBJECT = "edge_ad.subject"
"""In the scope of a request: the subject of the certificate that the client has shown on this connection."""
COOKIE = "edge_ad_token"
"""Of the page: a browser sends it along, and its scripts cannot read it."""

_FAILURES_PER_S = 5.0
_BODIES_AT_ONCE, _PICTURES_AT_ONCE = 8, 2


@dataclass(slots=True, eq=False)
class Work:
    """Something that goes on for an inspection while nobody looks. ``error``: why it ended without having been done."""

    kind: str
    by: str
    at: float
    is_going: bool = True
    error: str | None = None
    task: asyncio.Task[None] | None = None


@dataclass(slots=True, eq=False)
class Desk:
    """``bodies``: how many large ones are held at once, ``pictures``: how many are decoded. ``closing``: the end.
    ``works``: what goes on, by recipe and inspection."""

    settings: HttpSettings
    gateway: Gateway
    access: Access
    name: str
    parts: AskedParts
    rate: RateLimit
    failures: RateLimit = field(default_factory=lambda: RateLimit(_FAILURES_PER_S))
    not_recorded: int = 0
    bodies: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_BODIES_AT_ONCE))
    pictures: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_PICTURES_AT_ONCE))
    uploading: asyncio.Lock = field(default_factory=asyncio.Lock)
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    recent: RecentResults = field(default_factory=RecentResults)
    works: dict[tuple[str, str], Work] = field(default_factory=dict)

    async def identified(self, request: Request, token: str | None) -> Who:
        """Who has this token; raises :class:`DeniedError`, and records a wrong one."""
        source = request.client.host if request.client else "unknown"
        try:
            return self.access.identify(token, source, request.scope.get(SUBJECT))
        except DeniedError as error:
            if error.failed is not None:
                await _record_failure(self, source, f"{error.failed} for {request.url.path}")
            raise


def desk_of(request: Request) -> Desk:
    """The desk of the application that this request came to."""
    desk = request.app.state.desk
    assert isinstance(desk, Desk)  # noqa: S101
    return desk


def _somebody(needed: Role) -> Callable[[Request], Awaitable[Who]]:
    async def somebody(request: Request) -> Who:
        desk = desk_of(request)
        who = await desk.identified(request, _token(request))
        desk.access.check(who, needed)
        return who

    return somebody


async def _record_failure(desk: Desk, source: str, how: str) -> None:
    """A failed log-in stands in the audit trail; of a flood of them only some, so that it cannot push out the rest."""
    if desk.failures.take("") > 0:
        desk.not_recorded += 1
        return
    more = f", and {desk.not_recorded} more before it" if desk.not_recorded else ""
    desk.not_recorded = 0
    try:
        await desk.gateway.record("log_in", "refused", source=source, detail=f"{how}{more}")
    except OutputError as error:
        logger.error("a failed log-in from %s is not in the audit trail: %s", source, error)


def _token(request: Request) -> str | None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return request.cookies.get(COOKIE) or None


async def finished(future: asyncio.Future[Outcome]) -> Outcome:
    """The outcome of a part; a client that goes meanwhile does not take it from others."""
    return await asyncio.shield(future)


Viewer = Annotated[Who, Depends(_somebody(Role.VIEWER))]
Operator = Annotated[Who, Depends(_somebody(Role.OPERATOR))]
Supervisor = Annotated[Who, Depends(_somebody(Role.SUPERVISOR))]
Engineer = Annotated[Who, Depends(_somebody(Role.ENGINEER))]
