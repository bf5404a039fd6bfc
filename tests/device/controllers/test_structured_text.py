"""The function block of the notes, run cycle by cycle against the real signals: no part passes by mistake."""

from __future__ import annotations

import os

import msgspec
import pytest
from support.structured_text import ST, FunctionBlock, Words, pascal, scl_source, twincat_types

from edge_ad.controllers import Inputs, Outputs, SignalSettings
from edge_ad.controllers.layout import INPUTS, OUTPUTS
from edge_ad.controllers.signalling import AskPart, Signalling
from edge_ad.controllers.view import StationView
from edge_ad.link import ExposureComplete, PartResult, StationState
from edge_ad.verdict import State

MS = 1_000_000
CYCLE_MS = 10
SOURCES = {"twincat": lambda: (ST / "FB_EdgeAd.st").read_text(encoding="utf-8"), "siemens": scl_source}


@pytest.mark.parametrize(
    ("name", "made"), [("ST_EdgeAd.st", twincat_types), ("FB_EdgeAd.scl", scl_source)], ids=["twincat", "siemens"]
)
def test_generated_files_are_those_of_the_code(name: str, made: object) -> None:
    text = made() if callable(made) else ""
    if os.environ.get("EDGE_AD_WRITE_TABLES") == "1":
        (ST / name).write_text(text, encoding="utf-8")
    assert (ST / name).read_text(encoding="utf-8") == text


class Line:
    """The function block at one end of the signals, a station that does as it is told at the other."""

    def __init__(self, source: str, **settings: object) -> None:
        self.block = FunctionBlock(SOURCES[source]())
        self.view = StationView(is_connected=True, state=StationState.READY, recipes=("one",), recipe="one")
        self.signalling = Signalling(SignalSettings(protocol="test", **settings), self.view, 0)  # type: ignore[arg-type]
        self.ms = 0
        self.asked: list[AskPart] = []
        self.hangs = False

    def cycle(self, count: int = 1) -> None:
        for _ in range(count):
            self.ms += CYCLE_MS
            if not self.hangs:
                self.signalling.tick(self.ms * MS)
                self._show(self.signalling.outputs)
            self.block.cycle(self.ms)
            if not self.hangs:
                self.asked += [one for one in self._read() if isinstance(one, AskPart)]

    def start(self, number: int) -> None:
        self.block.v["PartNumber"] = number
        self.block.v["Start"] = True
        self.cycle(2)

    def finish(self) -> None:
        """Until the block has decided, then it is told to be ready for the next part."""
        for _ in range(400):
            if self.block.v["Done"]:
                break
            self.cycle()
        assert self.block.v["Done"]
        self.block.v["Start"] = False
        self.cycle(2)

    def accept(self) -> int:
        part = self.asked.pop(0).part
        assert part.number is not None
        self.signalling.part_accepted(part, part.number, self.ms * MS)
        self.signalling.hear(ExposureComplete(trigger=part.number), self.ms * MS)
        return part.number

    def judge(self, number: int, state: State = State.ACCEPT) -> None:
        self.signalling.hear(PartResult(trigger=number, state=state, part_id=str(number), latency_ms=1), self.ms * MS)

    @property
    def decided(self) -> tuple[bool, int]:
        return self.block.v["Pass"], self.block.v["Code"]

    def _show(self, outputs: Outputs) -> None:
        station: Words = self.block.v["Station"]
        station.Version = 1  # type: ignore[attr-defined]
        values = OUTPUTS.unpack(OUTPUTS.pack(outputs))
        for name, value in values.items():
            setattr(station, name if name in station.bits else pascal(name), value)

    def _read(self) -> list[object]:
        controller = self.block.v["Controller"]
        bits = {name: getattr(controller, name) for name in controller.bits}
        rest = {name: getattr(controller, pascal(name)) for name, _, _ in INPUTS.rest}
        inputs = msgspec.convert(bits | rest, Inputs)
        return list(self.signalling.read(inputs, self.ms * MS))


@pytest.fixture(params=list(SOURCES))
def line(request: pytest.FixtureRequest) -> Line:
    return Line(request.param)


@pytest.mark.parametrize(
    ("state", "decided"), [(State.ACCEPT, (True, 1)), (State.REJECT, (False, 2)), (State.INVALID, (False, 100))]
)
def test_results(line: Line, state: State, decided: tuple[bool, int]) -> None:
    for number in (1, 2, 3):
        line.start(number)
        assert line.decided == (False, 0)
        line.accept()
        line.cycle(3)
        assert line.block.v["MayMove"]
        assert not line.block.v["Done"]
        line.judge(number, state)
        line.finish()
        assert line.decided == decided


def test_a_result_that_is_there_before_the_answer_was_read(line: Line) -> None:
    line.start(1)
    line.judge(line.accept())
    line.finish()
    assert line.decided == (True, 1)


def test_a_refused_part(line: Line) -> None:
    for _ in range(2):
        line.start(7)
        if line.asked:
            line.judge(line.accept())
        line.finish()
    assert line.decided == (False, 1001)
    assert line.block.v["Refusal"] == 4


def test_a_station_that_is_not_ready(line: Line) -> None:
    line.view.state = StationState.STARTING
    line.signalling.changed(0)
    line.start(1)
    line.finish()
    assert line.decided == (False, 1000)
    assert not line.asked


def test_no_answer(line: Line) -> None:
    line.start(1)
    line.finish()
    assert line.decided == (False, 1002)
    line.judge(line.accept())  # the station had taken it all the same
    line.cycle(5)
    assert line.decided == (False, 1002)
    line.start(2)
    line.judge(line.accept())
    line.finish()
    assert line.decided == (True, 1)


@pytest.mark.parametrize("source", list(SOURCES))
def test_a_result_that_comes_too_late_is_not_that_of_the_next_part(source: str) -> None:
    line = Line(source, window_ms=60_000)
    line.start(1)
    first = line.accept()
    line.finish()
    assert line.decided == (False, 1003)
    line.start(2)
    second = line.accept()
    line.judge(first)
    line.cycle(5)
    assert not line.block.v["Done"]
    line.judge(second, State.REJECT)
    line.finish()
    assert line.decided == (False, 2)


def test_a_station_that_hangs(line: Line) -> None:
    line.start(1)
    line.accept()
    line.cycle(3)
    line.hangs = True
    line.finish()
    assert line.decided == (False, 1003)
    line.cycle(300)
    assert not line.block.v["Alive"]
    line.start(2)
    line.finish()
    assert line.decided == (False, 1000)


def test_a_fault_in_the_middle_of_a_part(line: Line) -> None:
    line.start(1)
    line.judge(line.accept())
    line.view.state, line.view.causes = StationState.FAULT, ("camera top",)
    line.signalling.changed(line.ms * MS)
    line.finish()
    assert line.decided[0] is False


def test_a_station_that_is_lost_in_the_middle_of_a_part(line: Line) -> None:
    line.start(1)
    line.accept()
    line.cycle(3)
    line.view.lost()
    line.signalling.changed(line.ms * MS)
    line.finish()
    assert line.decided == (False, 151)


def test_an_adapter_that_was_started_anew(line: Line) -> None:
    """``result_valid`` has its first value again, which the block may take for a result: its number is another."""
    line.start(1)
    line.judge(line.accept())
    line.finish()
    assert line.decided == (True, 1)
    line.start(2)
    line.accept()
    line.cycle(3)
    line.signalling = Signalling(SignalSettings(protocol="test"), line.view, line.ms * MS)
    line.finish()
    assert line.decided == (False, 1003)
