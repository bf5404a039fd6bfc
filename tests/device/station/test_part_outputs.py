"""CSV and digital outputs: rows that are whole, and a gate that stays shut."""

from __future__ import annotations

import csv
import importlib.util
import io
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import tiny
from support.station_files import a_verdict, station_file
from support.tiny_calibration import calibrate

from edge_ad.errors import InputError, MissingExtraError, OutputError
from edge_ad.link import StationState
from edge_ad.station.digital_output import DigitalOutput, KernelLine, RecordedLine
from edge_ad.station.part_outputs import CsvOutput, QueuedOutput, RecordedParts
from edge_ad.station.parts import InspectedPart, PartFrame
from edge_ad.station.running import check_station, run_station
from edge_ad.station.station_file import read_station_file
from edge_ad.verdict import State

WAIT_S = 60.0


def a_part(state: State, part_id: str = "1") -> InspectedPart:
    frame = PartFrame(inspection="top", camera="top", verdict=a_verdict(state))
    return InspectedPart(
        trigger=1,
        part_id=part_id,
        recipe="r",
        state=state,
        reason="late" if state is State.INVALID else None,
        triggered_at=0.5,
        latency_ms=12.3456,
        frames=() if state is State.INVALID else (frame,),
    )


def rows(path: Path) -> list[list[str]]:
    return list(csv.reader(io.StringIO(path.read_bytes().decode(), newline="")))


# --- CSV


