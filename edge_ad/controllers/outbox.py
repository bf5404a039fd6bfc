"""Messages that wait until somebody else has them: in a file that survives the end of this process, within bounds."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import sqlite3
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from edge_ad.errors import DeviceError, one_line
from edge_ad.files import output_error

__all__ = ["Outbox", "OutboxLimits", "Waiting", "lock_beside"]

T = TypeVar("T")
logger = logging.getLogger(__name__)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS messages (
    sequence INTEGER PRIMARY KEY, kind TEXT NOT NULL, payload BLOB NOT NULL, bytes INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS marks (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT
"""
_AFTER = "SELECT sequence, kind, payload FROM messages WHERE sequence > ? ORDER BY sequence LIMIT ?"
_TOTALS = """
SELECT count(*), coalesce(sum(bytes), 0), coalesce(max(sequence), 0),
    coalesce((SELECT value FROM marks WHERE name = 'last'), 0) FROM messages
"""
_AGAIN_S = 2.0
_AT_ONCE = 500
_ROOM = 64
"""Beside its payload each message counts with so many bytes."""


class Waiting(msgspec.Struct, frozen=True):
    """A message. ``sequence`` rises by one; ``kind`` says what it is."""

    sequence: int
    kind: str
    payload: bytes


class OutboxLimits(msgspec.Struct, frozen=True, kw_only=True):
    """``sync``: each message reaches the disk before :meth:`Outbox.add` returns (fsync); without it they survive the
    end of this process, and a power cut takes those of the last moments. ``memory``: so many are kept in memory while
    the disk takes none."""

    messages: int = 100_000
    size_bytes: int = 64_000_000
    sync: bool = False
    memory: int = 10_000


