"""The application: all routes, and what every request goes through first."""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from edge_ad.controllers.gateway import Gateway
from edge_ad.controllers.http import (
    bundle_routes,
    challenge_routes,
    commission_pictures,
    commission_routes,
    evidence_routes,
    kept_routes,
    oip_routes,
    page_routes,
    part_routes,
    report_routes,
    station_routes,
)
from edge_ad.controllers.http.answers import ProblemError, problem_answer, problem_of
from edge_ad.controllers.http.describing import describe
from edge_ad.controllers.http.desk import Desk
from edge_ad.controllers.http.http_settings import HttpSettings
from edge_ad.controllers.http.parts import AskedParts
from edge_ad.controllers.security import Access, RateLimit, Role, TokenFile
from edge_ad.errors import EdgeAdError, one_line

__all__ = ["make_app", "make_desk"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


def make_desk(settings: HttpSettings, gateway: Gateway, name: str) -> Desk:
    """What the routes of one controller share. Needs a running event loop.

    Raises:
        InputError: the file of tokens is missing or damaged.
    """
    from pathlib import Path

    tokens = None if settings.tokens is None else TokenFile(Path(settings.tokens))
    access = Access(tokens, Role(settings.local_role), kiosk=settings.kiosk)
    return Desk(settings, gateway, access, name, AskedParts(settings.results), RateLimit(settings.rate_per_s))


def make_app(desk: Desk) -> FastAPI:
    """The application that serves this desk."""
    app = FastAPI(title="edge-ad", docs_url=None, redoc_url=None, openapi_url="/api/v1/openapi.json")
    app.state.desk = desk
    app.include_router(station_routes.router)
    app.include_router(part_routes.router)
    app.include_router(evidence_routes.router)
    app.include_router(bundle_routes.router)
    app.include_router(oip_routes.router)
    app.include_router(page_routes.router, include_in_schema=False)
    app.include_router(kept_routes.router, include_in_schema=False)
    app.include_router(report_routes.router, include_in_schema=False)
    app.include_router(commission_routes.router, include_in_schema=False)
    app.include_router(commission_pictures.router, include_in_schema=False)
    app.include_router(challenge_routes.router, include_in_schema=False)
    app.add_middleware(_Guard, desk=desk)
    app.add_exception_handler(ProblemError, _problem)
    app.add_exception_handler(EdgeAdError, _problem)
    app.add_exception_handler(RequestValidationError, _wrong_parameter)
    app.add_exception_handler(HTTPException, _http_error)
    app.openapi = lambda: describe(app)  # type: ignore[method-assign]
    return app


class _Guard:
    """Before any route: how often a client asks, and whether a page of another site lets a browser ask."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]], desk: Desk) -> None:
        self._app = app
        self._desk = desk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            problem = self._problem(Request(scope))
            if problem is not None:
                await _told(Request(scope), problem)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _problem(self, request: Request) -> ProblemError | None:
        client = request.client.host if request.client else "unknown"
        if (wait_s := self._desk.rate.take(client)) > 0:
            headers = {"Retry-After": str(int(wait_s) + 1), "Connection": "close"}
            detail = f"more than {self._desk.settings.rate_per_s:g} requests in a second"
            return ProblemError(429, "too_many_requests", detail, headers=headers)
        host, origin = request.headers.get("host", ""), request.headers.get("origin")
        if origin is not None and origin.partition("://")[2] != host:
            return ProblemError(403, "other_origin", "pages of other sites may not ask here")
        if self._desk.settings.tokens is None and not _is_local(host):
            detail = f"without tokens only this machine may ask, and by no other name: found {host!r}"
            return ProblemError(403, "other_host", detail)
        return None


def _is_local(host: str) -> bool:
    """Whether a Host header names this machine. Another name may be one that a page has made point here."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False


def _told(request: Request, error: ProblemError) -> Response:
    """A problem in the form of the protocol that was asked in."""
    if request.url.path.startswith("/v2"):
        problem = error.problem
        status = 400 if problem.status == 422 else problem.status
        return oip_routes.error_answer(status, f"{problem.reason}: {problem.detail}", error.headers)
    return problem_answer(error)


async def _problem(request: Request, error: Exception) -> Response:
    if isinstance(error, EdgeAdError):
        error = problem_of(error)
    assert isinstance(error, ProblemError)  # noqa: S101
    return _told(request, error)


async def _wrong_parameter(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    found = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
    return _told(request, ProblemError(422, "bad_parameter", one_line("; ".join(found))))


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    headers = dict(error.headers) if error.headers else None
    reason = {404: "not_found", 405: "method"}.get(error.status_code, "refused")
    return _told(request, ProblemError(error.status_code, reason, str(error.detail), headers=headers))
