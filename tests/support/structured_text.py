"""The structured text of the notes: translated to Siemens SCL, and run cycle by cycle as Python."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge_ad.controllers.layout import INPUTS, OUTPUTS, SignalLayout

__all__ = ["FunctionBlock", "Words", "scl_source", "twincat_types"]

ST = Path(__file__).parents[2] / "firmware_notes/controllers/st"
TWINCAT = {"uint16": "UINT", "uint32": "UDINT", "float32": "REAL", "text": "ARRAY [0..31] OF BYTE", "bits": "WORD"}
SIEMENS = {"uint16": "UInt", "uint32": "UDInt", "float32": "Real", "text": "Array[0..31] of Byte", "bits": "Word"}
SCL_NAMES = {"BOOL": "Bool", "UINT": "UInt", "UDINT": "UDInt", "INT": "Int", "TIME": "Time"}


def members(layout: SignalLayout) -> list[tuple[str, str, str]]:
    """Name, kind and comment of what a structure of this layout holds."""
    found = []
    for one in layout:
        if one.kind != "bit":
            found.append((pascal(one.name), one.kind, one.meaning))
        elif one.bit == 0:
            bits = ", ".join(f"{field.bit} {field.name}" for field in layout if field.kind == "bit")
            found.append(("Bits", "bits", bits))
    return [(name, kind, meaning.replace("`", "")) for name, kind, meaning in found]


def pascal(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def twincat_types() -> str:
    """The two structures for TwinCAT 3; without gaps, so that words can be copied onto them."""
    lines = ["// Written by a test from the layout of the signals; do not change."]
    for name, layout in (("ST_EdgeAdOutputs", OUTPUTS), ("ST_EdgeAdInputs", INPUTS)):
        lines += ["{attribute 'pack_mode' := '1'}", f"TYPE {name} :", "STRUCT"]
        lines += [f"    {member} : {TWINCAT[kind]}; // {meaning}" for member, kind, meaning in members(layout)]
        lines += ["END_STRUCT", "END_TYPE", ""]
    return "\n".join(lines)


def scl_source() -> str:
    """The same structures and the same function block as an external source of TIA Portal."""
    lines = ["// Written by a test from FB_EdgeAd.st and the layout of the signals; do not change."]
    for name, layout in (("UDT_EdgeAdOutputs", OUTPUTS), ("UDT_EdgeAdInputs", INPUTS)):
        lines += [f'TYPE "{name}"', "VERSION : 0.1", "    STRUCT"]
        lines += [f"        {member} : {SIEMENS[kind]}; // {meaning}" for member, kind, meaning in members(layout)]
        lines += ["    END_STRUCT;", "END_TYPE", ""]
    return "\n".join(lines) + _as_scl((ST / "FB_EdgeAd.st").read_text(encoding="utf-8"))


def _as_scl(text: str) -> str:
    head, body = text[text.index("FUNCTION_BLOCK") :].split("\n\n", 1)
    names = re.findall(r"^    (\w+) :", head, re.MULTILINE)
    head = head.replace("FUNCTION_BLOCK FB_EdgeAd", 'FUNCTION_BLOCK "FB_EdgeAd"\nVERSION : 0.1')
    head = re.sub(r": ST_(\w+);", r': "UDT_\1";', head)
    head = re.sub(r"(\w+Timer) : TON;", r"\1 {InstructionName := 'TON_TIME'; LibVersion := '1.0'} : TON_TIME;", head)
    for name, scl in SCL_NAMES.items():
        head = re.sub(rf": {name}\b", f": {scl}", head)
    lines = []
    for line in body.splitlines():
        code, slashes, comment = line.partition("//")
        code = re.sub(rf"(?<![.\w])({'|'.join(names)})\b(?! :=[^;]*\))", r"#\1", code)
        code = re.sub(r"\.Bits\.(\d+)", r".Bits.%X\1", code)
        code = re.sub(r"END_(IF|CASE)\b", r"END_\1;", code)
        lines.append(f"{code}{slashes}{comment}")
    return f"{head}\nBEGIN\n" + "\n".join(lines) + "\n"


class Words:
    """A structure as the program sees it: its members, and the bits of its second word."""

    def __init__(self, layout: SignalLayout) -> None:
        self.bits = [name for name, _ in layout.bits]
        for name in self.bits:
            setattr(self, name, False)
        for one in layout:
            if one.kind != "bit":
                setattr(self, pascal(one.name), "" if one.kind == "text" else 0)

    def bit(self, number: int) -> bool:
        return bool(getattr(self, self.bits[number]))

    def set_bit(self, number: int, value: bool) -> None:
        setattr(self, self.bits[number], value)


class _Timer:
    """IEC 61131-3 TON."""

    def __init__(self) -> None:
        self.Q = False
        self._since: int | None = None

    def __call__(self, now_ms: int, IN: bool, PT: int) -> None:  # noqa: N803  the names of the standard
        if not IN:
            self._since, self.Q = None, False
            return
        self._since = now_ms if self._since is None else self._since
        self.Q = now_ms - self._since >= PT


class FunctionBlock:
    """The function block of the notes; ``source``: its text, TwinCAT's or Siemens's. ``v``: its variables by name."""

    def __init__(self, source: str) -> None:
        text = re.sub(r"#(?=[A-Za-z])", "", source[source.index("FUNCTION_BLOCK") :])
        text = re.sub(r"\.Bits\.%X(\d+)", r".Bits.\1", text).replace("\nBEGIN\n", "\n\n").replace('"', "")
        head, body = text.split("\n\n", 1)
        self.v: dict[str, Any] = {
            name: _initial(kind) for name, kind in re.findall(r"^    (\w+)[^:\n]*(?:\{.*\})? : (.*?);", head, re.M)
        }
        self._run: Callable[[dict[str, Any], int], None] = _compiled(body)

    def cycle(self, now_ms: int) -> None:
        """Runs it once."""
        self._run(self.v, now_ms)
        self.v["Controller"].Heartbeat %= 65_536


def _initial(kind: str) -> Any:
    kind, _, value = kind.partition(" := ")
    if value:
        return _time(value)
    if kind in {"TON", "TON_TIME"}:
        return _Timer()
    if kind.endswith("Outputs"):
        return Words(OUTPUTS)
    if kind.endswith("Inputs"):
        return Words(INPUTS)
    return False if kind.upper() == "BOOL" else 0


def _time(text: str) -> int:
    seconds = re.fullmatch(r"T#(\d+)S", text)
    assert seconds is not None
    return 1_000 * int(seconds[1])


def _compiled(body: str) -> Callable[[dict[str, Any], int], None]:
    """Statement by statement into Python; what is not understood is an error."""
    lines, depth, cases = ["def run(v, now_ms):"], 1, []
    for raw in body.splitlines():
        line = raw.partition("//")[0].strip()
        if line in {"", "END_FUNCTION_BLOCK"}:
            continue
        if case := re.fullmatch(r"CASE (\w+) OF", line):
            lines.append("    " * depth + f"case = {_expression(case[1])}")
            cases.append(depth)
        elif label := re.fullmatch(r"(\d+):", line):
            depth = cases[-1]
            lines.append("    " * depth + f"if case == {label[1]}:")
            depth += 1
        elif re.fullmatch(r"END_CASE;?", line):
            depth = cases.pop()
        elif re.fullmatch(r"END_IF;?", line):
            depth -= 1
        elif branch := re.fullmatch(r"(IF|ELSIF) (.*) THEN", line):
            depth -= branch[1] == "ELSIF"
            lines.append("    " * depth + f"{'if' if branch[1] == 'IF' else 'elif'} {_expression(branch[2])}:")
            depth += 1
        else:
            lines.append("    " * depth + _statement(line))
    names: dict[str, Any] = {}
    exec("\n".join(lines), names)  # noqa: S102
    run: Callable[[dict[str, Any], int], None] = names["run"]
    return run


def _statement(line: str) -> str:
    if call := re.fullmatch(r"(\w+)\(IN := (.*), PT := (.*)\);", line):
        return f"v['{call[1]}'](now_ms, {_expression(call[2])}, {_expression(call[3])})"
    if bit := re.fullmatch(r"(\w+)\.Bits\.(\d+) := (.*);", line):
        return f"v['{bit[1]}'].set_bit({bit[2]}, {_expression(bit[3])})"
    assigned = re.fullmatch(r"(\w+)(\.\w+)? := (.*);", line)
    assert assigned is not None, line
    return f"v['{assigned[1]}']{assigned[2] or ''} = {_expression(assigned[3])}"


_WORDS = {"AND": "and", "OR": "or", "NOT": "not", "TRUE": "True", "FALSE": "False", "=": "==", "<>": "!="}


def _expression(text: str) -> str:
    text = re.sub(r"T#\d+S", lambda found: str(_time(found[0])), text)
    text = re.sub(r"(\w+)\.Bits\.(\d+)", r"\1.bit(\2)", text)
    text = re.sub(r"(?<![\w.])([A-Z]\w*[a-z]\w*)", r"v['\1']", text)
    return " ".join(_WORDS.get(word, word) for word in text.split())
