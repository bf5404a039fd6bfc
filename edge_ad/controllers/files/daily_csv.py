"""Results as CSV, a file for each local day; rows are appended whole or not at all."""

from __future__ import annotations

import csv
import io
import itertools
import logging
import os
import threading
from collections import deque
from collections.abc import Sequence
from datetime import datetime, tzinfo
from pathlib import Path

from edge_ad.controllers.conversation import Outcome
from edge_ad.files import append_synced, output_error, sync_folder

__all__ = ["COLUMNS", "DailyCsv"]

logger = logging.getLogger(__name__)

FORMAT = "edge-ad-results/1"
COLUMNS = (
    *("format", "at", "station", "part_id", "trigger", "state", "code", "reason", "detail", "recipe", "latency_ms"),
    *("score", "threshold", "frames"),
)
_KEPT = 10_000
_LONGEST_ROW = 1 << 20
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class DailyCsv:
    """``results-STATION-2026-11-27.csv`` in ``folder``, RFC 4180, UTF-8, with a header.

    :meth:`add` never waits; :meth:`write` appends what has come since the last call, and brings it to the disk
    (fsync). While the disk takes nothing, rows wait in memory, the newest 10,000; ``lost`` counts the others.
    ``zone``: the machine's where it is not given.
    """

    def __init__(self, folder: Path, station: str, zone: tzinfo | None = None) -> None:
        self.lost = 0
        self._folder = folder
        self._station = station
        self._zone = zone
        self._rows: deque[tuple[str, bytes]] = deque()
        self._lock = threading.Lock()
        self._is_failing = False

    def add(self, outcome: Outcome, at: float) -> None:
        """A result, heard at this moment (seconds since the epoch)."""
        when = datetime.fromtimestamp(at, self._zone).astimezone(self._zone)
        row = _row(_cells(outcome, when, self._station))
        with self._lock:
            self._rows.append((f"{when:%Y-%m-%d}", row))
            self._bound()

    @property
    def waiting(self) -> int:
        """How many rows are not in a file yet."""
        return len(self._rows)

    def write(self) -> bool:
        """Appends the rows that wait, day by day; false where the disk does not take them. May be slow."""
        while rows := self._take():
            try:
                self._append(rows[0][0], b"".join(row for _, row in rows))
            except OSError as error:
                self._put_back(rows)
                if not self._is_failing:
                    logger.error("%s; rows wait in memory", output_error(self._folder, error))
                self._is_failing = True
                return False
            if self._is_failing:
                logger.info("%s is written again; %d rows were lost", self._folder, self.lost)
                self._is_failing = False
        return True

    def _take(self) -> list[tuple[str, bytes]]:
        """The oldest rows, as far as they are of one day."""
        with self._lock:
            day = self._rows[0][0] if self._rows else ""
            taken = list(itertools.takewhile(lambda row: row[0] == day, self._rows))
            for _ in taken:
                self._rows.popleft()
        return taken

    def _put_back(self, rows: list[tuple[str, bytes]]) -> None:
        with self._lock:
            self._rows.extendleft(reversed(rows))
            self._bound()

    def _bound(self) -> None:
        while len(self._rows) > _KEPT:
            self._rows.popleft()
            self.lost += 1

    def _append(self, day: str, rows: bytes) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"results-{self._station}-{day}.csv"
        file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            size = _whole(file, path)
            append_synced(file, rows if size else _row(COLUMNS) + rows)
        finally:
            os.close(file)
        if not size:
            sync_folder(self._folder)


def _whole(file: int, path: Path) -> int:
    """The size without a row that a power cut left half written."""
    size = os.fstat(file).st_size
    if not size or os.pread(file, 1, size - 1) == b"\n":
        return size
    start = max(0, size - _LONGEST_ROW)
    whole = start + os.pread(file, size - start, start).rfind(b"\n") + 1
    os.ftruncate(file, whole)
    logger.warning("%s: its last row was not whole, and is taken out", path)
    return whole


def _cells(outcome: Outcome, when: datetime, station: str) -> list[object]:
    frames = () if outcome.result is None else outcome.result.verdicts
    return [
        FORMAT,
        when.isoformat(timespec="milliseconds"),
        station,
        outcome.part_id,
        outcome.trigger,
        outcome.state.value,
        int(outcome.code),
        None if outcome.passes else outcome.code.name.lower(),
        outcome.detail,
        outcome.recipe,
        outcome.latency_ms,
        outcome.score,
        outcome.threshold,
        len(frames),
    ]


def _row(cells: Sequence[object]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerow([_harmless(one) if isinstance(one, str) else one for one in cells])
    return text.getvalue().encode("utf-8", "replace")


def _harmless(text: str) -> str:
    """A text that a spreadsheet would take for a formula gets a quote before it."""
    return f"'{text}" if text.startswith(_FORMULA) else text
