"""Deploys a bundle to another device, through the HTTP controller of its station."""

from __future__ import annotations

import http.client
import ipaddress
import re
import socket
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
_EXPECT_S = 5.0
_LOST_S = 60.0
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]+")
_ENDS = {Step.KEPT.value, Step.RETURNED.value, Step.REFUSED.value}


class _Problem(msgspec.Struct):
    detail: str = ""
    reason: str = ""


class _Station(msgspec.Struct):
    connected: bool = True
    recipes: tuple[str, ...] = ()


class _History(msgspec.Struct):
    steps: tuple[UpdateChanged, ...]


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    data: bytes


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
                answer = _answered(connection)
            else:
                answer = _sent(connection, method, path, headers, body)
        except ssl.SSLCertVerificationError as error:
            why = error.verify_message.rstrip(".")
            raise DeviceError(
                f"{self.address}: the device's certificate is not to be trusted: {why}: give the "
                "authority that has signed it by --ca, and the host as the certificate names it"
            ) from None
        except (OSError, http.client.HTTPException, UnicodeError) as error:  # UnicodeError: a host without such a name
            raise DeviceError(f"{self.address}: the device cannot be reached: {one_line(error)}") from error
        finally:
            connection.close()
        if answer.status >= 300:
            self._refused(answer.status, answer.data)
        return answer.data

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
        if status == http.client.UNAUTHORIZED and self.token is None:
            raise InputError(
                f"{self.address}: the device asks for a token: give the file that holds it by --token-file"
            )
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
    seen, lost_at = 0, time.monotonic() + _LOST_S
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
        if device.said("GET", "/api/v1/station", _Station).connected:
            lost_at = time.monotonic() + _LOST_S
        elif time.monotonic() > lost_at:
            raise DeviceError(
                f"{device.address}: the station has not run for {_LOST_S:g} s; {last.title} was not kept, and "
                "the bundle before it is used at the next start"
            )
        steps = tuple(one for one in device.said("GET", place, _History).steps if one.slot == last.slot)


def _answered(connection: http.client.HTTPConnection) -> _Answer:
    answer = connection.getresponse()
    return _Answer(answer.status, answer.read(_MOST_BYTES))


def _sent(
    connection: http.client.HTTPConnection, method: str, path: str, headers: dict[str, str], body: Path
) -> _Answer:
    """Sends a bundle when the device says that it takes one. A refusal that came in the middle would be lost: who
    refuses closes the connection, and what he has said goes with it."""
    connection.putrequest(method, path)
    size = str(body.stat().st_size)
    more = {"Content-Type": "application/zip", "Content-Length": size, "Expect": "100-continue"}
    for name, value in (headers | more).items():
        connection.putheader(name, value)
    connection.endheaders()
    refused = _early_answer(connection.sock)
    if refused is not None:
        return refused
    with body.open("rb") as file:
        connection.send(file)
    return _answered(connection)


def _early_answer(sock: socket.socket) -> _Answer | None:
    """What the device answers before it has the bundle; ``None``: it waits for it.

    Read by hand: ``http.client`` passes over ``100 Continue`` and waits for what follows, and no other library for
    HTTP is part of this installation.
    """
    sock.settimeout(_EXPECT_S)
    head = b""
    with sock.makefile("rb", buffering=0) as file:  # without a buffer: what follows is the answer's reader's
        try:
            while not head.endswith(b"\r\n\r\n") and (line := file.readline(_MOST_BYTES)):
                head += line
            if head.startswith((b"HTTP/1.1 100", b"HTTP/1.0 100")):
                return None
            length = re.search(rb"\r\ncontent-length: *(\d{1,7})\r\n", head, re.IGNORECASE)
            data = b""
            while length is not None and len(data) < int(length[1]) and (block := file.read(int(length[1]))):
                data += block
        except TimeoutError:
            return None
        finally:
            sock.settimeout(_TIMEOUT_S)
    status = re.match(rb"HTTP/1\.[01] (\d{3})\b", head)
    if status is None:
        raise http.client.BadStatusLine(head[:80].decode(errors="replace"))
    return _Answer(int(status[1]), data)


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
