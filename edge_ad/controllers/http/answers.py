"""What the API answers: values as JSON, and every error as problem JSON (RFC 9457)."""

from __future__ import annotations

import http
from typing import Any

import msgspec
from starlette.responses import Response

from edge_ad.controllers.conversation import Outcome
from edge_ad.controllers.gateway import PartRefusedError
from edge_ad.controllers.security import DeniedError
from edge_ad.controllers.view import StationView
from edge_ad.errors import BundleError, EdgeAdError, InputError, LinkError, LinkRefusedError, OutputError
from edge_ad.link.messages import Snapshot, StationState
from edge_ad.teaching import ChangedError
from edge_ad.verdict import State, Verdict

__all__ = [
    "CountsAnswer",
    "PartAccepted",
    "PartAnswer",
    "Problem",
    "ProblemError",
    "StationAnswer",
    "json_answer",
    "part_answer",
    "problem_answer",
    "problem_of",
    "station_answer",
]

_OF_REFUSAL = {"station_away": 503, "too_many_open": 429, "bad_part": 422}
_OF_ERROR: tuple[tuple[type[EdgeAdError], int, str], ...] = (
    (LinkError, 503, "station_away"),
    (ChangedError, 409, "changed"),
    (InputError, 422, "bad_input"),
    (BundleError, 422, "bundle_refused"),
    (OutputError, 507, "not_written"),
    (EdgeAdError, 503, "failed"),
)


class CountsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Of the active recipe in this shift."""

    total: int
    ok: int
    ng: int
    invalid: int
    refused: int


class StationAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """How the station stands. ``snapshot``: all that it says of itself, at most a second old."""

    station: str
    connected: bool
    takes_triggers: bool
    state: StationState
    cause: str | None
    causes: tuple[str, ...]
    recipe: str | None
    requested_recipe: str | None
    recipe_error: str | None
    recipes: tuple[str, ...]
    alarms: dict[str, str]
    counts: CountsAnswer
    snapshot: Snapshot | None


class PartAccepted(msgspec.Struct, frozen=True, kw_only=True):
    """A part was accepted. ``result``: where its result will be."""

    id: str
    part_id: str | None
    result: str


class PartAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of a part. Only ``passes`` lets it pass.

    ``id``: of a part that was asked for here. ``trigger``: the station's number; ``None`` where the station said
    nothing. ``score``, ``threshold``: of the frame that is furthest over its threshold. ``verdicts``: one a frame.
    """

    id: str | None
    trigger: int | None
    part_id: str | None
    number: int | None
    passes: bool
    state: State
    code: int
    reason: str
    detail: str | None
    recipe: str | None
    latency_ms: float | None
    score: float | None
    threshold: float | None
    verdicts: tuple[Verdict, ...]


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a request was not carried out (RFC 9457). ``reason``: a short word for programs; ``code``: its number;
    ``names``: what ``detail`` names, so that the page can say it in another language."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    reason: str
    code: int | None = None
    names: dict[str, str] = {}


class ProblemError(Exception):
    """Ends a request with this problem."""

    def __init__(
        self,
        status: int,
        reason: str,
        detail: str,
        *,
        code: int | None = None,
        names: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        title = http.HTTPStatus(status).phrase
        self.problem = Problem(title=title, status=status, detail=detail, reason=reason, code=code, names=names or {})
        self.headers = headers


def problem_of(error: EdgeAdError) -> ProblemError:
    """The problem by which an error of ours is told."""
    if isinstance(error, DeniedError):
        return _denied(error)
    if isinstance(error, PartRefusedError):
        refusal = error.refusal
        return ProblemError(_OF_REFUSAL.get(refusal.reason, 409), refusal.reason, refusal.detail, code=refusal.code)
    if isinstance(error, LinkRefusedError):
        return ProblemError(404 if error.reason.startswith("unknown") else 409, error.reason, str(error))
    status, reason = next((status, reason) for kind, status, reason in _OF_ERROR if isinstance(error, kind))
    return ProblemError(status, reason, str(error))


def _denied(error: DeniedError) -> ProblemError:
    if error.retry_s > 0:
        wait = {"Retry-After": str(int(error.retry_s) + 1)}
        return ProblemError(429, "too_many_failures", str(error), headers=wait)
    if error.is_known:
        return ProblemError(403, "role", str(error))
    return ProblemError(401, "token", str(error), headers={"WWW-Authenticate": "Bearer"})


def json_answer(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A value as JSON."""
    return Response(msgspec.json.encode(value), status, headers, "application/json")


def problem_answer(error: ProblemError) -> Response:
    """A problem as the answer to a request."""
    return Response(msgspec.json.encode(error.problem), error.problem.status, error.headers, "application/problem+json")


def part_answer(outcome: Outcome, name: str | None = None) -> PartAnswer:
    """The outcome of a part; ``name``: the id by which it was asked for here."""
    result = outcome.result
    return PartAnswer(
        id=name,
        trigger=None if result is None else result.trigger,
        part_id=outcome.part_id,
        number=outcome.number,
        passes=outcome.passes,
        state=outcome.state,
        code=int(outcome.code),
        reason=outcome.code.name.lower(),
        detail=outcome.detail,
        recipe=outcome.recipe,
        latency_ms=outcome.latency_ms,
        score=outcome.score,
        threshold=outcome.threshold,
        verdicts=() if result is None else result.verdicts,
    )


def station_answer(view: StationView) -> StationAnswer:
    """What is known of the station now."""
    counts = view.counts
    return StationAnswer(
        station=view.station,
        connected=view.is_connected,
        takes_triggers=view.takes_triggers,
        state=view.state,
        cause=view.cause,
        causes=view.causes,
        recipe=view.recipe,
        requested_recipe=view.requested_recipe,
        recipe_error=view.recipe_error,
        recipes=view.recipes,
        alarms=dict(view.alarms),
        counts=CountsAnswer(
            total=counts.total, ok=counts.ok, ng=counts.ng, invalid=counts.invalid, refused=counts.refused
        ),
        snapshot=view.snapshot,
    )
