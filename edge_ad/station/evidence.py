"""The evidence store: frames that somebody may want to see again, with maps and verdicts, within a share of the disk.

A folder for each inspection. Each frame has a picture, a map and a record; the record comes last, so that where there
is one, the others are whole. ``index.sqlite`` repeats the records for queries, and is made anew from them where it is
damaged.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import os
import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import cv2
import msgspec
import numpy as np

from edge_ad.bundle.fields import Record, Sha256
from edge_ad.errors import InputError
from edge_ad.files import atomic_write, output_error
from edge_ad.verdict import Verdict

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["EvidenceRecord", "EvidenceStore", "Why", "find_evidence"]

Why = Literal["reject", "invalid", "borderline", "sample", "challenge"]

_INDEX = "index.sqlite"
_OWN_NAME = re.compile(r"\d{8}T\d{6}\.\d{6}Z-\d{8,}")
_SCHEMA = """
CREATE TABLE IF NOT EXISTS evidence (
    name TEXT PRIMARY KEY, captured_at REAL, part_id TEXT, why TEXT, state TEXT, reason TEXT, score REAL,
    threshold REAL, bundle TEXT, variant TEXT, artefact_sha256 TEXT, recipe TEXT, bytes INTEGER NOT NULL
) STRICT
"""
_COLUMNS = (
    "name, captured_at, part_id, why, state, reason, score, threshold, bundle, variant, artefact_sha256, recipe, bytes"
)


class EvidenceRecord(Record, kw_only=True, frozen=True):
    """What is known of one kept frame; the file ``<name>.json``.

    ``frame``: the PNG beside it, as the camera gave the frame; ``map``: the NumPy file of its anomaly map, float32
    ``(h', w')``, raw; ``None`` without one. ``artefact_sha256``: of the model that judged.
    """

    format: Literal["edge-ad-evidence/1"] = "edge-ad-evidence/1"
    why: Why
    station: str
    inspection: str
    camera: str
    recipe: str
    part_id: str
    frame: str
    frame_sha256: Sha256
    map: str | None
    artefact_sha256: Sha256
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class _Files:
    """The files of one frame, by their suffix."""

    name: str
    files: dict[str, bytes]

    @property
    def size(self) -> int:
        return sum(map(len, self.files.values()))


class EvidenceStore:
    """The evidence of one inspection, written by one process at a time. A context manager.

    ``limit_bytes``: what its files may take; the oldest go first.

    Raises:
        OutputError: the folder or the index cannot be made.
    """

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self.folder = folder
        self._limit_bytes = limit_bytes
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(self._lock, fcntl.LOCK_EX)
        except OSError as error:
            raise output_error(folder, error) from error
        try:
            self._index = _open_index(folder / _INDEX)
            self._tidy()
        except OSError as error:
            os.close(self._lock)
            raise output_error(folder, error) from error
        except sqlite3.Error as error:
            os.close(self._lock)
            raise output_error(folder / _INDEX, OSError(str(error))) from error

    def __enter__(self) -> EvidenceStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Lets other processes write. May be called twice."""
        self._index.close()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    @property
    def size_bytes(self) -> int:
        """What the kept frames take, the index left out."""
        (total,) = self._index.execute("SELECT coalesce(sum(bytes), 0) FROM evidence").fetchone()
        return int(total)

    def add(
        self, record: EvidenceRecord, frame: NDArray[np.uint8], anomaly_map: NDArray[np.float32] | None
    ) -> EvidenceRecord | None:
        """Keeps a frame, uint8 ``(H, W, 3)`` BGR or ``(H, W)`` gray, and its map; names and digest are filled in.

        Makes room first. ``None``: it is larger than the whole limit, and is not kept.

        Raises:
            OutputError: it cannot be written.
        """
        record, files = _encode(record, frame, anomaly_map)
        if files.size > self._limit_bytes:
            return None
        try:
            self._make_room(files.size)
            for suffix, data in files.files.items():  # the record is the last
                atomic_write(self.folder / f"{files.name}{suffix}", data)
            self._insert(record, files.name, files.size)
        except OSError as error:
            raise output_error(self.folder, error) from error
        except sqlite3.Error as error:
            raise output_error(self.folder / _INDEX, OSError(str(error))) from error
        return record

    def _make_room(self, wanted: int) -> None:
        total = self.size_bytes
        while total + wanted > self._limit_bytes:
            row = self._index.execute("SELECT name, bytes FROM evidence ORDER BY name LIMIT 1").fetchone()
            if row is None:
                return
            self._delete(row[0])
            total -= row[1]

    def _delete(self, name: str) -> None:
        for suffix in (".json", ".npy", ".png"):  # the record first
            (self.folder / f"{name}{suffix}").unlink(missing_ok=True)
        with self._index:
            self._index.execute("DELETE FROM evidence WHERE name = ?", (name,))

    def _insert(self, record: EvidenceRecord, name: str, size: int) -> None:
        verdict = record.verdict
        values = (
            name, verdict.captured_at, record.part_id, record.why, verdict.state.value,
            verdict.reason and verdict.reason.value, verdict.score, verdict.threshold, verdict.bundle, verdict.variant,
            record.artefact_sha256, record.recipe, size,
        )  # fmt: skip
        with self._index:
            marks = ", ".join("?" * len(values))
            self._index.execute(f"INSERT OR REPLACE INTO evidence ({_COLUMNS}) VALUES ({marks})", values)  # noqa: S608

    def _tidy(self) -> None:
        """Takes away what a power cut has left half done, and makes the index agree with the records."""
        known = {name for (name,) in self._index.execute("SELECT name FROM evidence")}
        whole = {path.stem for path in self.folder.glob("*.json") if _OWN_NAME.fullmatch(path.stem)}
        for path in [*self.folder.glob("*.png"), *self.folder.glob("*.npy"), *self.folder.glob(".*.part.*")]:
            if path.name.startswith(".") or (_OWN_NAME.fullmatch(path.stem) and path.stem not in whole):
                path.unlink(missing_ok=True)
        for name in known - whole:
            self._delete(name)
        for name in sorted(whole - known):
            with contextlib.suppress(InputError):
                record = _read(self.folder / f"{name}.json")
                files = [self.folder / f"{name}{suffix}" for suffix in (".json", ".npy", ".png")]
                self._insert(record, name, sum(one.stat().st_size for one in files if one.exists()))