def test_a_row_for_each_part_below_one_header(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    for state in (State.ACCEPT, State.INVALID):
        CsvOutput(path).write(a_part(state, 'A, "17"\n'))
    header, first, second = rows(path)
    assert dict(zip(header, first, strict=True)) == {
        "triggered_at": "1970-01-01T00:00:00.500+00:00",
        "trigger": "1",
        "part_id": 'A, "17"\n',
        "recipe": "r",
        "state": "ACCEPT",
        "reason": "",
        "detail": "",
        "latency_ms": "12.346",
        "score": "0.5",
        "scores": "top=0.5",
    }
    assert (second[4], second[5], second[8], second[9]) == ("INVALID", "late", "", "")


def test_a_folder_that_is_gone_is_an_error_and_the_next_row_has_a_header(tmp_path: Path) -> None:
    output = CsvOutput(tmp_path / "gone" / "results.csv")
    with pytest.raises(OutputError, match="its folder does not exist"):
        output.write(a_part(State.ACCEPT))
    (tmp_path / "gone").mkdir()
    output.write(a_part(State.ACCEPT))
    assert (tmp_path / "gone" / "results.csv").read_text().startswith("triggered_at,")


# --- digital outputs


class Gate:
    """A digital output on a recorded line, and a clock that stands still until it is moved."""

    def __init__(self, signal: Any = "reject") -> None:
        self.now = 0.0
        self.line = RecordedLine()
        self.opened: list[bool] = []
        self.output = DigitalOutput(self.open, signal, 100, lambda: self.now)

    def open(self, driven: bool) -> RecordedLine:
        if self.line.error is not None:
            raise self.line.error
        self.opened.append(driven)
        self.line.levels.append(driven)
        return self.line

    @property
    def driven(self) -> bool:
        return self.line.levels[-1]

    def ready(self) -> Gate:
        self.output.state_changed(StationState.READY)
        return self

    def at(self, now: float) -> bool:
        self.now = now
        self.output.tick()
        return self.driven


def test_the_reject_line_is_driven_from_the_start_until_the_station_takes_parts() -> None:
    gate = Gate()
    gate.output.state_changed(StationState.STARTING)
    before = gate.driven
    gate.ready()
    assert (gate.opened, before, gate.driven) == ([True], True, False)


@pytest.mark.parametrize("state", [StationState.FAULT, StationState.STARTING, StationState.STOPPING])
def test_the_reject_line_is_driven_in_every_state_without_parts(state: StationState) -> None:
    gate = Gate().ready()
    gate.output.state_changed(state)
    before = gate.driven
    gate.output.write(a_part(State.ACCEPT))
    assert (before, gate.at(60.0)) == (True, True)


@pytest.mark.parametrize("state", [State.REJECT, State.INVALID])
def test_what_is_not_accepted_is_rejected_by_a_pulse(state: State) -> None:
    gate = Gate().ready()
    gate.output.write(a_part(state))
    assert [gate.driven, gate.at(0.099), gate.at(0.101)] == [True, True, False]


def test_an_accepted_part_does_not_end_the_pulse_of_the_one_before() -> None:
    gate = Gate().ready()
    gate.output.write(a_part(State.REJECT))
    gate.output.write(a_part(State.ACCEPT))
    assert [gate.at(0.05), gate.at(0.2)] == [True, False]


def test_the_next_reject_makes_the_pulse_longer() -> None:
    gate = Gate().ready()
    gate.output.write(a_part(State.REJECT))
    gate.now = 0.08
    gate.output.write(a_part(State.REJECT))
    assert [gate.at(0.15), gate.at(0.19)] == [True, False]


def test_the_accept_line_is_driven_for_accepted_parts_alone() -> None:
    gate = Gate("accept").ready()
    gate.output.write(a_part(State.REJECT))
    levels = [gate.driven]
    gate.output.write(a_part(State.ACCEPT))
    assert [*levels, gate.driven, gate.at(0.2)] == [False, True, False]


@pytest.mark.parametrize(
    "then",
    [
        pytest.param(lambda one: one.write(a_part(State.REJECT)), id="a-reject"),
        pytest.param(lambda one: one.write(a_part(State.INVALID)), id="an-invalid"),
        pytest.param(lambda one: one.lost(), id="a-lost-result"),
        pytest.param(lambda one: one.state_changed(StationState.FAULT), id="a-fault"),
        pytest.param(lambda one: one.close(), id="the-end"),
    ],
)
def test_an_accept_ends_at_once_with(then: Callable[[DigitalOutput], None]) -> None:
    gate = Gate("accept").ready()
    gate.output.write(a_part(State.ACCEPT))
    before = gate.driven
    then(gate.output)
    assert (before, gate.driven) == (True, False)


def test_an_accept_before_the_station_is_ready_opens_nothing() -> None:
    gate = Gate("accept")
    gate.output.write(a_part(State.ACCEPT))
    assert gate.line.levels == [False]


@pytest.mark.parametrize(("signal", "at_rest"), [("reject", True), ("accept", False)])
def test_the_end_leaves_the_level_of_rest(signal: str, at_rest: bool) -> None:
    gate = Gate(signal).ready()
    gate.output.close()
    assert (gate.driven, gate.line.is_closed) == (at_rest, True)


@pytest.mark.parametrize("signal", ["reject", "accept"])
def test_a_line_that_failed_is_opened_again_without_a_late_accept(signal: str) -> None:
    gate = Gate(signal).ready()
    gate.line.error = OutputError("gone")
    with pytest.raises(OutputError, match="gone"):
        gate.output.write(a_part(State.ACCEPT if signal == "accept" else State.REJECT))
    with pytest.raises(OutputError, match="gone"):
        gate.output.tick()
    gate.line.error = None
    gate.output.tick()
    assert gate.opened[1:] == [signal == "reject"]


# --- the queue


def test_the_queue_ends_pulses_and_closes() -> None:
    released = threading.Event()

    class Line(RecordedLine):
        def set(self, *, driven: bool) -> None:
            super().set(driven=driven)
            if self.levels == [False, True, False]:
                released.set()

    line = Line()
    queued = QueuedOutput("gate", DigitalOutput(lambda _: line, "reject", 20), 10)
    queued.put(StationState.READY)
    queued.put(a_part(State.REJECT))
    was_released = released.wait(WAIT_S)
    queued.close()
    queued.close()
    assert (was_released, queued.state, line.levels, line.is_closed) == (True, "ok", [False, True, False, True], True)


class Held(RecordedParts):
    """Holds the first result back until ``go_on``."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.go_on, self.has_lost = threading.Event(), threading.Event(), threading.Event()

    def write(self, part: InspectedPart) -> None:
        self.entered.set()
        self.go_on.wait(WAIT_S)
        super().write(part)

    def lost(self) -> None:
        self.has_lost.set()


def test_a_result_that_waited_too_long_is_not_let_through() -> None:
    held = Held()
    held.latest_s = WAIT_S
    held.go_on.set()
    queued = QueuedOutput("gate", held, 10)
    queued.put(a_part(State.ACCEPT, "first"))
    assert held.entered.wait(WAIT_S)
    queued.close()
    late = Held()
    late.latest_s = -1.0  # every result has waited longer
    queued = QueuedOutput("gate", late, 10)
    queued.put(a_part(State.ACCEPT, "late"))
    queued.close()
    assert (late.parts, late.has_lost.is_set(), queued.dropped) == ([], True, 1)


def test_results_that_do_not_fit_are_told_as_lost() -> None:
    held = Held()
    queued = QueuedOutput("gate", held, 1)
    queued.put(a_part(State.ACCEPT))
    assert held.entered.wait(WAIT_S)
    for _ in range(3):
        queued.put(a_part(State.ACCEPT))
    held.go_on.set()
    assert held.has_lost.wait(WAIT_S)
    queued.close()
    assert queued.state == "ok, 2 dropped"


# --- the kernel, and the station file


def test_a_chip_that_is_not_there_is_named() -> None:
    with pytest.raises(OutputError, match="line 3 of /dev/gpiochip99: cannot be written"):
        KernelLine("/dev/gpiochip99", 3, active_low=False, driven=True)


def tables(bundle: Path, images: Path, **output: Any) -> dict[str, Any]:
    return {
        "station": {"name": "trial", "deadline_ms": 60_000},
        "camera": {"top": {"source": str(images), "pace": "fast", "allow_repeats": True}},
        "inspect": {"top": {"camera": "top", "bundle": str(bundle)}},
        "output": {"gate": output},
    }


@pytest.fixture
def images(tiny_bundle: Path, tmp_path: Path) -> Path:
    calibrate(tiny_bundle, 0.5)
    pictures = tiny.frames(3)
    pictures[1] = tiny.spotted(pictures[1], 20, 20)
    return tiny.write_images(tmp_path / "images", pictures)


def test_a_station_whose_gate_cannot_be_driven_does_not_start(tiny_bundle: Path, images: Path) -> None:
    file = station_file(**tables(tiny_bundle, images, kind="gpio", chip="/dev/gpiochip99", line=3))
    with pytest.raises(OutputError, match=r"output\.gate: line 3 of /dev/gpiochip99"):
        run_station(file)


def test_a_station_drives_its_gate(tiny_bundle: Path, images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line, asked = RecordedLine(), []

    def opened(chip: str, number: int | str, *, active_low: bool, driven: bool) -> RecordedLine:
        asked.append((chip, number, active_low, driven))
        return line

    monkeypatch.setattr("edge_ad.station.running.KernelLine", opened)
    output = {"kind": "gpio", "chip": "/dev/gpiochip0", "line": "GATE", "active_low": True}
    run_station(station_file(**tables(tiny_bundle, images, **output, pulse_ms=5)))
    assert asked == [("/dev/gpiochip0", "GATE", True, True)]
    assert (line.levels[0], True in line.levels[1:-1], line.levels[-1], line.is_closed) == (False, True, True, True)


def test_a_station_writes_csv(tiny_bundle: Path, images: Path, tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    run_station(station_file(**tables(tiny_bundle, images, kind="csv", path=str(path))))
    assert [one[4] for one in rows(path)[1:]] == ["ACCEPT", "REJECT", "ACCEPT"]


def test_gpio_without_its_library_is_named(tiny_bundle: Path, images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    file = station_file(**tables(tiny_bundle, images, kind="gpio", chip="/dev/gpiochip0", line=3))
    with pytest.raises(MissingExtraError, match=r"pip install 'edge-ad\[gpio\]'"):
        check_station(file)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param('kind = "csv"', 'output.gate.path is missing: kind = "csv" needs it', id="no-path"),
        pytest.param('kind = "gpio"\nline = 3', 'output.gate.chip is missing: kind = "gpio" needs it', id="no-chip"),
        pytest.param('kind = "gpio"\nchip = "c"\nline = -1', "output.gate.line", id="negative"),
        pytest.param('kind = "csv"\npath = "x"\npulse_ms = 3', "gate.pulse_ms does not belong to kind", id="foreign"),
    ],
)
def test_what_does_not_go_together_is_named(tmp_path: Path, text: str, expected: str) -> None:
    file = tmp_path / "station.toml"
    file.write_text(
        '[station]\nname = "s"\n[camera.top]\nsource = "0"\n[inspect.top]\ncamera = "top"\nbundle = "b"\n'
        f"[output.gate]\n{text}\n"
    )
    with pytest.raises(InputError) as raised:
        read_station_file(file)
    assert expected in str(raised.value)


def test_a_state_of_the_station_does_not_hide_that_the_disk_is_full() -> None:
    output = RecordedParts()
    output.error = OutputError("the disk is full")
    queued = QueuedOutput("results", output, 10)
    queued.put(a_part(State.ACCEPT))
    queued.put(StationState.READY)
    queued.close()
    assert queued.state == "failing: the disk is full"
