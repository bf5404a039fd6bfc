"""edge-ad reaches for no network: watched by a preloaded library, and by the kernel in a namespace without routes."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import distributions
from pathlib import Path

import pytest
from support import tiny
from support.field_models import small_model, write_pictures
from support.paths import TESTS
from support.station_files import to_toml
from support.tiny_calibration import calibrate
from support.without_network import run_without_network

_CONNECT = """\
import socket
for family, kind, address in [
    (socket.AF_INET, socket.SOCK_STREAM, "192.0.2.1"),
    (socket.AF_INET, socket.SOCK_DGRAM, "192.0.2.2"),
    (socket.AF_INET6, socket.SOCK_STREAM, "::ffff:192.0.2.3"),
]:
    with socket.socket(family, kind) as one:
        one.connect_ex((address, 443))
try:
    socket.getaddrinfo("telemetry.example.com", 443)
except socket.gaierror:
    pass
with socket.create_server(("127.0.0.1", 0)) as server:
    socket.create_connection(server.getsockname()).close()
"""
_SYSTEM_CALL = """\
import ctypes, socket, struct, sys
number = int(sys.argv[1])
address = struct.pack("=H", socket.AF_INET) + struct.pack("!H", 443) + socket.inet_aton("192.0.2.1") + bytes(8)
with socket.socket() as one:
    ctypes.CDLL(None).syscall(ctypes.c_long(number), one.fileno(), address, len(address))
"""

_CONNECT_NUMBERS = {"x86_64": 42, "aarch64": 203}
_WITH_TELEMETRY = """\
from openvino_telemetry import Telemetry
telemetry = Telemetry("trial", "1", tid="none", backend="ga4", enable_opt_in_dialog=False, disable_in_ci=False)
telemetry.start_session("trial")
telemetry.send_event("trial", "trial", "trial")
telemetry.force_shutdown(5)
"""


@pytest.fixture
def _consent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user who has allowed OpenVINO to send, as its own programs ask."""
    home = tmp_path / "home"
    (home / "intel").mkdir(parents=True)
    (home / "intel/openvino_telemetry").write_text("1")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("CI", raising=False)


def test_what_reaches_for_a_network_is_seen(tmp_path: Path) -> None:
    watched = run_without_network(tmp_path, [sys.executable, "-c", _CONNECT])
    assert watched.code == 0, watched.output
    seen = [attempt.partition(" ")[2] for attempt in watched.attempts]
    assert seen == [
        "connect 192.0.2.1 port 443",
        "connect 192.0.2.2 port 443",
        "connect ::ffff:192.0.2.3 port 443",
        "getaddrinfo telemetry.example.com",
    ]
    assert watched.unrouted >= 3


@pytest.mark.skipif(platform.machine() not in _CONNECT_NUMBERS, reason="the system call's number here is not known")
def test_what_passes_by_the_c_library_is_counted_by_the_kernel(tmp_path: Path) -> None:
    watched = run_without_network(
        tmp_path, [sys.executable, "-c", _SYSTEM_CALL, str(_CONNECT_NUMBERS[platform.machine()])]
    )
    assert watched.code == 0, watched.output
    assert (watched.attempts, watched.unrouted) == ((), 1)


def test_scoring_and_a_station_reach_for_no_network(tiny_bundle: Path, tmp_path: Path) -> None:
    calibrate(tiny_bundle, 0.5)
    images = tiny.write_images(tmp_path / "images", tiny.frames(3))
    station = tmp_path / "station.toml"
    tables = {
        "station": {"name": "trial", "deadline_ms": 60_000},
        "camera": {"top": {"source": str(images), "pace": "fast"}},
        "inspect": {"top": {"camera": "top", "bundle": str(tiny_bundle)}},
    }
    station.write_text(to_toml(tables))
    run = f"'{sys.executable}' -m edge_ad"
    commands = f"set -e\n{run} score '{tiny_bundle}' '{images}'\n{run} run '{station}'\n"
    watched = run_without_network(tmp_path, ["sh", "-c", commands])
    assert (watched.code, watched.output.count("3 ACCEPT, 0 REJECT")) == (0, 3), watched.output
    assert (watched.attempts, watched.unrouted) == ((), 0)


@pytest.mark.slow
@pytest.mark.usefixtures("_consent")
@pytest.mark.skipif(not list(distributions(name="openvino-telemetry")), reason="comes with the extra export")
def test_telemetry_of_a_library_would_be_seen(tmp_path: Path) -> None:
    watched = run_without_network(tmp_path, [sys.executable, "-c", _WITH_TELEMETRY])
    assert watched.code == 0, watched.output
    assert "getaddrinfo www.google-analytics.com" in watched.attempts[0]


@pytest.mark.slow
@pytest.mark.usefixtures("_consent")
def test_the_whole_road_reaches_for_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a model to results over Modbus: export, calibration, trust, a station with recipes, and its upkeep.

    The user has consented to OpenVINO's telemetry, so that it is edge-ad that keeps it silent.
    """
    monkeypatch.setenv("PYTHONPATH", str(TESTS))
    small_model().save(tmp_path / "model.onnx")
    write_pictures(tmp_path / "normals", 40)
    write_pictures(tmp_path / "held-out", 60, first=100)
    write_pictures(tmp_path / "data/test/good", 6, first=200)
    write_pictures(tmp_path / "data/test/bad", 6, first=300)
    watched = run_without_network(tmp_path, [sys.executable, TESTS / "support/whole_road.py", tmp_path])
    assert watched.code == 0, watched.output
    assert "2 parts over Modbus, with 2 recipes\n" in watched.output
    assert (watched.attempts, watched.unrouted) == ((), 0)
