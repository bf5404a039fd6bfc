"""The audit trail: who asked for which change, when and from where. Lines are only ever appended.

A JSON object a line. Each has the SHA-256 of the one before, so that a change or a gap shows (:mod:`audit_check`).
Several processes may append to one trail; what was recorded has reached the disk.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from edge_ad.errors import OutputError
from edge_ad.files import alone, append_synced, output_error, sync_folder

if TYPE_CHECKING:
    from edge_ad.station.station_log import AuditSettings

__all__ = ["GENESIS", "AuditRecord", "AuditTrail", "Result", "line_of", "trail_files"]

Result = Literal["asked", "done", "refused", "failed"]

GENESIS = "0" * 64
"""What stands as the hash before the first record."""
_TAIL_BYTES = 1 << 16


class AuditRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of the trail.

    ``seq``: counts up by one. ``time``: UTC. ``source``: the address it was asked from. ``before``, ``after``: the
    value that is changed. ``previous``: the ``sha256`` of the record before; ``sha256``: of this line without it.
    """

    seq: int
    time: str
    controller: str
    action: str
    result: Result
    who: str | None = None
    role: str | None = None
    source: str | None = None
    target: str | None = None
    before: str | None = None
    after: str | None = None
    detail: str | None = None
    previous: str = GENESIS
    sha256: str = ""


class AuditTrail:
    """Appends to a trail. ``controller``: in whose name. ``clock``: seconds since the epoch."""

    def __init__(self, settings: AuditSettings, controller: str, clock: Callable[[], float] = time.time) -> None:
        self.path = Path(settings.file)
        self._settings = settings
        self._controller = controller
        self._clock = clock

    def record(self, action: str, result: Result, **known: str | None) -> AuditRecord:
        """Appends one record; ``known``: its other fields. Waits for the disk.

        Raises:
            OutputError: it cannot be written. Then what was to be recorded must not be done.
        """
        try:
            lock = self.path.with_name(f".{self.path.name}.lock")
            with alone(lock, f"{self.path}: another process holds the audit trail"):
                return self._append(action, result, known)
        except OSError as error:
            if isinstance(error, OutputError):
                raise
            raise output_error(self.path, error) from error

    def _append(self, action: str, result: Result, known: dict[str, str | None]) -> AuditRecord:
        last, torn = _end_of(self.path)
        if last is None:
            last = next((_end_of(path)[0] for path in reversed(trail_files(self.path)[:-1])), None)
        seq, previous = (0, GENESIS) if last is None else (last.seq, last.sha256)
        if torn:
            seq, previous = self._mended(torn, seq, previous)
        if self.path.exists() and self.path.stat().st_size >= self._settings.limit_mb * 1e6:
            seq, previous = self._rotated(seq, previous)
        made = self._made(seq + 1, previous, action, result, known)
        self._write(made)
        return made

    def _made(self, seq: int, previous: str, action: str, result: Result, known: dict[str, str | None]) -> AuditRecord:
        when = datetime.fromtimestamp(self._clock(), timezone.utc).isoformat(timespec="microseconds")
        plain = AuditRecord(
            seq=seq,
            time=when.replace("+00:00", "Z"),
            controller=self._controller,
            action=action,
            result=result,
            previous=previous,
        )
        said = {name: _printable(text) for name, text in known.items() if text is not None}
        plain = msgspec.structs.replace(plain, **said)
        return msgspec.structs.replace(plain, sha256=hashlib.sha256(line_of(plain)).hexdigest())

    def _mended(self, torn: int, seq: int, previous: str) -> tuple[int, str]:
        """A power cut left half a record, which nobody was told of as recorded: it is cut off, and that is recorded."""
        with self.path.open("r+b") as file:
            file.truncate(self.path.stat().st_size - torn)
        made = self._made(seq + 1, previous, "mended", "done", {"detail": f"half a record of {torn} bytes was cut off"})
        self._write(made)
        return made.seq, made.sha256

    def _rotated(self, seq: int, previous: str) -> tuple[int, str]:
        """Begins a new file; of the older ones ``keep`` stay. The first record of the new file says what went."""
        self.path.rename(self.path.with_name(f"{self.path.name}.{seq:010d}"))
        older = trail_files(self.path)[:-1]
        gone = older[: max(0, len(older) - self._settings.keep)]
        through = None if not gone else str(int(gone[-1].suffix[1:]))
        made = self._made(seq + 1, previous, "rotated", "done", {"target": older[-1].name, "before": through})
        self._write(made)
        for path in gone:
            path.unlink()
        sync_folder(self.path.parent)
        return made.seq, made.sha256

    def _write(self, record: AuditRecord) -> None:
        is_new = not self.path.exists()
        file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640)
        try:
            append_synced(file, line_of(record) + b"\n")
        finally:
            os.close(file)
        if is_new:
            sync_folder(self.path.parent)


def line_of(record: AuditRecord) -> bytes:
    """The line of a record, without its end; what ``sha256`` is of is the line of the record without ``sha256``."""
    return msgspec.json.encode(record)


def trail_files(path: Path) -> list[Path]:
    """The files of a trail in their order; ``path`` is the newest."""
    name = re.compile(re.escape(path.name) + r"\.\d{10,}")
    older = [one for one in path.parent.iterdir() if name.fullmatch(one.name)] if path.parent.is_dir() else []
    return [*sorted(older, key=lambda one: int(one.suffix[1:])), path]


def _end_of(path: Path) -> tuple[AuditRecord | None, int]:
    """The last whole record of a file, and how many bytes of half a one follow it."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL_BYTES))
            tail = file.read()
    except FileNotFoundError:
        return None, 0
    whole, _, torn = tail.rpartition(b"\n")
    last = whole.rpartition(b"\n")[2]
    return (_record(last) if last else None), len(torn)


def _record(line: bytes) -> AuditRecord:
    """A last line that somebody has spoilt does not stop the trail: the chain goes on from its bytes, and it shows."""
    try:
        return msgspec.json.decode(line, type=AuditRecord)
    except (msgspec.DecodeError, UnicodeDecodeError):
        found = re.match(rb'\{"seq":(\d{1,18})', line)
        seq = int(found.group(1)) if found else 0
        sha256 = hashlib.sha256(line).hexdigest()
        return AuditRecord(seq=seq, time="", controller="", action="", result="failed", sha256=sha256)


def _printable(text: str) -> str:
    """At most 500 characters, without what would break a line or a terminal."""
    return json.dumps(text[:500], ensure_ascii=False)[1:-1] if not text.isprintable() else text[:500]
