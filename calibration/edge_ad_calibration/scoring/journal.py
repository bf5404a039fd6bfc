"""Keeps anomaly maps on the disk until an evaluation is done.

This limits the memory that is needed, and a run that was killed goes on where it stopped.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import stat
import struct
import tempfile
import zlib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edge_ad.errors import OutputError
from edge_ad.files import check_space, output_error
from edge_ad_calibration.scoring.cache import ScoreRecord
from edge_ad_calibration.scoring.job import ScoredImage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import Self

    from edge_ad_calibration.scoring.cache import ScoreCache
    from edge_ad_calibration.scoring.job import ScoreJob
    from edge_ad_calibration.scoring.measure import Find
    from edge_ad_calibration.scoring.opened import Identity

__all__ = ["KEPT_DAYS", "MapJournal", "check_room", "find_earlier"]

KEPT_DAYS = 7
"""After how many days the maps of an evaluation that was not resumed are deleted."""

_NAME = "maps-1-{}.bin"
_MAGIC = b"edge-ad maps 1\n\0"
_HEAD = struct.Struct("<32sII")  # SHA-256 of the image file, length and CRC-32 of what follows
_DAY_S = 86_400
_CELL_BYTES = 4


class _Entry(msgspec.Struct, frozen=True, array_like=True):
    """What follows the head, as MessagePack. ``anomaly_map``: float32, little-endian."""

    record: ScoreRecord
    height: int
    width: int
    anomaly_map: bytes


class MapJournal:
    """The maps of one job's images, one after the other in one file. A context manager.

    ``folder``: where the file ``maps-1-<job>.bin`` is. The file is deleted if the context ends without an error. After
    an error, or if the process is killed, it stays, and the next run of the same job finds the maps in it; a record
    whose length or checksum is wrong is ignored. The next job deletes files that were not used for :data:`KEPT_DAYS`
    days. If the folder is ``None``, or another process works at the same job, a temporary file is used instead.
    ``data``: names the images, so that jobs on different images have different files. ``clock``: the time of a folder
    in seconds since 1970, by which old files are found. Without it, the clock of the folder's own disk is used, which
    may differ from that of this computer.
    """

    def __init__(self, folder: Path | None, data: str = "", *, clock: Callable[[Path], float] | None = None) -> None:
        self._folder = folder
        self._clock = clock or _time_of_disk
        self._data = data
        self._path: Path | None = None
        self._file = -1
        self._end = 0
        self._earlier: dict[bytes, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if self._path is not None and kind is None:
            # Deleted before it is closed and so unlocked: no other process can use it then.
            self._path.unlink(missing_ok=True)
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def begin(self, identity: bytes) -> None:
        """Opens the file of the job with this identity, and finds the maps that are in it already.

        Raises:
            OutputError: the folder or the file cannot be created.
        """
        job = hashlib.sha256(identity + self._data.encode("utf-8", "surrogateescape")).digest()
        if self._folder is not None:
            _make_folder(self._folder)
            _delete_abandoned(self._folder, before=self._clock(self._folder) - KEPT_DAYS * _DAY_S)
            path = self._folder / _NAME.format(job.hex()[:16])
            self._file = _lock(path)
            self._path = path if self._file >= 0 else None
        if self._file < 0:
            self._file = _nameless()
        self._resume(_MAGIC + job)

    def find(self, path: Path, file_sha256: str) -> ScoredImage | None:
        """The result of an earlier run for a file with these bytes, with its map, or ``None``. Thread-safe."""
        place = self._earlier.get(bytes.fromhex(file_sha256))
        entry = None if place is None else self._entry(place)
        return None if entry is None else entry.record.scored(path, file_sha256, _map_of(entry))

    def add(self, image: ScoredImage) -> int:
        """Keeps the map of an image that was scored from a file. Returns its place, for :meth:`read`.

        Raises:
            OutputError: the disk is full.
        """
        if image.map is None or image.file_sha256 is None:
            raise ValueError(f"expected the map and the hash of an image file, found none of {image.path}")
        import numpy as np

        digest = bytes.fromhex(image.file_sha256)
        if image.cached:
            return self._earlier[digest]
        height, width = image.map.shape
        anomaly_map = np.ascontiguousarray(image.map, "<f4").tobytes()
        data = msgspec.msgpack.encode(_Entry(ScoreRecord.of(image), height, width, anomaly_map))
        place = self._end
        self._write(_HEAD.pack(digest, len(data), zlib.crc32(data, zlib.crc32(digest))) + data)
        return place

    def read(self, place: int) -> NDArray[np.float32]:
        """The map ``(h', w')`` at a place. Raises :class:`OutputError` if it is damaged on the disk."""
        entry = self._entry(place)
        if entry is None:
            raise OutputError(f"{self._path or tempfile.gettempdir()}: a map is damaged on the disk: run again")
        return _map_of(entry)

    def _resume(self, head: bytes) -> None:
        size = os.fstat(self._file).st_size
        if size and os.pread(self._file, len(head), 0) != head:
            os.ftruncate(self._file, 0)
            size = 0
        if not size:
            self._write(head)
            return
        self._end = len(head)
        for digest, place, end in self._records(size):
            self._earlier[digest] = place
            self._end = end
        os.ftruncate(self._file, self._end)

    def _records(self, size: int) -> Iterator[tuple[bytes, int, int]]:
        """Yields the hash, begin and end of each record that is complete."""
        place = self._end
        while place + _HEAD.size <= size:
            digest, length, _ = _HEAD.unpack(os.pread(self._file, _HEAD.size, place))
            end = place + _HEAD.size + length
            # A disk that lost its power may leave zeros.
            if end > size or length == 0:
                return
            yield digest, place, end
            place = end

    def _entry(self, place: int) -> _Entry | None:
        try:
            digest, length, checksum = _HEAD.unpack(os.pread(self._file, _HEAD.size, place))
            data = os.pread(self._file, length, place + _HEAD.size)
        except OSError:
            return None
        if len(data) != length or zlib.crc32(data, zlib.crc32(digest)) != checksum:
            return None
        return msgspec.msgpack.decode(data, type=_Entry)

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                written = os.pwrite(self._file, view, self._end)
                view, self._end = view[written:], self._end + written
        except OSError as error:
            raise output_error(self._path or f"anomaly maps in {tempfile.gettempdir()}", error) from error


def find_earlier(
    job: ScoreJob, identity: Identity, cache: ScoreCache | None, journal: MapJournal | None
) -> Find | None:
    """The function that finds results of earlier runs: that of the score cache or, if maps are wanted, of the journal.

    The journal is opened here. ``None`` if nothing is kept.

    Raises:
        OutputError: the journal's folder or file cannot be created.
    """
    if not job.maps:
        return None if cache is None else partial(cache.find, identity.digest)
    if journal is None:
        return None
    journal.begin(identity.digest)
    return journal.find


def _map_of(entry: _Entry) -> NDArray[np.float32]:
    import numpy as np

    return np.frombuffer(entry.anomaly_map, "<f4").reshape(entry.height, entry.width).astype(np.float32)


def _lock(path: Path) -> int:
    """Opens the file for this process alone. Returns -1 if another process has it."""
    try:
        while True:
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(file)
                return -1
            # The process that had the file may have deleted it in the meantime.
            if path.exists() and os.path.samestat(path.stat(), os.fstat(file)):
                return file
            os.close(file)
    except OSError as error:
        raise output_error(path, error) from error


def _nameless() -> int:
    try:
        with tempfile.TemporaryFile(prefix="edge-ad-maps-") as file:
            return os.dup(file.fileno())
    except OSError as error:
        raise output_error(tempfile.gettempdir(), error) from error


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(folder, error) from error


def check_room(folder: Path | None, images: int, cells: int) -> None:
    """Raises :class:`OutputError` unless the disk has room for so many maps of so many cells. Maps that are there count
    as room: they are used again, or deleted.

    ``folder``: as :class:`MapJournal` takes it.
    """
    place = folder or Path(tempfile.gettempdir())
    there = sum(path.stat().st_size for path in place.glob(_NAME.format("*")))
    check_space(place, images * cells * _CELL_BYTES - there, f"{place}: the anomaly maps")


def _time_of_disk(folder: Path) -> float:
    """Now, as the disk of this folder dates its files; raises :class:`OutputError`."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            return os.fstat(file.fileno()).st_mtime
    except OSError as error:
        raise output_error(folder, error) from error


def _delete_abandoned(folder: Path, *, before: float) -> None:
    """Deletes the regular files of journals that were last written ``before`` this time; links are left alone."""
    for path in folder.glob(_NAME.format("*")):
        with contextlib.suppress(OSError):  # another process was faster
            found = path.lstat()
            if stat.S_ISREG(found.st_mode) and found.st_mtime < before:
                path.unlink()
