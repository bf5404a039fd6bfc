"""Reads an audit trail: whether it is unbroken, and its records as lines of syslog (RFC 5424)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from edge_ad.controllers.security.audit import GENESIS, AuditRecord, line_of, trail_files
from edge_ad.errors import InputError

__all__ = ["TrailReport", "check_trail", "read_trail", "syslog_line"]

_ENTERPRISE = 32473
"""The number that RFC 5612 sets aside for examples: edge-ad has none of its own."""
_AUDIT_FACILITY, _WARNING, _NOTICE = 13, 4, 5
_NAMES = ("controller", "who", "role", "source", "target", "before", "after")


@dataclass(frozen=True, slots=True)
class TrailReport:
    """``first``, ``last``: numbers of records. ``sha256``: of the last one. ``problems``: what is wrong, in order."""

    records: int
    first: int
    last: int
    sha256: str
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Line:
    path: Path
    number: int
    data: bytes

    @property
    def where(self) -> str:
        return f"{self.path.name} line {self.number}"


def read_trail(path: Path) -> Iterator[AuditRecord]:
    """The records, the oldest first. Lines that are no records are left out: :func:`check_trail` names them.

    Raises:
        InputError: there is no trail.
    """
    for line in _lines(path):
        if (record := _record(line)) is not None:
            yield record


def check_trail(path: Path, expected: str | None = None) -> TrailReport:
    """Finds records that were changed, removed or put in. ``expected``: the hash of a record that has to be there.

    What somebody takes from the end, or makes wholly anew, shows only by a hash that was noted elsewhere.

    Raises:
        InputError: there is no trail.
    """
    check = _Check()
    for line in _lines(path):
        check.take(line)
    check.end(expected)
    return TrailReport(check.count, check.first, check.seq, check.previous, tuple(check.problems))


class _Check:
    def __init__(self) -> None:
        self.problems: list[str] = []
        self.count = self.first = self.seq = 0
        self.previous = GENESIS
        self._known: set[str] = set()
        self._removed_through = 0

    def take(self, line: _Line) -> None:
        record = _record(line)
        if record is None:
            self.problems.append(f"{line.where} (after record {self.seq}) is no record")
            self.previous = hashlib.sha256(line.data).hexdigest()
            return
        self._compare(line, record)
        if record.action == "rotated" and (record.before or "").isdecimal():
            self._removed_through = max(self._removed_through, int(record.before or 0))
        self.first = self.first or record.seq
        self.count += 1
        self.seq, self.previous = record.seq, record.sha256
        self._known.add(record.sha256)

    def _compare(self, line: _Line, record: AuditRecord) -> None:
        plain = line_of(msgspec.structs.replace(record, sha256=""))
        where = f"record {record.seq} ({line.where})"
        if hashlib.sha256(plain).hexdigest() != record.sha256 or line_of(record) != line.data:
            self.problems.append(f"{where} was changed")
        if self.count == 0:
            if record.seq == 1 and record.previous != GENESIS:
                self.problems.append(f"{where} is not the first one: those before it are missing")
            return
        if record.seq > self.seq + 1:
            gap = f"record {self.seq + 1}" if record.seq == self.seq + 2 else f"records {self.seq + 1}-{record.seq - 1}"
            self.problems.append(f"{gap} missing before {line.where}")
        elif record.seq <= self.seq:
            self.problems.append(f"{where} stands after record {self.seq}")
        elif record.previous != self.previous:
            self.problems.append(f"{where} does not follow record {self.seq}: one of them was changed or replaced")

    def end(self, expected: str | None) -> None:
        if self.first > 1 and self._removed_through != self.first - 1:
            self.problems.insert(0, f"records 1-{self.first - 1} are missing, and no rotation took them away")
        if expected is not None and expected not in self._known:
            self.problems.append(f"no record has the hash {expected}: the end was taken away, or all was made anew")


def syslog_line(record: AuditRecord) -> str:
    """A record as a message of RFC 5424, facility 13 (log audit)."""
    severity = _NOTICE if record.result in {"asked", "done"} else _WARNING
    values = msgspec.structs.asdict(record)
    known = {"seq": str(record.seq), **{name: values[name] for name in _NAMES if values[name] is not None}}
    data = " ".join(f'{name}="{_escaped(value)}"' for name, value in known.items())
    text = f"{record.action} {record.result}" + (f": {record.detail}" if record.detail else "")
    head = f"<{_AUDIT_FACILITY * 8 + severity}>1 {record.time} - edge-ad - {record.action}"
    return f'{head} [audit@{_ENTERPRISE} {data} sha256="{record.sha256}"] {text}'


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("]", "\\]")


def _lines(path: Path) -> Iterator[_Line]:
    """Whole lines; half a one at the very end is one that was never recorded."""
    files = [one for one in trail_files(path) if one.exists()]
    if not files:
        raise InputError(f"{path}: no such audit trail: expected the file of the table [audit] of a station file")
    try:
        for file in files:
            with file.open("rb") as lines:
                for number, line in enumerate(lines, 1):
                    if line.endswith(b"\n"):
                        yield _Line(file, number, line[:-1])
    except OSError as error:
        raise InputError(f"{path}: the audit trail cannot be read: {error.strerror}") from error


def _record(line: _Line) -> AuditRecord | None:
    try:
        return msgspec.json.decode(line.data, type=AuditRecord)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
