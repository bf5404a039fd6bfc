"""The C client and misbehaving clients against a real station: `edge-ad run` in a process of its own."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from support import tiny
from support.c_programs import BUILDS, SOURCES, build
from support.link_ends import HELLO
from support.tiny_calibration import calibrate

from edge_ad import Detector
from edge_ad.errors import LinkError
from edge_ad.link import Client, StateChanged, StationState
from edge_ad.verdict import State

WAIT_S = 120.0
FLOOD = """
import ast, os, socket, sys
line = ast.literal_eval(sys.argv[2])
os.nice(10)
while True:
    with socket.socket(socket.AF_UNIX) as flooding:
        try:
            flooding.connect(sys.argv[1])
            flooding.sendall(b'{"type":"hello","version":1,"client":"flood"}\\n')
            while True:
                flooding.sendall(line * 100)
        except OSError:  # dropped: again
            pass
"""
STATION = """
[station]
name = "trial"
trigger = "link"
deadline_ms = 60000
[camera.top]
source = "link"
allow_repeats = true
[inspect.top]
camera = "top"
bundle = "{bundle}"
[link]
socket = "{socket}"
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s.sock"


@pytest.fixture
def bundle(tiny_bundle: Path) -> Path:
    """Accepts dim frames, and rejects those with a bright spot."""
    calibrate(tiny_bundle, 0.5)
    return tiny_bundle


@pytest.fixture
def station(bundle: Path, path: Path, tmp_path: Path) -> Iterator[Path]:
    """The socket of a running station that is READY."""
    (tmp_path / "station.toml").write_text(STATION.format(bundle=bundle, socket=path), encoding="utf-8")
    command = [sys.executable, "-c", "from edge_ad.cli import main; main()", "run", str(tmp_path / "station.toml")]
    with (
        (tmp_path / "said").open("w+", encoding="utf-8") as said,
        subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT) as running,
    ):
        try:
            with first_connection(path, running, tmp_path / "said") as link:
                link.subscribe("state")
                while link.state is not StationState.READY:
                    assert isinstance(link.next_event(timeout_s=WAIT_S), StateChanged)
            yield path
        finally:
            running.terminate()


def first_connection(path: Path, running: subprocess.Popen[bytes], said: Path) -> Client:
    """Waits until the station listens, or has ended."""
    while running.poll() is None:
        with contextlib.suppress(LinkError):
            return Client(path, timeout_s=WAIT_S)
        time.sleep(0.05)
    raise AssertionError(said.read_text(encoding="utf-8"))


def test_the_c_client_gets_the_verdicts_and_scores_of_the_detector(station: Path, bundle: Path, tmp_path: Path) -> None:
    program = build(
        tmp_path / "example", [SOURCES / "edge_ad_link_example.c", SOURCES / "edge_ad_link.c"], BUILDS["plain"]
    )
    pictures = tiny.frames(4)
    pictures[2] = tiny.spotted(pictures[2], 20, 20)
    lines = ""
    for index, pixels in enumerate(pictures):
        (tmp_path / f"{index}.raw").write_bytes(pixels.tobytes())
        height, width, channels = pixels.shape
        lines += f"part-{index} {height} {width} {channels} {tmp_path / f'{index}.raw'}\n"
    with Detector.open(bundle) as detector:
        verdicts = [detector.score(pixels) for pixels in pictures]
    done = subprocess.run([program, station, "60000"], input=lines, capture_output=True, text=True, check=True)
    said = [line.split()[:3] for line in done.stdout.splitlines()]
    assert [(gate, part, float(score)) for gate, part, score in said] == [
        ("PASS" if verdict.accepted else "REJECT", f"part-{index}", verdict.score)
        for index, verdict in enumerate(verdicts)
    ]
    assert [verdict.state for verdict in verdicts] == [State.ACCEPT, State.ACCEPT, State.REJECT, State.ACCEPT]


def test_a_line_goes_on_while_other_clients_flood_stall_and_send_garbage(station: Path) -> None:
    good, bad = tiny.frames(1)[0], tiny.spotted(tiny.frames(1)[0], 20, 20)
    with misbehaving(station), Client(station, timeout_s=WAIT_S) as link:
        passed = [link.passes(f"part-{n}", bad if n % 3 == 0 else good, timeout_s=WAIT_S) for n in range(30)]
        assert link.snapshot().state is StationState.READY
    assert passed == [n % 3 != 0 for n in range(30)]


@contextmanager
def misbehaving(path: Path) -> Iterator[None]:
    """One client each that asks without end, sends garbage, subscribes and never reads, and sends half a line."""
    flooding = [
        subprocess.Popen([sys.executable, "-c", FLOOD, str(path), repr(line)])
        for line in (b'{"type":"snapshot","id":"s"}\n', b'{"type":"recipe","id":"r","name":"none"}\n', b"?{\n", b"x")
    ]
    try:
        with ExitStack() as stack:
            for begun in (b'{"type":"subscribe"}\n', b'{"type":"trigger","id":"half'):
                stalling = stack.enter_context(socket.socket(socket.AF_UNIX))
                stalling.connect(str(path))
                stalling.sendall(HELLO + begun)
            yield
    finally:
        for process in flooding:
            process.kill()
            process.wait()
