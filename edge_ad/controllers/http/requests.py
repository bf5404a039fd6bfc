"""Reads what a client sends, as much as is allowed and no more: bodies, JSON, pictures."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request

from edge_ad.controllers.http.answers import ProblemError
from edge_ad.errors import FrameError
from edge_ad.verdict import Reason

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["NO_MORE", "decode_picture", "read_body", "read_json"]

T = TypeVar("T")

_JSON_BYTES = 65_536
NO_MORE = {"Connection": "close"}
"""Of an answer to a request whose body was not read to its end: what follows in the connection is nobody's."""


async def read_body(request: Request, limit: int, within_s: float) -> bytes:
    """The body, at most ``limit`` bytes, within this time.

    Raises:
        ProblemError: it is larger, too slow, or packed.
    """
    if request.headers.get("content-encoding", "identity") != "identity":
        raise ProblemError(415, "packed", "send the body without a Content-Encoding", headers=NO_MORE)
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared) > limit:
        raise _too_large(limit)
    try:
        return await asyncio.wait_for(_read(request, limit), within_s)
    except asyncio.TimeoutError:
        detail = f"the request was not here within {within_s:g} s"
        raise ProblemError(408, "too_slow", detail, headers=NO_MORE) from None
    except ClientDisconnect:
        raise ProblemError(400, "cut_off", "the client went in the middle of its request", headers=NO_MORE) from None


async def _read(request: Request, limit: int) -> bytes:
    body = bytearray()
    async for block in request.stream():
        body += block
        if len(body) > limit:
            raise _too_large(limit)
    return bytes(body)


def _too_large(limit: int) -> ProblemError:
    return ProblemError(413, "too_large", f"at most {limit} bytes are taken here", headers=NO_MORE)


async def read_json(request: Request, kind: type[T], within_s: float) -> T:
    """The body as a ``kind``; an empty one is ``{}``.

    Raises:
        ProblemError: it is no JSON or not of this kind.
    """
    body = await read_body(request, _JSON_BYTES, within_s)
    content = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if body and content != "application/json":
        detail = f"expected Content-Type: application/json, found {content or 'none'}"
        raise ProblemError(415, "content_type", detail)
    try:
        return msgspec.json.decode(body or b"{}", type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProblemError(422, "bad_json", f"the body is not what is expected: {error}") from None


def decode_picture(data: bytes, most_pixels: int) -> NDArray[np.uint8]:
    """The pixels of a PNG, JPEG or other picture: uint8 (H, W, 3) BGR or (H, W) gray.

    Raises:
        ProblemError: it is no picture, or has more pixels.
    """
    from edge_ad.sources.declared_size import declared_size
    from edge_ad.sources.image_file import decode_image

    size = declared_size(data)
    if size is None:
        raise ProblemError(422, "unreadable", "this is no picture of a known format")
    if size[0] * size[1] > most_pixels:
        detail = f"the picture has {size[0]} x {size[1]} pixels, and at most {most_pixels} are taken here"
        raise ProblemError(413, "too_many_pixels", detail)
    try:
        return decode_image(Path("picture"), data)
    except FrameError as error:
        raise ProblemError(422, Reason(error.reason).value, str(error)) from None
