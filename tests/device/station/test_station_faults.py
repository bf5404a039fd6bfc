"""Faults, injected into a running station: what it shows, how fast, and that no part passes meanwhile.

``make test-slow`` runs all of them; with ``EDGE_AD_WRITE_TABLES=1`` it writes the table of ``docs/station_faults.md``.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.paths import DOCS
from support.station_files import to_toml
from support.station_trial import WAIT_S, FaultRow, StationTrial, eventually
from support.tiny_calibration import calibrate

from edge_ad.capture import FakeCamera
from edge_ad.errors import LinkError
from edge_ad.link import Client, LinkServer, StationState
from edge_ad.station.part_outputs import JsonLinesOutput, QueuedOutput

pytestmark = pytest.mark.slow

ROWS: dict[str, FaultRow] = {}
HEADER = (
    "| fault | shows as | until it shows | until parts are accepted again | wrongly accepted | lost |\n"
    "|---|---|---|---|---|---|"
)


@pytest.fixture(scope="module", autouse=True)
def _table() -> Iterator[None]:
    yield
    if os.environ.get("EDGE_AD_WRITE_TABLES") == "1":
        page = DOCS / "station_faults.md"
        head = page.read_text(encoding="utf-8").partition("| fault |")[0]
        lines = [
            f"| {row.fault} | {row.shown_as} | {_time(row.to_fault_s)} | {_time(row.to_recovery_s)} | "
            f"{row.wrongly_accepted} | {row.lost} |"
            for row in ROWS.values()
        ]
        page.write_text("\n".join([head + HEADER, *lines, ""]), encoding="utf-8")


def _time(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds else "-"


@dataclass
class Trial(StationTrial):
    """A trial with one camera that can be told to misbehave."""

    camera: FakeCamera | None = None

    @property
    def fake(self) -> FakeCamera:
        assert self.camera is not None
        return self.camera

    def kill_scorer(self, number: signal.Signals) -> None:
        for pid in self.loop.scorer_pids():
            os.kill(pid, number)

    def kill_capture(self, number: signal.Signals) -> None:
        for pid in set(self.loop.child_pids()) - set(self.loop.scorer_pids()):
            os.kill(pid, number)


@pytest.fixture
def trial(tiny_bundle: Path, tmp_path: Path) -> Iterator[Trial]:
    calibrate(tiny_bundle, 2.0)
    (tmp_path / "camera").mkdir()
    fake = FakeCamera(tmp_path / "camera")
    other = Path(shutil.copytree(tiny_bundle, tmp_path / "other"))
    (other / "manifest.json").write_bytes((other / "manifest.json").read_bytes().replace(b"tiny", b"tinx"))
    tables: dict[str, Any] = {
        "station": {"name": "trial", "trigger": "link", "deadline_ms": 2000},
        "camera": {"top": {"source": fake.source, "trigger": "software", "hang_after_s": 2.0}},
        "inspect": {"top": {"camera": "top", "bundle": str(tiny_bundle), "hang_ms": 400}},
        "recipe": {"first": {}, "broken": {"inspect": {"top": {"bundle": str(other)}}}},
        "evidence": {"folder": str(tmp_path / "evidence"), "every": 1},
    }
    trial = Trial(tmp_path, tables, camera=fake)
    with trial:
        yield trial
        assert not [one for one in trial.outcomes if one.state == "LOST"]


def record(row: FaultRow) -> None:
    ROWS[row.fault] = row
    assert (row.wrongly_accepted, row.lost) == (0, 0)


CAMERA: dict[str, tuple[str, dict[str, Any]]] = {
    "unplugged": ("the camera is unplugged", {"behaviour": "unplugged"}),
    "refuses": (
        "the camera is unplugged, and refuses when it is opened again",
        {"behaviour": "unplugged", "refuses": "busy"},
    ),
    "frozen": ("the camera repeats its last picture", {"behaviour": "frozen"}),
    "silent": ("the camera gives no picture", {"behaviour": "silent"}),
    "hang": ("the camera's driver hangs", {"behaviour": "hang"}),
    "crash": ("the camera's driver crashes", {"behaviour": "crash"}),
    "garbage": ("the camera gives bytes that are no picture", {"behaviour": "garbage"}),
    "torn": ("half of each picture is missing", {"behaviour": "torn"}),
    "size": ("the pictures have another size", {"behaviour": "wrong_size"}),
}


@pytest.mark.parametrize("name", CAMERA)
def test_a_camera_that_fails(trial: Trial, name: str) -> None:
    fault, changes = CAMERA[name]
    good = {"behaviour": "good", "refuses": None}
    record(trial.measure(fault, lambda: trial.fake.does(**changes), lambda: trial.fake.does(**good)))


def test_frames_are_lost_on_the_way(trial: Trial) -> None:
    record(trial.measure_none("frames are lost between those that were asked for", lambda: trial.fake.does(loses=3)))


def test_the_counter_of_the_camera_wraps(trial: Trial) -> None:
    trial.fake.does(counter=65_530)
    trial.kill_capture(signal.SIGKILL)
    eventually(lambda: trial.state == StationState.FAULT)
    eventually(lambda: trial.state == StationState.READY)
    record(trial.measure_none("the frame counter of the camera wraps", lambda: None, parts=20))


@pytest.mark.parametrize("name", ["SIGKILL", "SIGSEGV"])
def test_the_capture_process_dies(trial: Trial, name: str) -> None:
    number = signal.Signals[name]
    record(trial.measure(f"the capture process dies of {name}", lambda: trial.kill_capture(number), holds=False))


def test_the_capture_process_stands_still(trial: Trial) -> None:
    record(trial.measure("the capture process stands still", lambda: trial.kill_capture(signal.SIGSTOP), holds=False))


@pytest.mark.parametrize("name", ["SIGKILL", "SIGSEGV", "SIGTERM"])
def test_the_scorer_dies(trial: Trial, name: str) -> None:
    number = signal.Signals[name]
    record(trial.measure(f"the scorer dies of {name}", lambda: trial.kill_scorer(number), holds=False))


def test_the_scorer_stands_still(trial: Trial) -> None:
    record(trial.measure("the scorer stands still", lambda: trial.kill_scorer(signal.SIGSTOP), holds=False))


def test_the_scorer_stands_still_while_it_opens_its_bundle(trial: Trial) -> None:
    def stop_the_next_one() -> None:
        (scorer,) = trial.loop.scorers()
        scorer.limit_opening(0.1)  # shorter than any start takes
        trial.kill_scorer(signal.SIGKILL)
        eventually(lambda: trial.state == StationState.FAULT)
        assert "did not open its bundle" in trial.cause

    def lift() -> None:
        for scorer in trial.loop.scorers():
            scorer.limit_opening(60)

    record(trial.measure("the scorer does not open its bundle in time", stop_the_next_one, lift))


def test_the_scorer_reaches_its_memory_limit(trial: Trial) -> None:
    def limit() -> None:
        (scorer,) = trial.loop.scorers()
        scorer.limit_memory(1 << 20)

    def lift() -> None:
        for scorer in trial.loop.scorers():
            scorer.limit_memory(1 << 30)

    record(trial.measure("the scorer holds more memory than it may", limit, lift))


def test_the_scorer_gets_no_memory_from_the_system(trial: Trial) -> None:
    def starve() -> None:
        (pid,) = trial.loop.scorer_pids()
        held = int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * resource.getpagesize()
        resource.prlimit(pid, resource.RLIMIT_AS, (held, held))

    starve()
    record(
        trial.measure("the system gives the scorer no memory", lambda: trial.kill_scorer(signal.SIGSEGV), holds=False)
    )


def test_the_scorer_dies_again_and_again(trial: Trial) -> None:
    is_over = threading.Event()

    def kill_all_the_time() -> None:
        while not is_over.is_set():
            trial.kill_scorer(signal.SIGKILL)
            time.sleep(0.05)

    killer = threading.Thread(target=kill_all_the_time)

    def end() -> None:
        is_over.set()
        killer.join()

    row = trial.measure("the scorer dies again and again", killer.start, end, hold_s=3.0)
    record(row)


def test_the_bundle_is_replaced_by_a_broken_one(trial: Trial) -> None:
    manifest = Path(trial.tables["inspect"]["top"]["bundle"]) / "manifest.json"
    good = manifest.read_bytes()

    def breaks() -> None:
        manifest.write_bytes(good.replace(b"tiny", b"tinx"))
        trial.kill_scorer(signal.SIGKILL)

    record(trial.measure("the bundle is broken when the scorer starts", breaks, lambda: manifest.write_bytes(good)))


def test_a_recipe_that_does_not_verify(trial: Trial) -> None:
    def ask() -> None:
        with Client(trial.socket) as client:
            client.recipe("broken")

    record(trial.measure("a recipe that does not verify is asked for", ask, holds=False))
    assert trial.loop.core.recipes.active.name == "first"


def test_a_client_floods(trial: Trial) -> None:
    def flood() -> None:
        def send() -> None:
            line = b'{"type":"snapshot","id":"x"}\n' * 100
            try:
                with socket.socket(socket.AF_UNIX) as one:
                    one.connect(str(trial.socket))
                    one.sendall(b'{"type":"hello","version":1,"client":"flood"}\n')
                    for _ in range(2000):
                        one.sendall(line)
            except OSError:
                return

        threading.Thread(target=send, daemon=True).start()

    record(trial.measure_none("a client of the link floods the station", flood, parts=30))


@pytest.mark.parametrize(
    ("fault", "data"),
    [
        ("a client of the link sends garbage", bytes(range(256)) * 100),
        ("a client of the link sends a line without end", b"[" * 1_000_000),
    ],
    ids=["garbage", "endless"],
)
def test_a_client_sends_what_is_no_request(trial: Trial, fault: str, data: bytes) -> None:
    def send() -> None:
        with socket.socket(socket.AF_UNIX) as one:
            one.connect(str(trial.socket))
            try:
                one.sendall(data)
            except OSError:
                return

    record(trial.measure_none(fault, send))


def test_a_client_never_reads(trial: Trial) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.connect(str(trial.socket))
        one.sendall(b'{"type":"hello","version":1,"client":"deaf"}\n{"type":"subscribe"}\n')
        record(trial.measure_none("a client of the link never reads", lambda: None, parts=50))


def test_a_client_goes_away_in_the_middle_of_a_part(trial: Trial) -> None:
    def go() -> None:
        with Client(trial.socket) as client:
            client.trigger("gone")

    record(trial.measure_none("a client goes away before its result", go))


def test_a_second_station_on_the_same_socket(trial: Trial) -> None:
    def start() -> None:
        with pytest.raises(LinkError):
            LinkServer(trial.socket, station="other")

    record(trial.measure_none("a second station is started on the same socket", start))


def test_the_disk_of_an_output_is_full(trial: Trial) -> None:
    output = QueuedOutput("full", JsonLinesOutput(Path("/dev/full")), 10)
    trial.loop.add_output(output)
    record(trial.measure_none("the disk of an output is full", lambda: None))
    assert "the disk is full" in output.state


def test_the_folder_of_evidence_is_removed(trial: Trial) -> None:
    folder = Path(trial.tables["evidence"]["folder"])
    eventually(lambda: any(folder.rglob("*.json")))
    record(trial.measure_none("the folder of evidence is removed", lambda: shutil.rmtree(folder, ignore_errors=True)))
    eventually(lambda: any(folder.rglob("*.json")))


@pytest.mark.parametrize("days", [-400, 400])
def test_the_clock_is_set(trial: Trial, monkeypatch: pytest.MonkeyPatch, days: int) -> None:
    real = time.time
    fault = f"the clock is set {'forward' if days > 0 else 'back'} by 400 days"
    record(trial.measure_none(fault, lambda: monkeypatch.setattr(time, "time", lambda: real() + days * 86_400)))


def test_the_station_is_restarted_in_the_middle_of_parts(trial: Trial) -> None:
    def restart() -> None:
        trial.stop()
        trial.start()

    record(trial.measure("the station is stopped and started again", restart, holds=False))


def test_the_station_is_killed(trial: Trial, tmp_path: Path) -> None:
    """In a process of its own, for a change, which is started again as systemd would do."""
    trial.stop()
    file = tmp_path / "station.toml"
    whole = {name: table for name, table in trial.tables.items() if name != "recipe"}  # one of them is broken
    file.write_text(to_toml({**whole, "link": {"socket": str(trial.socket)}}))
    program = [sys.executable, "-c", "from edge_ad.cli import main; main()", "run", str(file)]
    start = partial(subprocess.Popen, program, stdout=subprocess.DEVNULL)
    first = start()
    moment = time.monotonic()
    eventually(lambda: trial.accepts_since(moment) > 3)
    children = [int(one) for one in Path(f"/proc/{first.pid}/task/{first.pid}/children").read_text().split()]
    assert len(children) == 2
    stations = []

    def kill() -> None:
        first.kill()
        first.wait()
        eventually(lambda: not [pid for pid in children if Path(f"/proc/{pid}").exists()])
        stations.append(start())

    record(trial.measure("the station is killed, and started again", kill, holds=False))
    trial.close_client()
    stations[0].terminate()
    assert stations[0].wait(WAIT_S) == 0
    trial.start()


def test_all_children_are_killed_at_random_moments(trial: Trial) -> None:
    kills: list[Callable[[], None]] = [
        lambda: trial.kill_scorer(signal.SIGKILL),
        lambda: trial.kill_capture(signal.SIGKILL),
    ]
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for number in range(12):
        time.sleep(0.013 * number)
        kills[number % 2]()
    moment = time.monotonic()
    eventually(lambda: trial.accepts_since(moment) > 3)
    eventually(lambda: len(trial.loop.child_pids()) == 2)
    assert len(os.listdir("/proc/self/fd")) <= before + 4  # noqa: PTH208
    assert not [one for one in trial.outcomes if one.state == "LOST"]
