"""Keeps scores in one SQLite file, so that an interrupted run goes on where it stopped."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import ExitStack, contextmanager
from threading import Lock
from typing import TYPE_CHECKING

import msgspec

from edge_ad.bundle.records import FrameSize
from edge_ad.errors import OutputError
from edge_ad.files import output_error
from edge_ad.verdict import FrameStatistics
from edge_ad_calibration.scoring.job import Outcome, ScoredImage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["FILE", "ScoreCache", "ScoreRecord", "default_folder", "why_unusable"]

FILE = "scores-2.sqlite"
"""The number is that of the format: another format has another file."""

_WRITE_EVERY_S = 1.0
_MOST_UNWRITTEN = 500
_WAIT_FOR_OTHERS_S = 60.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS scores (
    identity BLOB NOT NULL, file BLOB NOT NULL, record BLOB NOT NULL, PRIMARY KEY (identity, file)
) WITHOUT ROWID
"""
_FIND = "SELECT record FROM scores WHERE identity = ? AND file = ?"
_ADD = "INSERT OR IGNORE INTO scores VALUES (?, ?, ?)"


class ScoreRecord(msgspec.Struct, frozen=True, array_like=True):
    """A score as it is kept. It is written as MessagePack, which keeps every bit; SQLite would turn -0.0 into 0.0."""

    pixel_sha256: bytes
    size: FrameSize
    score: float
    peak: float | None
    statistics: FrameStatistics | None

    @classmethod
    def of(cls, image: ScoredImage) -> ScoreRecord:
        return cls(bytes.fromhex(image.pixel_sha256), image.size, image.score, image.peak, image.statistics)

    def scored(self, path: Path, file_sha256: str, anomaly_map: NDArray[np.float32] | None = None) -> ScoredImage:
        """The record as a scored image. ``anomaly_map``: float32 ``(h', w')``, raw; ``None`` if none was kept."""
        return ScoredImage(
            path=path,
            file_sha256=file_sha256,
            pixel_sha256=self.pixel_sha256.hex(),
            size=self.size,
            score=self.score,
            peak=self.peak,
            statistics=self.statistics,
            map=anomaly_map,
            cached=True,
        )


def default_folder() -> Path:
    """The user's cache folder: on Linux ``$XDG_CACHE_HOME/edge-ad``, otherwise ``~/.cache/edge-ad``."""
    from platformdirs import user_cache_path

    return user_cache_path("edge-ad")


def why_unusable(folder: Path) -> str | None:
    """Why no scores can be kept in this folder, which need not exist yet; ``None`` where they can. Makes nothing."""
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not there.is_dir():
        return f"{there} is a file, not a folder"
    if not os.access(there, os.W_OK | os.X_OK):
        return f"{there} may not be written to"
    file = folder / FILE
    if file.exists() and not os.access(file, os.R_OK | os.W_OK):
        return f"{file} may not be written to"
    return None


class ScoreCache:
    """Keeps scores. A score is found by what it was measured with and by the SHA-256 of the image file.

    Maps and images that cannot be scored are not kept. Scores are written once a second or sooner, so a process that is
    killed loses no more than that; SQLite undoes an incomplete write. Several runs may share the file. :meth:`find` may
    be called from any thread.
    """

    def __init__(self, folder: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Opens the cache in ``folder``, which is created if it does not exist.

        Raises:
            OutputError: the folder cannot be created, or the file cannot be opened or is damaged.
        """
        self.path = folder / FILE
        self._clock = clock
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{output_error(folder, error)}; --no-cache does without the score cache") from error
        self._lock = Lock()
        self._rows: list[tuple[bytes, bytes, bytes]] = []
        self._written = self._clock()
        with self._explained(), ExitStack() as failing:
            self._database = sqlite3.connect(self.path, _WAIT_FOR_OTHERS_S, check_same_thread=False)
            failing.callback(self._database.close)
            with self._database:
                self._database.execute(_SCHEMA)
            failing.pop_all()

    def find(self, identity: bytes, path: Path, file_sha256: str) -> ScoredImage | None:
        """The score of the file ``path`` with these bytes; ``None`` if it is not in the cache."""
        with self._lock, self._explained():
            row = self._database.execute(_FIND, (identity, bytes.fromhex(file_sha256))).fetchone()
            record = None if row is None else msgspec.msgpack.decode(row[0], type=ScoreRecord)
        return None if record is None else record.scored(path, file_sha256)

    def add(self, identity: bytes, outcome: Outcome) -> None:
        """Keeps a score. Scores from the cache, of frames without a file, and of images with an error are not kept."""
        if not isinstance(outcome, ScoredImage) or outcome.cached or outcome.file_sha256 is None:
            return
        record = msgspec.msgpack.encode(ScoreRecord.of(outcome))
        self._rows.append((identity, bytes.fromhex(outcome.file_sha256), record))
        if len(self._rows) >= _MOST_UNWRITTEN or self._clock() - self._written > _WRITE_EVERY_S:
            self._write()

    def close(self) -> None:
        """Writes the scores that are not written yet, also after an error or Ctrl-C, and closes the file."""
        try:
            self._write()
        finally:
            self._database.close()

    def _write(self) -> None:
        # All rows in one short transaction: another run waits for milliseconds at most.
        with self._lock, self._explained(), self._database:
            self._database.executemany(_ADD, self._rows)
        self._rows.clear()
        self._written = self._clock()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.DatabaseError, msgspec.DecodeError) as error:
            raise OutputError(
                f"{self.path}: the score cache cannot be used: {error}: free some space or, where it is damaged, "
                "delete it; --no-cache does without"
            ) from error
