"""``/v2``: the Open Inference Protocol (REST). A model is a recipe; a frame goes in, a verdict comes out."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Path
from starlette.requests import Request
from starlette.responses import Response

from edge_ad import __version__
from edge_ad.controllers.conversation import Outcome
from edge_ad.controllers.http.answers import json_answer
from edge_ad.controllers.http.describing import says
from edge_ad.controllers.http.desk import Desk, Operator, desk_of, finished
from edge_ad.controllers.http.oip_tensors import INPUT, OUTPUTS, TensorError, read_request, write_response
from edge_ad.controllers.http.requests import read_body

__all__ = ["OipError", "error_answer", "router"]

router = APIRouter(prefix="/v2", tags=["open inference protocol"])

_VERSION = "1"
_LENGTH = "inference-header-content-length"
Model = Annotated[str, Path(max_length=128)]


class OipError(msgspec.Struct, frozen=True):
    """Why a request was not carried out, in the protocol's form."""

    error: str


class ServerMetadata(msgspec.Struct, frozen=True):
    """What serves."""

    name: str
    version: str
    extensions: list[str]


class TensorMetadata(msgspec.Struct, frozen=True):
    """``shape``: -1 where any size is taken."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(msgspec.Struct, frozen=True):
    """A model: what it takes and what it gives."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class Tensor(msgspec.Struct, frozen=True):
    """A tensor in JSON."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any] = []
    parameters: dict[str, Any] = {}


class InferAsk(msgspec.Struct, frozen=True):
    """A request with one input, ``frame``: UINT8 [1, H, W, C]. ``id``: of the part."""

    inputs: list[Tensor]
    id: str | None = None
    parameters: dict[str, Any] = {}
    outputs: list[dict[str, Any]] = []


class InferAnswer(msgspec.Struct, frozen=True):
    """The outputs that were asked for."""

    model_name: str
    model_version: str
    outputs: list[Tensor]
    id: str | None = None


def _errors(kind: Any) -> dict[int | str, dict[str, Any]]:
    told = says(kind, 200, 404, 409, 503)
    schema = says(OipError, 200)[200]["content"]["application/json"]["schema"]
    for status, answer in told.items():
        if status != 200:
            answer["content"] = {"application/json": {"schema": schema}}
    return told


@router.get("", responses=_errors(ServerMetadata))
async def server(_: Operator) -> Response:
    """What serves."""
    return json_answer(ServerMetadata("edge-ad", str(__version__), ["binary_tensor_data"]))


@router.get("/health/live", responses=_errors(None))
async def live() -> Response:
    """Whether this process runs; asks for no token."""
    return json_answer({"live": True})


@router.get("/health/ready", responses=_errors(None))
async def ready(request: Request) -> Response:
    """Whether the station takes parts now; asks for no token."""
    takes = desk_of(request).gateway.view.takes_triggers
    return json_answer({"ready": takes}) if takes else error_answer(503, "the station takes no parts now")


@router.get("/models/{model}", responses=_errors(ModelMetadata))
async def model_metadata(request: Request, _: Operator, model: Model) -> Response:
    """A model: a recipe of the station."""
    return _unknown(desk_of(request), model, None) or json_answer(_metadata(model))


@router.get("/models/{model}/versions/{version}", responses=_errors(ModelMetadata))
async def version_metadata(request: Request, _: Operator, model: Model, version: str) -> Response:
    """As the model: there is one version, 1."""
    return _unknown(desk_of(request), model, version) or json_answer(_metadata(model))


@router.get("/models/{model}/ready", responses=_errors(None))
async def model_ready(request: Request, _: Operator, model: Model) -> Response:
    """Whether the model is the active recipe, and the station takes parts."""
    desk = desk_of(request)
    return _unknown(desk, model, None) or _not_ready(desk, model) or json_answer({"name": model, "ready": True})


@router.get("/models/{model}/versions/{version}/ready", responses=_errors(None))
async def version_ready(request: Request, _: Operator, model: Model, version: str) -> Response:
    """As the model."""
    desk = desk_of(request)
    return _unknown(desk, model, version) or _not_ready(desk, model) or json_answer({"name": model, "ready": True})


_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": says(InferAsk, 200)[200]["content"]["application/json"]["schema"]},
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}


@router.post("/models/{model}/infer", responses=_errors(InferAnswer), openapi_extra=_BODY)
async def infer(request: Request, _: Operator, model: Model) -> Response:
    """Score a frame."""
    return await _infer(request, model, None)


@router.post("/models/{model}/versions/{version}/infer", responses=_errors(InferAnswer), openapi_extra=_BODY)
async def infer_version(request: Request, _: Operator, model: Model, version: str) -> Response:
    """Score a frame."""
    return await _infer(request, model, version)


async def _infer(request: Request, model: str, version: str | None) -> Response:
    desk, settings = desk_of(request), desk_of(request).settings
    if (refused := _unknown(desk, model, version) or _not_ready(desk, model)) is not None:
        return refused
    length = request.headers.get(_LENGTH)
    if length is not None and (not length.isascii() or not length.isdecimal() or len(length) > 18):
        return error_answer(400, f"the header {_LENGTH} is no number: {length!r}")
    async with desk.bodies:
        body = await read_body(request, int(settings.frame_mb * 1e6), settings.receive_s)
        most = int(settings.frame_megapixels * 1e6)
        try:
            async with desk.pictures:
                asked = await asyncio.to_thread(read_request, body, None if length is None else int(length), most)
        except TensorError as error:
            return error_answer(400, str(error))
        part = await desk.gateway.begin(asked.id or None, None, asked.pixels, recipe=model)
    body, headers, kind = write_response(model, asked, _values(await finished(part)))
    return Response(body, 200, headers, kind)


def error_answer(status: int, text: str, headers: dict[str, str] | None = None) -> Response:
    """An error in the protocol's form."""
    return json_answer(OipError(text), status, headers)


def _unknown(desk: Desk, model: str, version: str | None) -> Response | None:
    if model not in desk.gateway.view.recipes:
        return error_answer(404, f"no model {model!r}: there are {', '.join(desk.gateway.view.recipes) or 'none'}")
    return None if version in (None, _VERSION) else error_answer(404, f"no version {version!r}: there is {_VERSION}")


def _not_ready(desk: Desk, model: str) -> Response | None:
    view = desk.gateway.view
    if not view.takes_triggers:
        return error_answer(503, "the station takes no parts now")
    if view.recipe != model:
        return error_answer(409, f"the active recipe is {view.recipe!r}: ask for the recipe {model!r} first")
    return None


def _metadata(model: str) -> ModelMetadata:
    outputs = [TensorMetadata(name, kind, [-1]) for name, kind in OUTPUTS.items()]
    return ModelMetadata(model, [_VERSION], "edge-ad", [TensorMetadata(INPUT, "UINT8", [1, -1, -1, -1])], outputs)


def _values(outcome: Outcome) -> dict[str, list[Any]]:
    """One value each; a part without a score has none, so that nobody takes a made-up one for it."""
    return {
        "score": [] if outcome.score is None else [outcome.score],
        "threshold": [] if outcome.threshold is None else [outcome.threshold],
        "state": [outcome.state.value],
        "passes": [outcome.passes],
    }