class Outbox:
    """The oldest messages are lost where there are too many; ``dropped`` counts them. For one process and one thread.

    Disk full: messages stay in memory (``unwritten``) until the disk takes them. A damaged file is set aside.

    Raises:
        DeviceError: another process uses the same file.
        OutputError: its lock cannot be made.
    """

    def __init__(self, path: Path, limits: OutboxLimits) -> None:
        self.dropped = 0
        self._path = path
        self._limits = limits
        self._lock = lock_beside(path, "file")
        self._memory: deque[Waiting] = deque()
        self._done: set[int] = set()
        self._marks: dict[str, int] = {}
        self._failed_at: float | None = None
        self._last = 0
        self._told_drop = False
        self._count = self._size = 0
        self._file: sqlite3.Connection | None = None
        self._open()

    @property
    def unwritten(self) -> int:
        """How many wait in memory alone."""
        return len(self._memory)

    @property
    def waiting(self) -> int:
        """How many wait."""
        return self._count - len(self._done) + len(self._memory)

    def next_sequence(self) -> int:
        """The number that the next message will have."""
        return self._last + 1

    def add(self, kind: str, payload: bytes) -> Waiting:
        """Keeps a message; never raises for what the disk does."""
        self._last += 1
        message = Waiting(self._last, kind, payload)
        self._memory.append(message)
        self._write()
        while len(self._memory) > self._limits.memory:
            self._memory.popleft()
            self._drop(1)
        return message

    def after(self, sequence: int, limit: int) -> list[Waiting]:
        """The oldest messages after this number; none while the file cannot be read."""
        self._write()
        rows = self._try(lambda file: file.execute(_AFTER, (sequence, limit)).fetchall())
        if rows is None and self._file is not None:
            return []  # older ones may be in the file: none overtakes them
        found = [Waiting(*row) for row in rows or () if row[0] not in self._done]
        return (found + [one for one in self._memory if one.sequence > sequence])[:limit]

    def done(self, sequence: int) -> None:
        """Somebody else has this message."""
        if self._memory and sequence >= self._memory[0].sequence:
            self._memory = deque(one for one in self._memory if one.sequence != sequence)
            return
        self._done.add(sequence)
        self._clear()

    def mark(self, name: str) -> int:
        """A number that was kept under this name, 0 where there is none."""
        if name not in self._marks:
            row = self._try(lambda file: file.execute("SELECT value FROM marks WHERE name = ?", (name,)).fetchone())
            self._marks[name] = row[0] if row else 0
        return self._marks[name]

    def set_mark(self, name: str, value: int) -> None:
        """Keeps a number. One that the disk did not take is known until the end of this process."""
        if self.mark(name) == value:
            return
        self._marks[name] = value

        def insert(file: sqlite3.Connection) -> None:
            with file:
                file.execute("INSERT OR REPLACE INTO marks VALUES (?, ?)", (name, value))

        self._try(insert)

    def close(self) -> None:
        """What waits stays in the file. May be called twice."""
        self._write()
        if self._file is not None:
            self._file.close()
            self._file = None
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    # --- the file

    def _open(self) -> None:
        try:
            self._file = _connect(self._path, sync=self._limits.sync)
        except sqlite3.OperationalError as error:
            self._failed(error)
            return
        except sqlite3.DatabaseError as error:
            self._set_aside(error)
            return
        self._recount()

    def _recount(self) -> None:
        found = self._try(lambda file: file.execute(_TOTALS).fetchone())
        if found is not None:
            self._count, self._size = int(found[0]), int(found[1])
            self._last = max(self._last, int(found[2]), int(found[3]))

    def _set_aside(self, error: Exception) -> None:
        aside = self._path.with_name(f"{self._path.name}.damaged")
        if self._file is not None:
            self._file.close()
            self._file = None
        try:
            self._path.replace(aside)
            for suffix in ("-wal", "-shm"):
                self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
            self._file = _connect(self._path, sync=self._limits.sync)
        except (OSError, sqlite3.Error) as again:
            self._failed(again)
            return
        self._count = self._size = 0
        self._done.clear()
        logger.error("%s is damaged and is now called %s; what waited in it is lost: %s", self._path, aside.name, error)

    def _write(self) -> None:
        """Brings what is in memory to the file, where it can be."""
        if not self._memory or self._rests():
            return
        if self._file is None:
            self._open()
        rows = [(one.sequence, one.kind, one.payload, len(one.payload) + _ROOM) for one in self._memory]

        def insert(file: sqlite3.Connection) -> bool:
            with file:
                file.executemany("INSERT INTO messages VALUES (?, ?, ?, ?)", rows)
                file.execute("INSERT OR REPLACE INTO marks VALUES ('last', ?)", (self._last,))
            return True

        if self._try(insert):
            self._memory.clear()
            self._count += len(rows)
            self._size += sum(row[3] for row in rows)
            self._clear()
            self._make_room()

    def _clear(self) -> None:
        while self._done and not self._rests():
            done = sorted(self._done)[:_AT_ONCE]
            if not self._delete(f"sequence IN ({','.join('?' * len(done))})", done):
                return
            self._done.difference_update(done)
        if not self.waiting:
            self._told_drop = False

    def _make_room(self) -> None:
        over = max(0, self._count - self._limits.messages)
        if self._size > self._limits.size_bytes:
            over = max(over, self._count // 16, 1)
        if over and self._delete("sequence IN (SELECT sequence FROM messages ORDER BY sequence LIMIT ?)", [over]):
            self._drop(over)

    def _delete(self, which: str, values: list[int]) -> bool:
        def delete(file: sqlite3.Connection) -> tuple[int, int]:
            with file:
                rows = file.execute(f"DELETE FROM messages WHERE {which} RETURNING bytes", values).fetchall()  # noqa: S608
            return len(rows), sum(row[0] for row in rows)

        freed = self._try(delete)
        if freed is None:
            return False
        self._count -= freed[0]
        self._size -= freed[1]
        return True

    # --- what goes wrong

    def _try(self, step: Callable[[sqlite3.Connection], T]) -> T | None:
        if self._file is None:
            return None
        try:
            found = step(self._file)
        except sqlite3.OperationalError as error:
            self._failed(error)
            return None
        except sqlite3.DatabaseError as error:
            self._set_aside(error)
            return None
        if self._failed_at is not None:
            self._failed_at = None
            logger.info("%s can be written again", self._path)
        return found

    def _failed(self, error: Exception) -> None:
        if self._failed_at is None:
            logger.error("%s: %s; messages wait in memory until it can be written", self._path, one_line(error))
        self._failed_at = time.monotonic()

    def _rests(self) -> bool:
        """After a failure it is not tried again at once."""
        return self._failed_at is not None and time.monotonic() - self._failed_at < _AGAIN_S

    def _drop(self, count: int) -> None:
        self.dropped += count
        if not self._told_drop:
            logger.error("too many messages wait in %s: the oldest are lost from now on", self._path)
        self._told_drop = True


def _connect(path: Path, *, sync: bool) -> sqlite3.Connection:
    file = sqlite3.connect(path, timeout=1.0, isolation_level="IMMEDIATE")
    try:
        file.execute("PRAGMA journal_mode = WAL")
        file.execute(f"PRAGMA synchronous = {'FULL' if sync else 'NORMAL'}")
        file.executescript(_SCHEMA)
        if file.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
            raise sqlite3.DatabaseError("its content is not whole")
    except BaseException:
        file.close()
        raise
    return file


def lock_beside(path: Path, what: str) -> int:
    """The descriptor of ``PATH.lock``, which belongs to one process. ``what``: each controller needs one of its own.

    Raises:
        DeviceError: another process holds it.
        OutputError: it cannot be made.
    """
    lock = path.with_name(f"{path.name}.lock")
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise output_error(lock, error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.close(descriptor)
        raise DeviceError(f"{path} is used by another process: give each controller a {what} of its own") from error
    return descriptor
