"""What the notes on controllers show of the code: maps of signals, codes, and the handshake as diagrams."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Any

import msgspec

from edge_ad.controllers import FaultCode, Inputs, RefusalCode, ResultCode, SignalSettings
from edge_ad.controllers.handshake import TABLES, draw_handshake
from edge_ad.controllers.layout import INPUTS, OUTPUTS, Field, SignalLayout
from edge_ad.controllers.modbus.server import FIRST_INPUT, FIRST_OUTPUT
from edge_ad.controllers.opcua.plain import VARIABLES
from edge_ad.controllers.opcua.states import draw_states
from edge_ad.controllers.signalling import AskPart, Signalling
from edge_ad.controllers.view import StationView
from edge_ad.link import ExposureComplete, PartResult, StationState
from edge_ad.verdict import State

__all__ = ["PARTS", "filled"]

MS = 1_000_000


def filled(text: str) -> str:
    """A page with every part between ``<!-- NAME -->`` and ``<!-- end -->`` written anew."""
    for name, make in PARTS.items():
        begin, end = f"<!-- {name} -->\n", "<!-- end -->"
        head, found, rest = text.partition(begin)
        if found:
            text = f"{head}{begin}{make()}\n{end}{rest.partition(end)[2]}"
    return text


def registers(layout: SignalLayout, first: int) -> str:
    lines = ["| register | bit | coil | signal | type | meaning |", "|---|---|---|---|---|---|"]
    for one in layout:
        at, bit, coil = str(first + one.word), "", ""
        if one.words > 1:
            at += f"-{first + one.word + one.words - 1}"
        if one.bit is not None:
            bit, coil = str(one.bit), str(16 * (first + one.word) + one.bit)
        lines.append(f"| {at} | {bit} | {coil} | `{one.name}` | {_kind(one)} | {one.meaning} |")
    return "\n".join(lines)


def data_block(layout: SignalLayout, first: int) -> str:
    lines = ["| address | signal | type | meaning |", "|---|---|---|---|"]
    kinds = {"bit": "Bool", "uint16": "UInt", "uint32": "UDInt", "float32": "Real", "text": "Array[0..31] of Byte"}
    sizes = {"uint16": "W", "uint32": "D", "float32": "D", "text": "B"}
    for one in layout:
        byte = first + 2 * one.word
        # The lower half of a word is its second byte.
        at = f"DB{sizes[one.kind]}{byte}" if one.bit is None else f"DBX{byte + 1 - one.bit // 8}.{one.bit % 8}"
        lines.append(f"| `{at}` | `{one.name}` | {kinds[one.kind]} | {one.meaning} |")
    return "\n".join(lines)


def tag(layout: SignalLayout, name: str) -> str:
    lines = ["| element | signal | copy to | meaning |", "|---|---|---|---|"]
    kinds = {"bit": "a bit of the INT", "uint16": "INT", "uint32": "DINT", "float32": "REAL", "text": "SINT[32]"}
    for one in layout:
        at = f"{name}[{one.word}]" + ("" if one.bit is None else f".{one.bit}")
        lines.append(f"| `{at}` | `{one.name}` | {kinds[one.kind]} | {one.meaning} |")
    return "\n".join(lines)


def codes(kind: type[IntEnum]) -> str:
    rows = "\n".join(f"| {one.value} | `{one.name}` |" for one in kind)
    return f"| number | name |\n|---|---|\n{rows}"


def states() -> str:
    return "\n\n".join(f"```mermaid\n{draw_handshake(name)}\n```" for name in TABLES)


def _kind(one: Field) -> str:
    return {"text": "32 bytes of UTF-8"}.get(one.kind, one.kind)


# --- the handshake in time

_ROWS = (
    ("trigger", True),
    ("trigger_ack", False),
    ("trigger_error", False),
    ("ready", False),
    ("busy", False),
    ("exposure_complete", False),
    ("result_valid", False),
    ("ok", False),
    ("ng", False),
    ("error", False),
    ("fault", False),
    ("result_ack", True),
    ("fault_reset", True),
)


class _Recorder:
    """Real signals, recorded after each step of a story."""

    def __init__(self, **settings: Any) -> None:
        self.view = StationView(is_connected=True, state=StationState.READY, recipes=("one",), recipe="one")
        self.signalling = Signalling(SignalSettings(protocol="drawn", **settings), self.view, 0)
        self.inputs = Inputs()
        self.now_ns = 0
        self.asked: list[AskPart] = []
        self.steps: list[tuple[str, dict[str, bool]]] = []
        self.step("")

    def step(self, what: str) -> None:
        shown = {name: getattr(self.inputs if mine else self.signalling.outputs, name) for name, mine in _ROWS}
        self.steps.append((what, shown))

    def write(self, what: str, **signals: Any) -> None:
        self.inputs = msgspec.structs.replace(self.inputs, **signals)
        self.asked += [one for one in self.signalling.read(self.inputs, self.now_ns) if isinstance(one, AskPart)]
        self.step(what)

    def accept(self) -> None:
        part = self.asked.pop().part
        self.signalling.part_accepted(part, part.number or 0, self.now_ns)
        self.step("the station accepts the part")

    def expose(self, number: int) -> None:
        self.signalling.hear(ExposureComplete(trigger=number), self.now_ns)
        self.step("the last picture is taken: the part may move")

    def judge(self, number: int, state: State) -> None:
        self.signalling.hear(PartResult(trigger=number, state=state, part_id="", latency_ms=1), self.now_ns)
        self.step(f"the result of part {number} comes: {state.value}")

    def wait(self, ms: int, what: str) -> None:
        self.now_ns += ms * MS
        self.signalling.tick(self.now_ns)
        self.step(what)

    def drawn(self) -> str:
        columns = range(1, len(self.steps))
        lines = [" " * 18 + "".join(f"{number:>4}" for number in columns)]
        for name, _ in _ROWS:
            levels = [shown[name] for _, shown in self.steps]
            if any(levels) or name in {"trigger", "trigger_ack", "ready", "result_valid", "ok", "ng", "result_ack"}:
                lines.append(f"{name:<18}" + "".join(_edge(levels[at - 1], levels[at]) for at in columns))
        story = "\n".join(f"{number}. {what}" for number, (what, _) in enumerate(self.steps[1:], 1))
        return "```text\n" + "\n".join(line.rstrip() for line in lines) + f"\n```\n\n{story}"


def _edge(before: bool, after: bool) -> str:
    return {
        (False, False): "____",
        (False, True): "__/‾",
        (True, True): "‾‾‾‾",
        (True, False): "‾‾\\_",
    }[before, after]


def two_parts() -> str:
    one = _Recorder()
    for number, state in ((1, State.ACCEPT), (2, State.REJECT)):
        one.write(f"the controller writes part number {number} and raises trigger", trigger=True, part_number=number)
        one.accept()
        one.write("the controller has seen trigger_ack and lowers trigger", trigger=False)
        one.expose(number)
        one.judge(number, state)
        valid = one.signalling.outputs.result_valid
        one.write("the controller has read the result and sets result_ack to result_valid", result_ack=valid)
    return one.drawn()


def refused_part() -> str:
    one = _Recorder()
    one.write("the controller raises trigger for part 1", trigger=True, part_number=1)
    one.accept()
    one.write("the controller lowers trigger", trigger=False)
    one.write("trigger rises for part 2 before part 1 is exposed: 6 TOO_EARLY", trigger=True, part_number=2)
    one.write("the controller lowers trigger, which clears trigger_error", trigger=False)
    one.expose(1)
    one.judge(1, State.ACCEPT)
    return one.drawn()


def late_results() -> str:
    one = _Recorder(window_ms=100, acknowledge_ms=60_000)
    for number in (1, 2, 3):
        one.write(f"trigger for part {number}", trigger=True, part_number=number)
        one.accept()
        one.write("the controller lowers trigger", trigger=False)
        one.wait(100, "no result within window_ms: 150 NO_RESULT, which means reject")
        one.write("result_ack follows", result_ack=one.signalling.outputs.result_valid)
    one.write("three in a row are a fault, 20 LATE_RESULTS; somebody raises fault_reset", fault_reset=True)
    one.write("fault_reset falls", fault_reset=False)
    return one.drawn()


def opcua_variables() -> str:
    lines = ["| node | type | meaning |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| `EdgeAd.{one.name}` | {one.kind} | {one.meaning} |" for one in VARIABLES)])


PARTS: dict[str, Callable[[], str]] = {
    "registers of the outputs": lambda: registers(OUTPUTS, FIRST_OUTPUT),
    "registers of the inputs": lambda: registers(INPUTS, FIRST_INPUT),
    "bytes of the outputs": lambda: data_block(OUTPUTS, 0),
    "bytes of the inputs": lambda: data_block(INPUTS, 100),
    "elements of the outputs": lambda: tag(OUTPUTS, "EdgeAdOutputs"),
    "elements of the inputs": lambda: tag(INPUTS, "EdgeAdInputs"),
    "result codes": lambda: codes(ResultCode),
    "refusal codes": lambda: codes(RefusalCode),
    "fault codes": lambda: codes(FaultCode),
    "states": states,
    "two parts": two_parts,
    "a refused part": refused_part,
    "late results": late_results,
    "opcua variables": opcua_variables,
    "opcua states": lambda: f"```mermaid\n{draw_states()}\n```",
}
"""By the name in the page: what stands there."""
