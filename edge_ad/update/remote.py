"""Deploys a bundle to another device, through the HTTP controller of its station."""

from __future__ import annotations

import http.client
import ipaddress
import re
import ssl
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, TypeVar
from urllib.parse import quote, urlsplit

import msgspec

from edge_ad.bundle import Bundle, pack
from edge_ad.errors import BundleError, DeviceError, InputError, one_line
from edge_ad.files import read_small
from edge_ad.link.messages import UpdateChanged
from edge_ad.update.slots import Step

__all__ = ["deploy_to", "read_token"]

_T = TypeVar("_T", "_Station", "_History")

_POLL_S = 1.0
_TIMEOUT_S = 1_300.0  # the device checks the bundle before it answers
_MOST_BYTES = 16 << 20
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]+")
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
        connection = self._connection()
        try:
            headers = {} if self.token is None else {"Authorization": f"Bearer {self.token}"}
            if body is None:
                connection.request(method, path, headers=headers)
                answer = connection.getresponse()
            else:
                headers |= {"Content-Type": "application/zip", "Content-Length": str(body.stat().st_size)}
                with body.open("rb") as file:
                    connection.request(method, path, body=file, headers=headers)
                    answer = connection.getresponse()
            data = answer.read(_MOST_BYTES)
        except (OSError, http.client.HTTPException, UnicodeError) as error:  # UnicodeError: a host without such a name
            raise DeviceError(f"{self.address}: the device cannot be reached: {one_line(error)}") from error
        finally:
            connection.close()
        if answer.status >= 300:
            self._refused(answer.status, data)
        return data

    def said(self, method: str, path: str, kind: type[_T], body: Path | None = None) -> _T:
        """As :meth:`ask`, and the answer is what a station says."""
        try:
            return msgspec.json.decode(self.ask(method, path, body), type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise self._stranger() from None

    def _stranger(self, what: str = "") -> DeviceError:
        return DeviceError(
            f"{self.address}: no HTTP controller of a station answers there{what}: look at the host and the port"
        )

    def _connection(self) -> http.client.HTTPConnection:
        expected = f"--to {self.address}: expected https://HOST:PORT"
        try:
            parts = urlsplit(self.address)
            host, port, path = parts.hostname, parts.port, parts.path
        except ValueError as error:
            raise InputError(f"{expected}: {error}") from None
        if parts.scheme not in {"https", "http"} or not host or path.strip("/") or parts.query or parts.username:
            raise InputError(expected)
        try:
            if parts.scheme == "https":
                context = ssl.create_default_context(cafile=None if self.ca is None else str(self.ca))
                return http.client.HTTPSConnection(host, port, timeout=_TIMEOUT_S, context=context)
            if not _is_here(host):
                raise InputError(f"{expected}, found http: the token and the bundle would travel unprotected")
            return http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S)
        except http.client.InvalidURL as error:
            raise InputError(f"{expected}: {one_line(error)}") from None
        except OSError as error:
            raise InputError(f"--ca {self.ca}: expected a certificate as PEM: {one_line(error)}") from error

    def _refused(self, status: int, data: bytes) -> NoReturn:
        try:
            said = msgspec.json.decode(data, type=_Problem)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise self._stranger(f" (status {status})") from None
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
        recipe = _only(device.said("GET", "/api/v1/station", _Station))
    place = f"/api/v1/bundles/{quote(recipe, safe='')}"
    place += "" if inspection is None else f"?inspection={quote(inspection, safe='')}"
    with tempfile.TemporaryDirectory(prefix="edge-ad-deploy-") as folder:
        opened = Bundle.open(bundle)
        packed = pack(opened, Path(folder) / "bundle.zip") if bundle.is_dir() else bundle
        steps = device.said("PUT", place, _History, packed).steps
    try:
        _follow(device, place, steps, told, waits)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"{steps[-1].title} is with the station, which goes on by itself") from None


def _follow(
    device: _Device,
    place: str,
    steps: tuple[UpdateChanged, ...],
    told: Callable[[UpdateChanged], None],
    waits: bool,
) -> None:
    seen = 0
    while True:
        if not steps:
            raise DeviceError(f"{device.address}: the device has forgotten the bundle: its journal says nothing of it")
        for step in steps[seen:]:
            told(step)
        seen = len(steps)
        last = steps[-1]
        if last.step == Step.RETURNED.value:
            raise BundleError(f"{last.title} was given back, the bundle before it is used again: {last.reason}")
        if last.step in _ENDS or not waits:
            return
        time.sleep(_POLL_S)
        steps = tuple(one for one in device.said("GET", place, _History).steps if one.slot == last.slot)


def read_token(file: Path) -> str:
    """The token in a file of one line.

    Raises:
        InputError: it cannot be read, or holds something else.
    """
    try:
        token = read_small(file).decode("ascii").strip()
    except OSError as error:
        raise InputError(f"--token-file {file}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        token = ""
    if not _TOKEN.fullmatch(token):
        raise InputError(
            f"--token-file {file}: expected one token, as edge-ad token add shows it, found something else"
        )
    return token


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _only(station: _Station) -> str:
    if not station.recipes:
        raise DeviceError("the controller has not reached its station yet: does the station run?")
    if len(station.recipes) != 1:
        raise InputError(f"the station has several recipes ({', '.join(station.recipes)}): name one by --recipe")
    return station.recipes[0]
