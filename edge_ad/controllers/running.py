"""Runs the controllers of a station file, each in a process of its own, apart from the station."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edge_ad.controllers.adapter import Protocol, read_settings
from edge_ad.controllers.gateway import Gateway
from edge_ad.controllers.security import AuditTrail
from edge_ad.controllers.settings import ControllerSettings, HandshakeSettings
from edge_ad.errors import EdgeAdError, InputError
from edge_ad.link import default_path

if TYPE_CHECKING:
    from edge_ad.station.station_file import StationFile

__all__ = ["check_controllers", "run_controller", "run_controllers"]

logger = logging.getLogger(__name__)

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0
_STEADY_S = 60.0
_POLL_S = 0.2
_STOP_S = 5.0
_ORPHAN_S = 1.0
_AGAIN_S = 0.5
_PARENT = "EDGE_AD_CONTROLLERS_PARENT"


def check_controllers(
    file: StationFile, folder: Path, names: Sequence[str] = ()
) -> dict[str, tuple[Protocol, ControllerSettings]]:
    """Reads the tables of these controllers, of all without names. Connects to nothing.

    ``folder``: where the station file lies.

    Raises:
        InputError: no such controller, an unknown protocol, or a wrong entry.
        MissingExtraError: a protocol's library is not installed.
    """
    if not file.controller:
        raise InputError("the station file has no controller: add a table [controller.NAME] with its protocol")
    if file.link is None:
        raise InputError("controllers need a table [link] in the station file")
    for name in names:
        if name not in file.controller:
            raise InputError(f"no controller {name!r} in the station file: there are {', '.join(file.controller)}")
    found = {}
    for name in names or file.controller:
        protocol, settings = read_settings(name, file.controller[name], folder)
        try:
            protocol.check(settings)
        except InputError as error:
            raise error.saying(f"controller.{name}: {error}") from error
        found[name] = protocol, settings
    _check_claims({name: settings for name, (_, settings) in found.items()})
    return found


def _check_claims(tables: dict[str, ControllerSettings]) -> None:
    taken: dict[str, str] = {}
    for name, settings in tables.items():
        for entry, what in settings.claims().items():
            if what in taken:
                raise InputError(
                    f"controller.{name}: {entry}: controller.{taken[what]} has {what} already: give each its own"
                )
            taken[what] = name


def run_controller(file: StationFile, path: Path, name: str) -> None:
    """Serves one controller in this process until SIGTERM or SIGINT. ``path``: of the station file.

    Raises:
        EdgeAdError: it cannot begin, for instance because its port is taken.
    """
    protocol, settings = check_controllers(file, path.absolute().parent, [name])[name]
    given = file.link.socket if file.link is not None else None
    socket = Path(given) if given is not None else default_path(file.station.name)
    audit = None if file.audit is None else AuditTrail(file.audit, name)
    handshake = settings if isinstance(settings, HandshakeSettings) else None
    gateway = Gateway(socket, name, handshake, station=file.station.name, audit=audit, station_file=path.absolute())
    try:
        asyncio.run(_serve(protocol, settings, gateway, name))
    except EdgeAdError as error:
        where = f"controller.{name}: "
        raise error if str(error).startswith(where) else error.saying(f"{where}{error}") from error


def run_controllers(path: Path, names: Sequence[str]) -> None:
    """Keeps one process for each of these controllers, and starts it again when it ends. Until SIGTERM or SIGINT."""
    watched = [_Watched(path, name) for name in names]
    stopped = False

    def stop(*_: object) -> None:
        nonlocal stopped
        stopped = True

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        while not stopped:
            for one in watched:
                one.look(time.monotonic())
            time.sleep(_POLL_S)
    finally:
        for one in watched:
            one.end()
        for number, handler in before.items():
            signal.signal(number, handler)


async def _serve(protocol: Protocol, settings: ControllerSettings, gateway: Gateway, name: str) -> None:
    loop, this = asyncio.get_running_loop(), asyncio.current_task()
    assert this is not None  # noqa: S101
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, this.cancel)
    connecting = asyncio.create_task(gateway.run())
    orphaned = asyncio.create_task(_end_with(os.environ.get(_PARENT), this))

    def end(_: object) -> None:
        this.cancel()  # without a way to the station this process is of no use: whoever watches it starts it again

    connecting.add_done_callback(end)
    try:
        with contextlib.suppress(asyncio.CancelledError):
            await protocol.run(settings, gateway, name)
    finally:
        connecting.remove_done_callback(end)
        for task in (connecting, orphaned):
            while not task.done():  # a cancellation may be swallowed
                task.cancel()
                await asyncio.wait({task}, timeout=_AGAIN_S)
            with contextlib.suppress(asyncio.CancelledError):
                task.result()


async def _end_with(parent: str | None, task: asyncio.Task[None]) -> None:
    """Whoever started this process may be killed; then nobody would ever end it."""
    while parent is None or os.getppid() == int(parent):
        await asyncio.sleep(_ORPHAN_S)
    task.cancel()


class _Watched:
    """The process of one controller."""

    def __init__(self, path: Path, name: str) -> None:
        self._command = [sys.executable, "-m", "edge_ad", "connect", str(path), name]
        self._name = name
        self._process: subprocess.Popen[bytes] | None = None
        self._started = self._due = 0.0
        self._pause_s = _FIRST_PAUSE_S

    def look(self, now: float) -> None:
        """Starts the process where it is due."""
        if self._process is not None and self._process.poll() is not None:
            if now - self._started > _STEADY_S:
                self._pause_s = _FIRST_PAUSE_S
            logger.error("controller %s ended (%s), again in %g s", self._name, self._process.returncode, self._pause_s)
            self._process, self._due = None, now + self._pause_s
            self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
        if self._process is None and now >= self._due:
            environment = {**os.environ, _PARENT: str(os.getpid())}
            self._process, self._started = subprocess.Popen(self._command, env=environment), now

    def end(self) -> None:
        """Asks it to end, and sees to it."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
