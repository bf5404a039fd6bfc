"""The digital input: each pulse is one part with one result, and a line that fails is a fault."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gpiod
import pytest
from support import tiny
from support.station_files import MS, a_frame, at, of, opened_core, results, score_all, state_of, station_file
from support.station_trial import WAIT_S, eventually
from support.tiny_calibration import calibrate

from edge_ad.errors import InputError, SourceError
from edge_ad.link import StationState
from edge_ad.station.actions import TriggerCamera
from edge_ad.station.digital_input import InputSettings, KernelInput, Pulse, RecordedInput, TriggerInput
from edge_ad.station.loop import StationLoop
from edge_ad.station.parts import InspectedPart
from edge_ad.station.running import run_station
from edge_ad.station.station_file import read_station_file
from edge_ad.verdict import State

BY_INPUT: dict[str, Any] = {
    "station": {"name": "trial", "trigger": "input", "deadline_ms": 60_000, "max_open_parts": 2},
    "input": {"chip": "/dev/gpiochip99", "line": 3},
    "camera": {"top": {"source": "0", "trigger": "software"}},
}


def test_a_pulse_takes_a_picture_and_its_time_is_that_of_the_part() -> None:
    core = opened_core(station_file(**BY_INPUT))
    core.pulse(at(5))
    assert of(core.actions(), TriggerCamera) == [TriggerCamera("top", 1)]
    core.frame("top", 1, a_frame(7 * MS, trigger=1), at(8))
    score_all(core, core.actions(), at(9))
    (part,) = results(core.actions())
    assert (part.part_id, part.state, part.triggered_at, part.latency_ms) == ("1", State.ACCEPT, 0.005, 4.0)


def test_a_pulse_that_cannot_be_inspected_or_was_lost_is_an_invalid_part() -> None:
    core = opened_core(station_file(**BY_INPUT))
    for _ in range(3):
        core.pulse(at(1))
    core.pulse(at(2), lost_before=2)
    found = results(core.actions())
    assert [(one.state, one.reason) for one in found] == [(State.INVALID, "dropped")] * 4
    assert [one.detail for one in found] == [
        "2 parts have no result yet",
        *["its pulse at the input was lost"] * 2,
        "2 parts have no result yet",
    ]
    assert core.counters.refused == {"too_many_open": 2}


def test_pulses_while_the_station_takes_no_parts_are_counted_alone() -> None:
    core = opened_core(station_file(**BY_INPUT))
    core.input_status("gone")
    core.pulse(at(1), lost_before=5)
    assert results(core.actions()) == []
    assert core.counters.refused == {"not_ready": 1}


def test_a_line_that_fails_is_a_fault_until_it_is_read_again() -> None:
    core = opened_core(station_file(**BY_INPUT))
    core.input_status("gone")
    assert state_of(core) is StationState.FAULT
    assert core.condition.cause == "the digital input failed: gone"
    core.input_status(None)
    assert state_of(core) is StationState.READY


def test_a_line_is_opened_again_once_a_second() -> None:
    lines = [RecordedInput(), RecordedInput()]
    answers: list[RecordedInput | SourceError] = [lines[0], SourceError("busy"), lines[1]]

    def opens() -> RecordedInput:
        answer = answers.pop(0)
        if isinstance(answer, SourceError):
            raise answer
        return answer

    trigger = TriggerInput(opens)
    lines[0].error = SourceError("unplugged")
    lines[0].pulse()
    assert (trigger.read(), trigger.error, trigger.fileno(), lines[0].is_closed) == ([], "unplugged", None, True)
    assert trigger.tick(5) == 5 + 1000 * MS
    assert error_of(trigger) == "busy"
    assert trigger.tick(6) == 5 + 1000 * MS
    assert (trigger.tick(5 + 1000 * MS), error_of(trigger)) == (None, None)
    lines[1].pulse(7, lost_before=1)
    assert trigger.read() == [Pulse(7, 1)]
    trigger.close()
    assert lines[1].is_closed


@pytest.fixture
def images(tiny_bundle: Path, tmp_path: Path) -> Path:
    calibrate(tiny_bundle, 0.5)
    pictures = tiny.frames(4)
    pictures[2] = tiny.spotted(pictures[2], 20, 20)
    return tiny.write_images(tmp_path / "images", pictures)


def test_a_station_inspects_a_part_for_each_pulse_and_recovers_with_its_line(tiny_bundle: Path, images: Path) -> None:
    tables = BY_INPUT | {
        "camera": {"top": {"source": str(images), "trigger": "software", "loop": True, "stale_after_s": 60.0}},
        "inspect": {"top": {"camera": "top", "bundle": str(tiny_bundle)}},
    }
    lines, told = [RecordedInput()], list[InspectedPart]()

    def note(what: object) -> None:
        told.extend([what] if isinstance(what, InspectedPart) else [])

    loop = StationLoop(station_file(**tables), trigger=TriggerInput(lambda: lines[-1]), told=note)
    thread = threading.Thread(target=loop.run)
    thread.start()
    try:
        eventually(is_ready(loop))
        for number in range(4):
            lines[-1].pulse()
            eventually(has_told(told, number + 1))
        lines[0].error = SourceError("unplugged")
        lines.append(RecordedInput())
        lines[0].pulse()
        eventually(lambda: loop.core.counters.faults == 1)
        eventually(is_ready(loop))
        lines[-1].pulse()
        eventually(lambda: len(told) == 5)
    finally:
        loop.stop()
        thread.join(WAIT_S)
        lines[-1].close()
    states = [State.ACCEPT, State.ACCEPT, State.REJECT, State.ACCEPT, State.ACCEPT]
    assert [(one.part_id, one.state) for one in told] == [(str(n + 1), state) for n, state in enumerate(states)]


def error_of(trigger: TriggerInput) -> str | None:
    """As a value that type checkers do not narrow."""
    return trigger.error


def has_told(told: list[InspectedPart], count: int) -> Callable[[], bool]:
    return lambda: len(told) == count


def is_ready(loop: StationLoop) -> Callable[[], bool]:
    return lambda: loop.core.condition.state is StationState.READY


class Request:
    """What gpiod gives for a line."""

    def __init__(self, events: list[gpiod.EdgeEvent]) -> None:
        self.fd = os.eventfd(0)
        self.events = events
        self.is_released = False

    def read_edge_events(self) -> list[gpiod.EdgeEvent]:
        if not self.events:
            raise OSError(19, "No such device")
        taken, self.events = self.events, []
        return taken

    def release(self) -> None:
        self.is_released = True
        os.close(self.fd)


def test_the_kernel_is_asked_for_debounced_edges_and_its_gaps_are_lost_pulses(monkeypatch: pytest.MonkeyPatch) -> None:
    rising = gpiod.EdgeEvent.Type.RISING_EDGE.value
    request = Request([gpiod.EdgeEvent(rising, 100, 3, 1, 1), gpiod.EdgeEvent(rising, 900, 3, 4, 4)])
    asked: list[Any] = []

    def request_lines(chip: str, *, consumer: str, config: dict[int, gpiod.LineSettings]) -> Request:
        asked.extend([chip, consumer, *config.items()])
        return request

    monkeypatch.setattr(gpiod, "request_lines", request_lines)
    line = KernelInput(InputSettings(chip="/dev/gpiochip0", line=3, edge="falling", debounce_ms=2.5, bias="pull-up"))
    chip, consumer, (number, settings) = asked
    assert (chip, consumer, number) == ("/dev/gpiochip0", "edge-ad", 3)
    assert (settings.direction, settings.edge_detection) == (gpiod.line.Direction.INPUT, gpiod.line.Edge.FALLING)
    assert (settings.bias, settings.active_low) == (gpiod.line.Bias.PULL_UP, False)
    assert settings.debounce_period.total_seconds() == 0.0025
    assert settings.event_clock is gpiod.line.Clock.MONOTONIC
    assert line.fileno() == request.fd
    assert line.read() == [Pulse(100), Pulse(900, 2)]
    with pytest.raises(SourceError, match="line 3 of /dev/gpiochip0 cannot be read: No such device"):
        line.read()
    line.close()
    assert request.is_released


def test_a_station_whose_input_cannot_be_read_does_not_start(tiny_bundle: Path) -> None:
    tables = BY_INPUT | {"inspect": {"top": {"camera": "top", "bundle": str(tiny_bundle)}}}
    with pytest.raises(SourceError, match="input: line 3 of /dev/gpiochip99 cannot be read: No such file or directory"):
        run_station(station_file(**tables))


@pytest.mark.parametrize(
    ("trigger", "table", "expected"),
    [
        ("input", "", r"a table \[input\] and trigger = \"input\" belong together"),
        ("link", '[link]\n[input]\nchip = "c"\nline = 1', r"a table \[input\] and trigger = \"input\" belong together"),
        ("input", '[input]\nchip = "c"\nline = 1\nedge = "both"', "input.edge"),
        ("input", '[input]\nchip = "c"\nline = 1\ndebounce_ms = -1', "input.debounce_ms"),
        ("input", "[input]\nline = 1", "input.chip"),
    ],
    ids=["no-table", "no-trigger", "edge", "debounce", "chip"],
)
def test_what_is_wrong_with_the_table_is_named(tmp_path: Path, trigger: str, table: str, expected: str) -> None:
    file = tmp_path / "station.toml"
    file.write_text(
        f'[station]\nname = "s"\ntrigger = "{trigger}"\n[camera.top]\nsource = "0"\n'
        f'[inspect.top]\ncamera = "top"\nbundle = "b"\n{table}\n'
    )
    with pytest.raises(InputError, match=expected):
        read_station_file(file)
