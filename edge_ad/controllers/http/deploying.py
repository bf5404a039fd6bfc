"""Takes a bundle into use by ``edge-ad deploy``, in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path as FilePath

import msgspec

from edge_ad.controllers.http.desk import Desk
from edge_ad.controllers.security import Who
from edge_ad.errors import BundleError, DeviceError, InputError, LinkRefusedError, one_line
from edge_ad.link.messages import UpdateChanged

__all__ = ["deployed"]

_DEPLOY_S = 900.0
_ERRORS = {InputError.exit_code: InputError, BundleError.exit_code: BundleError}
_BUSY = ("(update_pending)", "(recipe_pending)", "is under way: wait until it has ended")


async def deployed(
    desk: Desk, part: FilePath, recipe: str, inspection: str | None, who: Who
) -> tuple[UpdateChanged, ...]:
    """Runs ``edge-ad deploy`` in a process of its own until the station has taken the bundle; the steps so far.

    Raises:
        EdgeAdError: what that command says.
    """
    chosen = ["--recipe", recipe, *([] if inspection is None else ["--inspection", inspection])]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "edge_ad", "deploy", str(part), "--to", str(desk.gateway.station_file), *chosen,
        "--no-wait", "--json", "--by", f"{desk.name}:{who}",
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        out, err = await asyncio.wait_for(process.communicate(), _DEPLOY_S)
    except asyncio.TimeoutError:
        raise BundleError(f"the bundle was not checked within {_DEPLOY_S:g} s") from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    if process.returncode != 0:
        said = one_line(err.decode(errors="replace")).removeprefix("edge-ad: ").replace(str(part), "the bundle")
        if any(one in said for one in _BUSY):
            raise LinkRefusedError("busy", said[-400:])
        kind = _ERRORS.get(process.returncode or 0, DeviceError)
        raise kind(said[-400:] or f"the deployment ended with {process.returncode}")
    return tuple(msgspec.json.decode(line, type=UpdateChanged) for line in out.splitlines())
