"""The examples in other languages, each against the fake station; skipped where the language is missing."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.paths import ROOT

from edge_ad.link import Client, FakeStation, Judgement, RecordedRequest, TriggerRequest
from edge_ad.verdict import State

NOTES = ROOT / "firmware_notes"


def judge(asked: RecordedRequest) -> Judgement:
    assert isinstance(asked.request, TriggerRequest)
    return Judgement(State(asked.request.part_id))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s.sock"


@contextmanager
def running(*command: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as process:
        yield process
        process.kill()


def ask(process: subprocess.Popen[str], line: str) -> str:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{line}\n")
    return process.stdout.readline().strip()


@pytest.fixture(scope="module")
def csharp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("mcs")
    if compiler is None or shutil.which("mono") is None:
        pytest.skip("no Mono on this machine")
    target = tmp_path_factory.mktemp("cs") / "link.exe"
    needs = ["Mono.Posix", "System.Runtime.Serialization", "System.Xml.Linq", "System.Xml"]
    done = subprocess.run(
        [compiler, "-d:MONO", *(f"-r:{name}" for name in needs), f"-out:{target}", str(NOTES / "csharp/EdgeAdLink.cs")],
        capture_output=True,
        text=True,
        check=False,
    )
    if "CS0006" in done.stderr:
        pytest.skip("Mono's libraries are not all on this machine")
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    return target


def test_csharp_lets_pass_what_is_accepted_in_time(csharp: Path, path: Path) -> None:
    with FakeStation(path, judge=judge) as station, running("mono", str(csharp), str(path), "60000") as process:
        assert [ask(process, state) for state in ("ACCEPT", "REJECT", "INVALID", "ACCEPT")] == [
            "PASS ACCEPT",
            "REJECT REJECT",
            "REJECT INVALID",
            "PASS ACCEPT",
        ]
        station.refuse("camera_busy")
        assert ask(process, "ACCEPT") == "REJECT ACCEPT"
        station.close()
        assert ask(process, "ACCEPT") == "REJECT ACCEPT"


def test_csharp_rejects_what_comes_late(csharp: Path, path: Path) -> None:
    with FakeStation(path) as station, running("mono", str(csharp), str(path), "100") as process:
        station.hold()
        assert ask(process, "A-1") == "REJECT A-1"
        station.release()
        station.fault("disk_full")
        assert ask(process, "A-2") == "REJECT A-2"


NODE = """
const flow = JSON.parse(require('fs').readFileSync(process.argv[1]));
const made = flow.find(one => one.type === 'function');
const kept = new Map();
const global = { get: name => require(name) };
const env = { get: name => ({ EDGE_AD_SOCKET: process.argv[2], EDGE_AD_TIMEOUT_MS: process.argv[3] })[name] };
const context = { get: name => kept.get(name), set: (name, value) => kept.set(name, value) };
const node = { send: out => console.log(JSON.stringify(out)), status() {}, warn: text => console.error(text) };
const names = ['global', 'env', 'context', 'node', 'msg'];
const run = (code, msg) => new Function(...names, code)(global, env, context, node, msg);
run(made.initialize);
require('readline').createInterface({ input: process.stdin })
    .on('line', line => run(made.func, { payload: line }))
    .on('close', () => run(made.finalize));
"""


@contextmanager
def node_red(path: Path, limit_ms: int) -> Iterator[subprocess.Popen[str]]:
    """The flow's function, run by Node alone."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("no Node on this machine")
    with running(node, "-e", NODE, str(NOTES / "node-red" / "flow.json"), str(path), str(limit_ms)) as process:
        yield process


def test_the_node_red_flow_lets_pass_what_is_accepted_in_time(path: Path) -> None:
    with FakeStation(path, judge=judge) as station, node_red(path, 60_000) as process:
        said = [json.loads(ask(process, state)) for state in ("ACCEPT", "REJECT", "INVALID")]
        assert said == [
            {"payload": True, "part_id": "ACCEPT", "why": "ACCEPT"},
            {"payload": False, "part_id": "REJECT", "why": "REJECT"},
            {"payload": False, "part_id": "INVALID", "why": "INVALID"},
        ]
        station.refuse("camera_busy")
        assert json.loads(ask(process, "ACCEPT")) == {"payload": False, "part_id": "ACCEPT", "why": "camera_busy"}


def test_the_node_red_flow_rejects_what_comes_late_and_what_is_lost(path: Path) -> None:
    with FakeStation(path, judge=judge) as station, node_red(path, 50) as process:
        station.hold()
        assert json.loads(ask(process, "ACCEPT")) == {"payload": False, "part_id": "ACCEPT", "why": "late"}
        station.release()
        station.close()
        assert json.loads(ask(process, "ACCEPT"))["payload"] is False


def test_the_fake_station_of_the_command_line_obeys(path: Path) -> None:
    command, pipe = [sys.executable, "-m", "edge_ad.link", str(path)], subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as fake:
        assert fake.stderr is not None
        assert fake.stdin is not None
        assert fake.stdout is not None
        assert fake.stderr.readline() == f"listens on {path}\n"
        with Client(path) as link:
            link.subscribe("alarm")
            for orders, passes in (("", True), ("reject\n", False), ("accept\n", True), ("refuse busy\n", False)):
                fake.stdin.write(f"{orders}alarm done now\n")
                fake.stdin.flush()
                link.next_event(timeout_s=60)
                assert link.passes("A-1", timeout_s=60) is passes
            fake.stdin.write("dance\n")
            fake.stdin.flush()
            assert fake.stderr.readline().startswith("error: expected one of accept, reject, invalid, hold")
        fake.stdin.close()
        assert [json.loads(line)["part_id"] for line in fake.stdout] == ["A-1"] * 3
        assert fake.wait() == 0


def test_a_second_fake_station_says_one_line(path: Path) -> None:
    with FakeStation(path):
        done = subprocess.run(
            [sys.executable, "-m", "edge_ad.link", str(path)], capture_output=True, text=True, check=False, input=""
        )
    assert done.returncode == 4
    assert done.stderr.startswith("error: another station")
    assert done.stderr.count("\n") == 1
