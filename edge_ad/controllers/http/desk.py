"""What every route needs: the station, who asks, and what is remembered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends
from starlette.requests import Request

from edge_ad.controllers.gateway import Gateway
from edge_ad.controllers.http.parts import PartBook
from edge_ad.controllers.http.settings import HttpSettings
from edge_ad.controllers.security import Access, RateLimit, Role, Who

if TYPE_CHECKING:
    from edge_ad.controllers.conversation import Outcome

__all__ = ["Desk", "Engineer", "Operator", "Supervisor", "desk_of", "finished"]

_BODIES_AT_ONCE, _PICTURES_AT_ONCE = 8, 2


@dataclass(slots=True, eq=False)
class Desk:
    """``bodies``: how many large ones are held at once, ``pictures``: how many are decoded. ``closing``: the end."""

    settings: HttpSettings
    gateway: Gateway
    access: Access
    name: str
    parts: PartBook
    rate: RateLimit
    bodies: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_BODIES_AT_ONCE))
    pictures: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_PICTURES_AT_ONCE))
    closing: asyncio.Event = field(default_factory=asyncio.Event)

    def by(self, who: Who) -> str:
        """Who asks, for the station's log."""
        return f"{self.name}:{who.name}@{who.source}"


def desk_of(request: Request) -> Desk:
    """The desk of the application that this request came to."""
    desk = request.app.state.desk
    assert isinstance(desk, Desk)  # noqa: S101
    return desk


def _somebody(needed: Role) -> Callable[[Request], Awaitable[Who]]:
    async def somebody(request: Request) -> Who:
        access = desk_of(request).access
        who = access.identify(_token(request), request.client.host if request.client else "unknown")
        access.check(who, needed)
        return who

    return somebody


def _token(request: Request) -> str | None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


async def finished(future: asyncio.Future[Outcome]) -> Outcome:
    """The outcome of a part; a client that goes meanwhile does not take it from others."""
    return await asyncio.shield(future)


Operator = Annotated[Who, Depends(_somebody(Role.OPERATOR))]
Supervisor = Annotated[Who, Depends(_somebody(Role.SUPERVISOR))]
Engineer = Annotated[Who, Depends(_somebody(Role.ENGINEER))]
