"""``/api/v1/bundles``: a bundle for a recipe that is not active, verified before it can be used."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import sys
from pathlib import Path as FilePath
from typing import Annotated

import msgspec
from fastapi import APIRouter, Path
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from edge_ad.controllers.http.answers import ProblemError, json_answer
from edge_ad.controllers.http.describing import asks_picture, says
from edge_ad.controllers.http.desk import Desk, Engineer, desk_of
from edge_ad.controllers.http.requests import NO_MORE
from edge_ad.errors import BundleError, one_line
from edge_ad.files import output_error, part_file, sync_folder

__all__ = ["BundleAnswer", "router"]

router = APIRouter(prefix="/api/v1/bundles", tags=["bundles"])

_UPLOAD_S, _VERIFY_S = 600.0, 600.0
_VERIFY_BYTES = 8 << 30
_ZIP = "application/zip"
_VERIFY = (
    "import resource, sys; limit = int(sys.argv[1]); resource.setrlimit(resource.RLIMIT_AS, (limit, limit)); "
    "from edge_ad.cli import main; main(['verify', *sys.argv[2:]])"
)


class BundleAnswer(msgspec.Struct, frozen=True):
    """A bundle that was verified on this device. ``recipe``: the one that uses it from its next change on."""

    recipe: str
    bytes: int
    sha256: str
    verified: str


@router.put("/{recipe}", responses=says(BundleAnswer, 200, 404, 409, 503, 507), openapi_extra=asks_picture(_ZIP))
async def put_bundle(
    request: Request, who: Engineer, recipe: Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
) -> Response:
    """Hand in the bundle of a recipe that is not active, as a zip file. Its golden frames are scored here first."""
    desk = desk_of(request)
    folder = _folder(desk, request)
    _check_recipe(desk, recipe)
    if desk.uploading.locked():
        raise ProblemError(409, "busy", "another bundle is being handed in", headers=NO_MORE)
    async with desk.uploading:
        part = part_file(folder / f"{recipe}.zip")
        try:
            size, sha256 = await asyncio.wait_for(
                _receive(request, part, int(desk.settings.bundle_mb * 1e6)), _UPLOAD_S
            )
            async with desk.gateway.audited("bundle", who, target=recipe, after=f"sha256 {sha256}"):
                verified = await _verified(part, desk.settings.trust)
                _check_recipe(desk, recipe)
                part.replace(folder / f"{recipe}.zip")
                sync_folder(folder)
        except asyncio.TimeoutError:
            raise ProblemError(408, "too_slow", "the bundle was not here in time", headers=NO_MORE) from None
        except ClientDisconnect:
            raise ProblemError(400, "cut_off", "the client went in the middle of its bundle") from None
        except OSError as error:
            raise output_error(folder, error) from error
        finally:
            part.unlink(missing_ok=True)
    return json_answer(BundleAnswer(recipe, size, sha256, verified))


def _folder(desk: Desk, request: Request) -> FilePath:
    if desk.settings.bundles is None:
        raise ProblemError(404, "no_bundles", "this controller names no folder of bundles", headers=NO_MORE)
    content = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content != _ZIP:
        detail = f"expected Content-Type: {_ZIP}, found {content or 'none'}"
        raise ProblemError(415, "content_type", detail, headers=NO_MORE)
    return FilePath(desk.settings.bundles)


def _check_recipe(desk: Desk, recipe: str) -> None:
    view = desk.gateway.view
    if recipe not in view.recipes:
        raise ProblemError(404, "unknown_recipe", f"the station has no recipe {recipe!r}", headers=NO_MORE)
    if recipe in {view.recipe, view.requested_recipe}:
        detail = f"the recipe {recipe!r} is active or asked for: hand the bundle in for another recipe, then change"
        raise ProblemError(409, "recipe_active", detail, headers=NO_MORE)


async def _receive(request: Request, part: FilePath, limit: int) -> tuple[int, str]:
    """Writes the body to a file as it comes; its size and digest."""
    digest, size = hashlib.sha256(), 0
    with part.open("xb") as file:
        async for block in request.stream():
            size += len(block)
            if size > limit:
                raise ProblemError(413, "too_large", f"at most {limit} bytes are taken here", headers=NO_MORE)
            digest.update(block)
            await asyncio.to_thread(file.write, block)
        file.flush()
        await asyncio.to_thread(os.fsync, file.fileno())
    return size, digest.hexdigest()


async def _verified(part: FilePath, trust: str | None) -> str:
    """What ``edge-ad verify`` says of it, in a process of its own with bounds. Raises :class:`BundleError`."""
    signed = [] if trust is None else ["--trust", trust]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _VERIFY, str(_VERIFY_BYTES), str(part), *signed,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        out, err = await asyncio.wait_for(process.communicate(), _VERIFY_S)
    except asyncio.TimeoutError:
        raise BundleError(f"the bundle was not verified within {_VERIFY_S:g} s") from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    said = one_line((out if process.returncode == 0 else err).decode(errors="replace")).replace(str(part), "the bundle")
    if process.returncode != 0:
        raise BundleError(said[-400:].removeprefix("edge-ad: ") or f"the verification ended with {process.returncode}")
    return said[:1_000]
