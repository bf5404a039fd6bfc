"""What people found when they looked at kept rejects: truly bad, or falsely rejected. Kept beside the evidence."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Literal

import msgspec

from edge_ad.errors import InputError
from edge_ad.files import output_error

__all__ = ["Finding", "FindingCounts", "Findings", "Judged"]

Judged = Literal["bad", "good"]

_FILE = "findings.sqlite"
_WAIT_S = 2.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS findings (
    inspection TEXT NOT NULL, name TEXT NOT NULL, judged TEXT NOT NULL, who TEXT NOT NULL, at REAL NOT NULL,
    captured_at REAL NOT NULL, part_id TEXT, recipe TEXT, score REAL, threshold REAL,
    PRIMARY KEY (inspection, name)
) STRICT
"""
_COLUMNS = "inspection, name, judged, who, at, captured_at, part_id, recipe, score, threshold"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A person has looked at a kept frame. ``judged``: ``good`` where it was rejected falsely. Times: UTC, seconds."""

    inspection: str
    name: str
    judged: Judged
    who: str
    at: float
    captured_at: float
    part_id: str | None = None
    recipe: str | None = None
    score: float | None = None
    threshold: float | None = None


class FindingCounts(msgspec.Struct, frozen=True, kw_only=True):
    """How many parts were found bad and good; a part counts once, and as bad where one of its frames is."""

    bad: int = 0
    good: int = 0


class Findings:
    """The findings of a station, in ``findings.sqlite`` in its folder of evidence.

    They stay when the frames that they are about have made room for others.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / _FILE

    def put(self, finding: Finding) -> None:
        """Adds a finding, or replaces the one of the same frame.

        Raises:
            OutputError: it cannot be written.
        """
        values = msgspec.structs.astuple(finding)
        marks = ", ".join("?" * len(values))
        self._write(f"INSERT OR REPLACE INTO findings ({_COLUMNS}) VALUES ({marks})", values)  # noqa: S608

    def remove(self, inspection: str, name: str) -> None:
        """Nobody has looked at this frame after all.

        Raises:
            OutputError: it cannot be written.
        """
        self._write("DELETE FROM findings WHERE inspection = ? AND name = ?", (inspection, name))

    def since(self, captured_at: float, before: float = 1e18) -> list[Finding]:
        """The findings about frames of this time, the oldest first.

        Raises:
            InputError: the file is damaged.
        """
        if not self._path.is_file():
            return []
        query = f"SELECT {_COLUMNS} FROM findings WHERE captured_at >= ? AND captured_at < ? ORDER BY captured_at"  # noqa: S608
        try:
            with closing(
                sqlite3.connect(f"{self._path.absolute().as_uri()}?mode=ro", uri=True, timeout=_WAIT_S)
            ) as file:
                rows = file.execute(query, (captured_at, before)).fetchall()
        except sqlite3.Error as error:
            raise InputError(f"{self._path}: the findings cannot be read: {error}") from error
        names = [one.strip() for one in _COLUMNS.split(",")]
        return [Finding(**dict(zip(names, row, strict=True))) for row in rows]

    def counts(self, captured_at: float, recipe: str | None = None, before: float = 1e18) -> FindingCounts:
        """How many parts of this time, and of this recipe where one is given, were found bad and good."""
        found = [one for one in self.since(captured_at, before) if recipe in {None, one.recipe}]
        bad = {_part(one) for one in found if one.judged == "bad"}
        good = {_part(one) for one in found if one.judged == "good"} - bad
        return FindingCounts(bad=len(bad), good=len(good))

    def _write(self, query: str, values: tuple[object, ...]) -> None:
        try:
            with closing(sqlite3.connect(self._path, timeout=_WAIT_S)) as file, file:
                file.execute(_SCHEMA)
                file.execute(query, values)
        except sqlite3.Error as error:
            raise output_error(self._path, OSError(str(error))) from error


def _part(one: Finding) -> tuple[str, float]:
    """Frames of one part have its id; one without an id stands for itself."""
    return ("", one.captured_at) if one.part_id is None else (one.part_id, 0.0)