def find_evidence(folder: Path) -> Iterator[tuple[EvidenceRecord, Path]]:
    """The records below a folder, oldest first, each with the folder in which its files lie.

    Raises:
        InputError: there are none, or one is damaged.
    """
    paths = sorted(
        (path for path in folder.rglob("*.json") if _OWN_NAME.fullmatch(path.stem)), key=lambda one: one.name
    )
    if not paths:
        raise InputError(f"{folder}: expected a folder of evidence, found no record in it")
    for path in paths:
        yield _read(path), path.parent


def _read(path: Path) -> EvidenceRecord:
    try:
        return msgspec.json.decode(path.read_bytes(), type=EvidenceRecord)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no record of evidence ({error}): take it out with its picture") from error


def _encode(
    record: EvidenceRecord, frame: NDArray[np.uint8], anomaly_map: NDArray[np.float32] | None
) -> tuple[EvidenceRecord, _Files]:
    when = datetime.fromtimestamp(record.verdict.captured_at, timezone.utc)
    name = f"{when:%Y%m%dT%H%M%S.%fZ}-{record.verdict.frame_id:08d}"
    # Level 1: this happens beside a running line, and a higher one takes several times as long.
    files = {".png": cv2.imencode(".png", frame, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()}
    if anomaly_map is not None:
        buffer = io.BytesIO()
        np.save(buffer, anomaly_map)
        files[".npy"] = buffer.getvalue()
    record = msgspec.structs.replace(
        record,
        frame=f"{name}.png",
        frame_sha256=hashlib.sha256(files[".png"]).hexdigest(),
        map=None if anomaly_map is None else f"{name}.npy",
    )
    files[".json"] = msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n"
    return record, _Files(name, files)


def _open_index(path: Path) -> sqlite3.Connection:
    """The index; one that is damaged is made anew."""
    try:
        return _connect(path)
    except sqlite3.DatabaseError:
        path.unlink(missing_ok=True)
    return _connect(path)


def _connect(path: Path) -> sqlite3.Connection:
    index = sqlite3.connect(path, check_same_thread=False)
    try:
        index.execute(_SCHEMA)
        if index.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
            raise sqlite3.DatabaseError("the index is damaged")
    except BaseException:
        index.close()
        raise
    return index
