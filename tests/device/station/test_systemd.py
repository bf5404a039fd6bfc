"""What systemd hears of a station, by a real socket; and the unit, as systemd's own tools see it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support import tiny
from support.paths import ROOT
from support.station_files import station_file, to_toml
from support.tiny_calibration import calibrate

from edge_ad.station.loop import StationLoop
from edge_ad.station.notify import Notifier
from edge_ad.station.parts import InspectedPart

WAIT_S = 60.0
UNITS = ROOT / "firmware_notes" / "systemd"
NOTES = (UNITS / "README.md").read_text(encoding="utf-8")


class NotifySocket:
    """systemd's side."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(path)

    def next(self, timeout_s: float = WAIT_S) -> list[str]:
        """The lines of the next message; raises ``TimeoutError``."""
        self._socket.settimeout(timeout_s)
        return self._socket.recv(65_536).decode().split("\n")

    def until(self, line: str) -> list[str]:
        """All lines up to this one."""
        heard: list[str] = []
        while line not in heard:
            heard += self.next()
        return heard

    def forget(self) -> None:
        """Throws away what has come in."""
        self._socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while self._socket.recv(65_536):
                pass

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def notified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[NotifySocket]:
    """systemd's socket; the watchdog wants to hear something every 200 ms."""
    path = str(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", path)
    monkeypatch.setenv("WATCHDOG_USEC", "200000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    with closing(NotifySocket(path)) as ours:
        yield ours


@pytest.fixture
def tables(tiny_bundle: Path, tmp_path: Path) -> dict[str, Any]:
    """A station that shows six pictures over and over."""
    calibrate(tiny_bundle, 0.5)
    images = tiny.write_images(tmp_path / "images", tiny.frames(6))
    camera = {"source": str(images), "loop": True, "allow_repeats": True, "fps": 20.0}
    return {
        "station": {"name": "trial"},
        "camera": {"top": camera},
        "inspect": {"top": {"camera": "top", "bundle": str(tiny_bundle)}},
    }


def test_the_watchdog_is_fed_while_the_loop_turns_and_not_while_it_is_blocked(
    notified: NotifySocket, tables: dict[str, Any]
) -> None:
    blocked, go_on = threading.Event(), threading.Event()

    def told(what: object) -> None:
        if isinstance(what, InspectedPart):
            blocked.set()
            go_on.wait(WAIT_S)

    loop = StationLoop(station_file(**tables), told=told)
    thread = threading.Thread(target=loop.run)
    thread.start()
    try:
        assert "READY=1" in notified.until("STATUS=STARTING")
        assert notified.until("WATCHDOG=1")
        assert blocked.wait(WAIT_S)
        notified.forget()
        with pytest.raises(TimeoutError):
            notified.next(1.0)
        go_on.set()
        assert notified.until("WATCHDOG=1")
    finally:
        go_on.set()
        loop.stop()
        thread.join(WAIT_S)
    assert not thread.is_alive()
    heard = notified.until("STOPPING=1")
    assert "READY=1" not in heard


def test_the_command_tells_systemd_its_states_and_its_end(
    notified: NotifySocket, tables: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "station.toml"
    file.write_text(to_toml(tables))
    command = [str(Path(sys.executable).with_name("edge-ad")), "run", str(file)]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        assert "READY=1" in notified.until("STATUS=READY")
        assert notified.until("WATCHDOG=1")
        child.send_signal(signal.SIGTERM)
        assert notified.until("STOPPING=1")
        assert child.wait(WAIT_S) == 0
    finally:
        child.kill()
        child.wait()


def test_a_watchdog_of_another_process_is_not_fed(notified: NotifySocket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid() + 1))
    assert Notifier().tick(0) is None
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    assert Notifier().tick(0) == 100_000_000


def test_an_abstract_socket_is_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(NotifySocket(f"\0edge-ad-test-{os.getpid()}")) as ours:
        monkeypatch.setenv("NOTIFY_SOCKET", f"@edge-ad-test-{os.getpid()}")
        Notifier().tell("READY=1", "STATUS=x")
        assert ours.next() == ["READY=1", "STATUS=x"]


def test_without_systemd_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    monkeypatch.setenv("WATCHDOG_USEC", "200000")
    silent = Notifier()
    silent.tell("READY=1")
    assert silent.tick(0) is None


needs_analyze = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None or not os.access("/tmp", os.W_OK),  # noqa: S108
    reason="needs systemd-analyze, which checks the unit, and which writes to /tmp whatever TMPDIR says",
)


def unit(folder: Path) -> Path:
    """The unit, with a program that exists."""
    text = (UNITS / "edge-ad@.service").read_text(encoding="utf-8")
    file = folder / "edge-ad@.service"
    file.write_text(text.replace("/opt/edge-ad/bin/edge-ad", sys.executable))
    return folder / "edge-ad@trial.service"


def verify(file: Path) -> str:
    """What systemd-analyze has to say of a unit; it ends with 0 whatever it finds."""
    command = ["systemd-analyze", "verify", "--man=no", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return f"{done.returncode} {done.stdout}{done.stderr}".strip()


@needs_analyze
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    assert verify(unit(tmp_path)) == "0"


@needs_analyze
def test_a_misspelt_key_would_be_noticed(tmp_path: Path) -> None:
    file = unit(tmp_path)
    source = tmp_path / "edge-ad@.service"
    source.write_text(source.read_text().replace("ProtectSystem=", "ProtectSytem="))
    assert "ProtectSytem" in verify(file)


@needs_analyze
def test_the_unit_with_the_drop_in_for_network_cameras_is_in_order(tmp_path: Path) -> None:
    folder = tmp_path / "edge-ad@.service.d"
    folder.mkdir()
    shutil.copy(UNITS / "network-camera.conf", folder)
    assert verify(unit(tmp_path)) == "0"


@needs_analyze
def test_the_exposure_level_is_the_one_of_the_notes(tmp_path: Path) -> None:
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(unit(tmp_path))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    (level,) = re.findall(r"exposure level for edge-ad@trial.service: ([\d.]+)", done.stdout)
    (stated,) = re.findall(r"exposure level of ([\d.]+)", NOTES)
    assert float(level) <= float(stated) <= 2.0


def test_the_unit_hands_the_watchdog_to_the_station() -> None:
    text = (UNITS / "edge-ad@.service").read_text(encoding="utf-8")
    settings = dict(re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE))
    assert (settings["Type"], settings["NotifyAccess"], settings["Restart"]) == ("notify", "main", "always")
    assert float(settings["WatchdogSec"]) >= 5  # the loop wakes once a second where nothing happens
