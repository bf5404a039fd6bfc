"""Deploys a bundle to another device, through the HTTP controller of its station."""

from __future__ import annotations

import http.client
import ssl
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn
from urllib.parse import quote, urlsplit

import msgspec

from edge_ad.bundle import Bundle, pack
from edge_ad.errors import BundleError, DeviceError, InputError, one_line
from edge_ad.link.messages import UpdateChanged
from edge_ad.update.slots import Step

__all__ = ["deploy_to"]

_POLL_S = 1.0
_TIMEOUT_S = 1_300.0  # the device checks the bundle before it answers
_ENDS = {Step.KEPT.value, Step.RETURNED.value, Step.REFUSED.value}


class _Problem(msgspec.Struct):
    detail: str = ""
    reason: str = ""


class _Station(msgspec.Struct):
    recipe: str | None = None
    recipes: tuple[str, ...] = ()


class _History(msgspec.Struct):
    steps: tuple[UpdateChanged, ...]


@dataclass(frozen=True, slots=True)
class _Device:
    address: str
    token: str | None
    ca: Path | None

    def ask(self, method: str, path: str, body: Path | None = None) -> bytes:
        """The answer of the device.

        Raises:
            BundleError: it refuses the bundle.
            InputError: it lets nobody in by this token, or knows no such recipe.
            DeviceError: it cannot be reached, or has failed.
        """
        parts = urlsplit(self.address)
        try:
            connection = self._connection(parts.hostname or "", parts.port)
            headers = {} if self.token is None else {"Authorization": f"Bearer {self.token}"}
            if body is None:
                connection.request(method, path, headers=headers)
                answer = connection.getresponse()
            else:
                headers |= {"Content-Type": "application/zip", "Content-Length": str(body.stat().st_size)}
                with body.open("rb") as file:
                    connection.request(method, path, body=file, headers=headers)
                    answer = connection.getresponse()
            data = answer.read()
            connection.close()
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise DeviceError(f"{self.address}: the device cannot be reached: {one_line(error)}") from error
        if answer.status >= 300:
            self._refused(answer.status, data)
        return data

    def _connection(self, host: str, port: int | None) -> http.client.HTTPConnection:
        if self.address.startswith("http://"):
            return http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S)
        context = ssl.create_default_context(cafile=None if self.ca is None else str(self.ca))
        return http.client.HTTPSConnection(host, port, timeout=_TIMEOUT_S, context=context)

    def _refused(self, status: int, data: bytes) -> NoReturn:
        try:
            said = msgspec.json.decode(data, type=_Problem)
        except msgspec.DecodeError:
            said = _Problem(detail=one_line(data[:200].decode(errors="replace")))
        text = f"{self.address}: {said.detail or f'answered {status}'}"
        if said.reason == "bundle_refused":
            raise BundleError(said.detail)
        raise (InputError if status in {401, 403, 404, 413, 415, 422} else DeviceError)(text)


def deploy_to(
    address: str,
    bundle: Path,
    recipe: str | None,
    inspection: str | None,
    token: str | None,
    ca: Path | None,
    told: Callable[[UpdateChanged], None] = lambda _: None,
    waits: bool = True,
) -> None:
    """Hands a bundle to the HTTP controller at ``address``, and follows it until the station has kept it.

    Raises:
        BundleError: the device refuses the bundle, or its station has returned to the one before.
        InputError: the device lets nobody in by this token, or knows no such recipe.
        DeviceError: it cannot be reached, or has failed.
    """
    device = _Device(address, token, ca)
    if recipe is None:
        station = msgspec.json.decode(device.ask("GET", "/api/v1/station"), type=_Station)
        recipe = _only(station)
    place = f"/api/v1/bundles/{quote(recipe, safe='')}"
    place += "" if inspection is None else f"?inspection={quote(inspection, safe='')}"
    with tempfile.TemporaryDirectory(prefix="edge-ad-deploy-") as folder:
        opened = Bundle.open(bundle)
        packed = pack(opened, Path(folder) / "bundle.zip") if bundle.is_dir() else bundle
        begun = msgspec.json.decode(device.ask("PUT", place, packed), type=_History)
    seen = 0
    steps = begun.steps
    while True:
        for step in steps[seen:]:
            told(step)
        seen = len(steps)
        last = steps[-1]
        if last.step == Step.RETURNED.value:
            raise BundleError(f"{last.title} was given back, the bundle before it is used again: {last.reason}")
        if last.step in _ENDS or not waits:
            return
        time.sleep(_POLL_S)
        history = msgspec.json.decode(device.ask("GET", place), type=_History)
        steps = tuple(one for one in history.steps if one.slot == last.slot)


def _only(station: _Station) -> str:
    if not station.recipes:
        raise DeviceError("the controller has not reached its station yet: does the station run?")
    if len(station.recipes) != 1:
        raise InputError(f"the station has several recipes ({', '.join(station.recipes)}): name one by --recipe")
    return station.recipes[0]
