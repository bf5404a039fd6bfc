"""``/api/v1/bundles``: a new bundle for a recipe, on the same road as ``edge-ad deploy`` on the device takes."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import shutil
from pathlib import Path as FilePath
from typing import Annotated

import msgspec
from fastapi import APIRouter, Path, Query
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from edge_ad.controllers.http.answers import ProblemError, json_answer
from edge_ad.controllers.http.deploying import deployed
from edge_ad.controllers.http.describing import asks_picture, says
from edge_ad.controllers.http.desk import Desk, Engineer, Viewer, desk_of
from edge_ad.controllers.http.requests import NO_MORE
from edge_ad.errors import InputError
from edge_ad.files import output_error, part_file
from edge_ad.link.messages import UpdateChanged
from edge_ad.station.updating import deploy_order
from edge_ad.update import DeployOrder, Slots

__all__ = ["UpdateAnswer", "clear_incoming", "router"]

router = APIRouter(prefix="/api/v1/bundles", tags=["bundles"])

_UPLOAD_S = 600.0
_ZIP = "application/zip"
_STEPS = 50

Name = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Inspection = Annotated[str | None, Query(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class UpdateAnswer(msgspec.Struct, frozen=True):
    """What was done with the bundles that were handed in for this recipe, the newest last.

    ``active``: the slot whose bundle is in force; ``None``: the one that the station file names.
    """

    recipe: str
    active: int | None
    steps: tuple[UpdateChanged, ...]


@router.put("/{recipe}", status_code=202, responses=says(UpdateAnswer, 202, 404, 409, 503, 507),
            openapi_extra=asks_picture(_ZIP))  # fmt: skip
async def put_bundle(request: Request, who: Engineer, recipe: Name, inspection: Inspection = None) -> Response:
    """Hand in a new bundle for a recipe, as a zip file.

    It is checked here first. Then the station takes it into use between two parts, watches it, and keeps it or goes
    back; the event ``update`` and a GET of the same address tell which.
    """
    desk = desk_of(request)
    content = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content != _ZIP:
        detail = f"expected Content-Type: {_ZIP}, found {content or 'none'}"
        raise ProblemError(415, "content_type", detail, headers=NO_MORE)
    order = _order(desk, recipe, inspection)
    limit = int(desk.settings.bundle_mb * 1e6)
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared) > limit:
        raise _too_large(limit)
    if desk.uploading.locked():
        raise ProblemError(409, "busy", "another bundle is being handed in", headers=NO_MORE)
    async with desk.uploading:
        folder = _incoming(order.settings.folder, desk.name)
        try:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            part = part_file(folder / "bundle.zip")
            sha256 = await asyncio.wait_for(_receive(request, part, limit), _UPLOAD_S)
            async with desk.gateway.audited("bundle", who, target=recipe, after=f"sha256 {sha256}"):
                steps = await deployed(desk, part, recipe, inspection, who)
        except asyncio.TimeoutError:
            raise ProblemError(408, "too_slow", "the bundle was not here in time", headers=NO_MORE) from None
        except ClientDisconnect:
            raise ProblemError(400, "cut_off", "the client went in the middle of its bundle") from None
        except OSError as error:
            raise output_error(folder, error) from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return json_answer(UpdateAnswer(recipe, _slots(order).state().active, steps), 202)


@router.get("/{recipe}", responses=says(UpdateAnswer, 200, 404))
async def get_bundle(request: Request, _: Viewer, recipe: Name, inspection: Inspection = None) -> Response:
    """What became of the bundles that were handed in for a recipe."""
    slots = _slots(_order(desk_of(request), recipe, inspection))
    steps = tuple(
        UpdateChanged(bundle=slots.key, slot=one.slot, title=one.bundle, step=one.step.value, reason=one.reason)
        for one in slots.lines()[-_STEPS:]
    )
    return json_answer(UpdateAnswer(recipe, slots.state().active, steps))


def clear_incoming(desk: Desk) -> None:
    """Removes what a controller that was killed in the middle of a bundle has left."""
    from edge_ad.station import read_station_file

    if desk.gateway.station_file is not None:
        with contextlib.suppress(InputError):  # whoever hands a bundle in is told of it
            update = read_station_file(desk.gateway.station_file).update
            if update is not None:
                shutil.rmtree(_incoming(update.folder, desk.name), ignore_errors=True)


def _incoming(folder: str, controller: str) -> FilePath:
    return FilePath(folder) / f"incoming-{controller}"


def _order(desk: Desk, recipe: str, inspection: str | None) -> DeployOrder:
    """Which bundle is replaced, as the station file says it now."""
    from edge_ad.station import read_station_file

    if desk.gateway.station_file is None:
        raise ProblemError(404, "no_updates", "this controller knows no station file", headers=NO_MORE)
    file = read_station_file(desk.gateway.station_file)
    if file.update is None:
        raise ProblemError(404, "no_updates", "the station file has no table [update]", headers=NO_MORE)
    if recipe not in file.recipes:
        raise ProblemError(404, "unknown_recipe", f"the station has no recipe {recipe!r}", headers=NO_MORE)
    return deploy_order(file, FilePath(), recipe, inspection, None)


def _slots(order: DeployOrder) -> Slots:
    return Slots(FilePath(order.settings.folder), order.named)


def _too_large(limit: int) -> ProblemError:
    detail = f"at most {limit} bytes are taken here: see bundle_mb of the controller"
    return ProblemError(413, "too_large", detail, headers=NO_MORE)


async def _receive(request: Request, part: FilePath, limit: int) -> str:
    """Writes the body to a file as it comes; its digest."""
    digest, size = hashlib.sha256(), 0
    with part.open("xb") as file:
        async for block in request.stream():
            size += len(block)
            if size > limit:
                raise _too_large(limit)
            digest.update(block)
            await asyncio.to_thread(file.write, block)
        file.flush()
        await asyncio.to_thread(os.fsync, file.fileno())
    return digest.hexdigest()
