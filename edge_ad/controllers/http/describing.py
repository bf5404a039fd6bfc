"""The OpenAPI document: made from the routes and from the structs that they take and answer."""

from __future__ import annotations

import http
from typing import Any

import msgspec
from fastapi import FastAPI

from edge_ad.controllers.http.answers import Problem

__all__ = ["asks", "asks_picture", "describe", "says"]

_COMPONENTS = "#/components/schemas/{name}"
_TYPES: list[Any] = [Problem]
_ALWAYS = (400, 401, 403, 408, 413, 415, 422, 429)


def _schema(kind: Any) -> dict[str, Any]:
    if kind not in _TYPES:
        _TYPES.append(kind)
    (schema,), _ = msgspec.json.schema_components([kind], ref_template=_COMPONENTS)
    return schema


def says(kind: Any, status: int, *problems: int) -> dict[int | str, dict[str, Any]]:
    """The answers of a route: of ``status`` a ``kind`` (a media type where it is no JSON), and problems."""
    if isinstance(kind, str):
        content = {kind: {"schema": {"type": "string"}}}
    else:
        content = {"application/json": {"schema": {"type": "object"} if kind is None else _schema(kind)}}
    problem = {"application/problem+json": {"schema": _schema(Problem)}}
    told: dict[int | str, dict[str, Any]] = {
        one: {"description": http.HTTPStatus(one).phrase, "content": problem} for one in (*_ALWAYS, *problems)
    }
    return told | {status: {"description": http.HTTPStatus(status).phrase, "content": content}}


def asks(kind: Any) -> dict[str, Any]:
    """The body of a route that takes JSON."""
    return {"requestBody": {"content": {"application/json": {"schema": _schema(kind)}}}}


def asks_picture(*types: str) -> dict[str, Any]:
    """The body of a route that takes a file."""
    binary = {"schema": {"type": "string", "format": "binary"}}
    return {"requestBody": {"required": True, "content": dict.fromkeys(types, binary)}}


def describe(app: FastAPI) -> dict[str, Any]:
    """The document of an application."""
    from fastapi.openapi.utils import get_openapi

    document = get_openapi(
        title="edge-ad",
        version="1",
        summary="Verdicts of an inspection station.",
        routes=app.routes,
    )
    components = document.setdefault("components", {})
    _, ours = msgspec.json.schema_components(_TYPES, ref_template=_COMPONENTS)
    components["schemas"] = dict(sorted((ours | components.get("schemas", {})).items()))
    for unused in ("HTTPValidationError", "ValidationError"):
        components["schemas"].pop(unused, None)
    components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    document["security"] = [{"token": []}, {}]
    return document
