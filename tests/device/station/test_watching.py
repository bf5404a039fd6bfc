"""The log of a station: each change once, and never in the way."""

from __future__ import annotations

import io
import json
import logging
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from support import tiny
from support.changed_bundle import spoil_golden
from support.station_files import MS, a_verdict, opened_core, station_file
from support.tiny_calibration import calibrate

from edge_ad.cameras import CameraState, CameraStatus
from edge_ad.cli import main
from edge_ad.link import messages
from edge_ad.station.kept_counts import CountsFile
from edge_ad.station.parts import InspectedPart, Moment, PartFrame
from edge_ad.station.running import run_station
from edge_ad.station.scorer_messages import Refusal, ScorerReady
from edge_ad.station.scorer_process import ScorerDied
from edge_ad.station.station_log import LogSettings, log_event, open_log
from edge_ad.station.watching import StationWatch
from edge_ad.verdict import Drift, DriftState, State

logger = logging.getLogger("edge_ad.station.test")


@pytest.fixture
def watch(caplog: pytest.LogCaptureFixture) -> Iterator[StationWatch]:
    with caplog.at_level(logging.INFO, "edge_ad"):
        yield StationWatch(station_file())


def said(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    lines = [(one.levelname, one.getMessage()) for one in caplog.records]
    caplog.clear()
    return lines


def test_a_fault_and_its_end_are_logged_once(watch: StationWatch, caplog: pytest.LogCaptureFixture) -> None:
    for cause in ("a is lost", "a is lost; b is lost", "b is lost"):
        watch.told(messages.StateChanged(state=messages.StationState.FAULT, cause=cause))
    watch.told(messages.StateChanged(state=messages.StationState.STARTING))
    for state in (messages.StationState.READY, messages.StationState.BUSY, messages.StationState.READY):
        watch.told(messages.StateChanged(state=state))
    assert said(caplog) == [
        ("ERROR", "cause of a fault: a is lost"),
        ("INFO", "station: FAULT"),
        ("ERROR", "cause of a fault: b is lost"),
        ("INFO", "no longer a fault: a is lost"),
        ("INFO", "no longer a fault: b is lost"),
        ("INFO", "station: STARTING"),
        ("INFO", "station: READY"),
    ]


def test_a_camera_is_logged_when_it_changes(watch: StationWatch, caplog: pytest.LogCaptureFixture) -> None:
    for state in (CameraState.STREAMING, CameraState.LOST, CameraState.LOST, CameraState.STREAMING):
        watch.camera("top", CameraStatus(state=state, detail="unplugged" if state is CameraState.LOST else None))
    assert said(caplog) == [
        ("INFO", "camera top: STREAMING"),
        ("WARNING", "camera top: LOST: unplugged"),
        ("INFO", "camera top: STREAMING"),
    ]


def test_a_bundle_that_is_tried_again_and_again_is_logged_once(
    watch: StationWatch, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        watch.scorer("top", 1, Refusal(detail="changed"))
        watch.scorer("top", 1, ScorerDied("status 0"))
    watch.scorer("top", 1, ScorerReady(bundle="b@1", variant="onnx-fp32", engine="onnxruntime 1"))
    for _ in range(2):
        watch.scorer("top", 1, ScorerDied("SIGKILL"))
        watch.scorer("top", 1, ScorerReady(bundle="b@1", variant="onnx-fp32", engine="onnxruntime 1"))
    assert said(caplog) == [
        ("ERROR", "scorer top does not start: changed"),
        ("INFO", "scorer top is ready: b@1, onnx-fp32 on onnxruntime 1"),
        *[
            ("WARNING", "scorer top ended and is started again: SIGKILL"),
            ("INFO", "scorer top is ready: b@1, onnx-fp32 on onnxruntime 1"),
        ]
        * 2,
    ]


def test_clients_outputs_and_drift_are_logged_when_they_change(
    watch: StationWatch, caplog: pytest.LogCaptureFixture
) -> None:
    core = opened_core(station_file())
    seconds = iter(range(100))

    def tick(outputs: dict[str, str], clients: dict[int, str]) -> None:
        watch.tick(Moment(next(seconds) * 1000 * MS, 0.0), core, lambda: outputs, clients)

    tick({"results": "ok"}, {})
    tick({"results": "failing: disk full, 3 dropped"}, {1: "plc"})
    tick({"results": "failing: disk full, 4 dropped"}, {1: "plc"})
    tick({"results": "ok, 4 dropped"}, {})
    for state in (DriftState.OK, DriftState.WATCH, DriftState.WATCH):
        drift = Drift(state=state, evidence=0.5, causes=("brightness lower",), since=1, frames=2, rejects=0)
        verdict = msgspec.structs.replace(a_verdict(), drift=drift)
        frame = PartFrame(inspection="top", camera="top", verdict=verdict)
        watch.told(
            InspectedPart(
                trigger=1,
                part_id="1",
                recipe="r",
                state=State.ACCEPT,
                triggered_at=0.0,
                latency_ms=1.0,
                frames=(frame,),
            )
        )
    assert said(caplog) == [
        ("INFO", "client plc has come"),
        ("ERROR", "failing: disk full"),
        ("INFO", "client plc has gone"),
        ("INFO", "output results works again"),
        ("INFO", "drift of top: OK: brightness lower"),
        ("WARNING", "drift of top: WATCH: brightness lower"),
    ]


@pytest.mark.parametrize(
    ("request_", "logged"),
    [
        (messages.RecipeRequest(id="1", name="caps"), "plc asks the recipe caps"),
        (messages.AcknowledgeRequest(id="1", alarm="a", by="anna"), "anna (plc) asks to acknowledge the alarm a"),
        (messages.ResetRequest(id="1", by="anna"), "anna (plc) asks to leave FAULT"),
        (messages.ResetCountersRequest(id="1", by="anna"), "anna (plc) asks to set the counts back"),
    ],
    ids=["recipe", "acknowledge", "reset", "reset-counters"],
)
def test_who_asks_for_what_is_logged(
    watch: StationWatch, caplog: pytest.LogCaptureFixture, request_: messages.OperatorRequest, logged: str
) -> None:
    watch.asked(request_, "plc")
    assert said(caplog) == [("INFO", logged)]


def test_a_text_of_several_lines_is_one_line_of_the_log(tmp_path: Path) -> None:
    with open_log(LogSettings(file=str(tmp_path / "log"), format="text")):
        log_event(logger, logging.INFO, "asked", "anna\n2026-11-27 06:00:00 error   forged")
    assert len((tmp_path / "log").read_text().splitlines()) == 1


def test_facts_of_a_snapshot_are_those_of_the_shift_until_they_are_reset(watch: StationWatch) -> None:
    core = opened_core(station_file(station={"name": "trial", "trigger": "link"}, link={}))
    now = Moment(0, 86_400.0 * 365)
    core.trigger(None, "A", now)
    core.trigger(None, "A", now)
    (part,) = [part.result(5 * MS, State.ACCEPT) for part in core.parts.values()]
    for one in (part, msgspec.structs.replace(part, state=State.INVALID, reason="late")):
        watch.told(msgspec.structs.replace(one, recipe="default", triggered_at=now.at))
    counts = watch.facts(core, now).counts
    assert counts.parts == {"ACCEPT": 1, "REJECT": 0, "INVALID": 1}
    assert (counts.invalid, counts.refused) == ({"late": 1}, {"part_open": 1})
    assert (counts.latency_min_ms, counts.latency_mean_ms, counts.latency_max_ms) == (5.0, 5.0, 5.0)
    watch.reset_counts(core, now)
    again = watch.facts(core, now).counts
    assert again == messages.PresentCounts(recipe="default", since=again.since, parts=dict.fromkeys(counts.parts, 0))


def test_a_line_of_json_has_its_facts(tmp_path: Path) -> None:
    file = tmp_path / "log"
    with open_log(LogSettings(file=str(file), format="json")) as log:
        log_event(logger, logging.ERROR, "camera", "camera top: LOST", camera="top")
        log_event(logger, logging.DEBUG, "part", "not at this level")
    assert log.state == "ok"
    (line,) = [json.loads(one) for one in file.read_text().splitlines()]
    assert line.pop("time").endswith("+00:00")
    assert line == {"level": "error", "event": "camera", "message": "camera top: LOST", "camera": "top"}


def test_a_full_file_is_followed_by_a_new_one(tmp_path: Path) -> None:
    file = tmp_path / "log"
    with open_log(LogSettings(file=str(file), limit_mb=0.001, keep=2)):
        for number in range(100):
            log_event(logger, logging.INFO, "n", f"line {number}")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["log", "log.1", "log.2"]
    assert all(one.stat().st_size <= 1000 for one in tmp_path.iterdir())
    assert "line 99" in file.read_text()


def test_a_folder_that_is_gone_shows_and_is_no_failure_any_more_when_it_is_back(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    states = []
    for is_there in (True, False, True):
        (folder.mkdir if is_there else lambda **_: None)(exist_ok=True)
        with open_log(LogSettings(file=str(folder / "log"))) as log:
            if not is_there:
                (folder / "log").unlink()
                folder.rmdir()
            log_event(logger, logging.INFO, "n", "line")
        states.append(log.state)
    assert states == ["ok", "failing: No such file or directory", "ok"]


def test_the_journal_is_told_priorities(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with (tmp_path / "journal").open("w+") as journal:
        found = os.fstat(journal.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
        with open_log(LogSettings(format="text"), journal):
            log_event(logger, logging.ERROR, "n", "broken")
        journal.seek(0)
        assert journal.read().startswith("<3>")


def test_a_target_that_takes_nothing_does_not_hold_the_station(tmp_path: Path) -> None:
    go_on = threading.Event()

    class Stuck(io.StringIO):
        def write(self, text: str) -> int:
            go_on.wait(60)
            return super().write(text)

    with open_log(LogSettings(), Stuck()) as log:
        for number in range(5000):
            log_event(logger, logging.INFO, "n", f"line {number}")
        assert log.dropped >= 2900
        go_on.set()


def a_station(bundle: Path, tmp_path: Path) -> dict[str, Any]:
    calibrate(bundle, 0.5)
    pictures = tiny.frames(6)
    pictures[3] = tiny.spotted(pictures[3], 20, 20)
    images = tiny.write_images(tmp_path / "images", pictures)
    return {
        "station": {"name": "trial", "deadline_ms": 60_000},
        "camera": {"top": {"source": str(images), "pace": "fast", "allow_repeats": True}},
        "inspect": {"top": {"camera": "top", "bundle": str(bundle)}},
        "counters": {"file": str(tmp_path / "counters.json")},
        "metrics": {"file": str(tmp_path / "edge_ad.prom")},
        "log": {"file": str(tmp_path / "log"), "format": "json"},
    }


def test_a_station_leaves_counts_metrics_and_a_log(tiny_bundle: Path, tmp_path: Path) -> None:
    file = station_file(**a_station(tiny_bundle, tmp_path))
    for _ in range(2):
        run_station(file)
    counts = msgspec.json.decode((tmp_path / "counters.json").read_bytes(), type=CountsFile)
    assert counts.total["default"].parts == {"ACCEPT": 10, "REJECT": 2, "INVALID": 0}
    metrics = (tmp_path / "edge_ad.prom").read_text()
    assert 'edge_ad_parts_total{recipe="default",state="REJECT",station="trial"} 2.0' in metrics
    assert 'edge_ad_output_ok{output="log",station="trial"} 1.0' in metrics
    events = [json.loads(line)["event"] for line in (tmp_path / "log").read_text().splitlines()]
    assert events.count("scorer_ready") == 2
    assert events.count("stopped") == 2
    assert events[-1] == "stopped"


def test_the_log_says_which_variant_scores_and_why(tiny_bundle: Path, tmp_path: Path) -> None:
    spoil_golden(tiny_bundle, "onnx-fp32")
    calibrate(tiny_bundle, 0.5, variant="openvino-fp32")
    run_station(station_file(**a_station(tiny_bundle, tmp_path)))
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    said = [one["message"] for one in lines if one["event"] == "scorer_choice"]
    reason = "openvino-fp32 scores: it is the fastest calibrated variant whose golden frames agree here"
    assert said == [f"scorer top: {reason}"]
    verified = CliRunner().invoke(main, ["verify", str(tiny_bundle)])
    assert f"\n  {reason}\n" in verified.output


def test_a_killed_scorer_is_logged_once(tiny_bundle: Path, tmp_path: Path) -> None:
    tables = a_station(tiny_bundle, tmp_path)
    tables["camera"]["top"] |= {"pace": "fast"}  # the pictures wait until the scorer is back, and then end
    killed: list[int] = []

    def told(what: object) -> None:
        if isinstance(what, InspectedPart) and not killed:
            children = Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text().split()
            (scorer,) = [one for one in children if b"scorer_worker" in Path(f"/proc/{one}/cmdline").read_bytes()]
            killed.append(int(scorer))
            os.kill(killed[0], signal.SIGKILL)

    run_station(station_file(**tables), told)
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    restarts = [one for one in lines if one["event"] == "scorer_restart"]
    assert [one["message"] for one in restarts] == ["scorer top ended and is started again: SIGKILL"]
    counts = msgspec.json.decode((tmp_path / "counters.json").read_bytes(), type=CountsFile)
    assert counts.total["default"].scorer_restarts == 1
