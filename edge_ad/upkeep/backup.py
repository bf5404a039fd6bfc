"""``edge-ad backup`` and ``restore``: everything that makes a station this station, for a spare device.

The archive holds the station file, its bundles with their calibrations, and its counters, each with its digest.
Evidence, results and logs say what happened on the old device, and stay there.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import shutil
import tarfile
from collections.abc import Iterator
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Literal

import msgspec

from edge_ad.bundle import Bundle
from edge_ad.bundle.fields import Record, Sha256
from edge_ad.errors import EdgeAdError, InputError
from edge_ad.files import check_output, output_error, part_file, sync_folder
from edge_ad.station.station_file import StationFile, read_station_file
from edge_ad.station.updating import bundles_in_force

__all__ = ["BackupRecord", "back_up", "restore"]

_RECORD = "backup.json"
_STATION = "station.toml"
_MOST_BYTES = 64 << 30
_CHUNK_BYTES = 1 << 20


class BackupRecord(Record, frozen=True, kw_only=True):
    """The first member of the archive. ``files``: name to digest, of everything else in it."""

    format: Literal["edge-ad-backup/1"] = "edge-ad-backup/1"
    station: str
    written: str
    producer: str
    files: dict[str, Sha256]


def back_up(file: Path, target: Path) -> BackupRecord:
    """Writes the archive of the station of ``file``. The station may run meanwhile.

    Raises:
        InputError: the station file is not in order, or names a bundle in a way that cannot be carried over.
        BundleError: a bundle is damaged.
        OutputError: the archive cannot be written.
    """
    check_output(target, "--output")
    station = read_station_file(file)
    text, sources = _portable(file, station)
    members = {_STATION: text.encode()} | dict(_read_all(sources))
    record = BackupRecord(
        station=station.station.name,
        written=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        producer=f"edge-ad {version('edge-ad')}",
        files={name: hashlib.sha256(data).hexdigest() for name, data in members.items()},
    )
    part = part_file(target)
    try:
        with tarfile.open(part, "w:gz") as archive:
            for name, data in ({_RECORD: msgspec.json.encode(record)} | members).items():
                info = tarfile.TarInfo(name)
                info.size, info.mode = len(data), 0o644
                archive.addfile(info, io.BytesIO(data))
        part.replace(target)
        sync_folder(target.parent)
    except OSError as error:
        raise output_error(target, error) from error
    finally:
        part.unlink(missing_ok=True)
    return record


def restore(archive: Path, folder: Path) -> BackupRecord:
    """Makes ``folder``, which must not hold anything yet, out of an archive, when all of it is intact.

    Raises:
        InputError: the archive is damaged, or the folder is not empty.
        BundleError: a bundle in it is damaged.
        OutputError: the folder cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} is not empty: name a new folder")
    if not folder.absolute().parent.is_dir():
        raise InputError(f"{folder}: its folder does not exist: create it first")
    staged = part_file(folder.absolute())
    try:
        record = _unpack(archive, staged)
        station = read_station_file(staged / _STATION)
        for path in _bundle_paths(station):
            _check_bundle(Path(path))
        if folder.exists():
            folder.rmdir()
        staged.replace(folder)
        sync_folder(folder.absolute().parent)
    except EdgeAdError as error:
        text = str(error).replace(str(staged), str(folder))
        raise error.saying(f"{archive}: {text}; nothing was restored") from None
    except OSError as error:
        raise output_error(folder, error) from error
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return record


def _portable(file: Path, station: StationFile) -> tuple[str, dict[str, Path]]:
    """The text of the station file with its bundles and counters below its folder; and where they lie now."""
    text = file.read_text(encoding="utf-8")
    here = file.absolute().parent
    places, taken = {}, {_STATION, _RECORD}
    for path in _bundle_paths(station):
        places[path] = _free_name(f"bundles/{Path(path).name}", taken)
    if station.counters is not None:
        places[station.counters.file] = _free_name(Path(station.counters.file).name, taken)
    for path, name in places.items():
        text = _renamed(text, here, path, name)
    _check_same(text, here, station, places)
    used = bundles_in_force(station)  # a deployed bundle takes its place on the new device for good
    return text, {name: Path(used.get(path, path)) for path, name in places.items()}


def _bundle_paths(station: StationFile) -> list[str]:
    return sorted({one.bundle for recipe in station.recipes for one in station.inspections(recipe).values()})


def _free_name(name: str, taken: set[str]) -> str:
    stem, number = name, 1
    while name in taken:
        number += 1
        name = f"{stem}-{number}"
    taken.add(name)
    return name


def _renamed(text: str, here: Path, path: str, name: str) -> str:
    """``text`` with every value that leads to ``path`` from the folder ``here`` replaced; comments stay."""

    def replaced(found: re.Match[str]) -> str:
        return f'{found[1]}"{name}"' if str(here / found[3]) == path else found[0]

    return re.sub(r"(\b(?:bundle|file)\s*=\s*)([\"'])([^\"'\n]*)\2", replaced, text)


def _check_same(text: str, here: Path, station: StationFile, places: dict[str, str]) -> None:
    """Refuses a file in which a path could not be renamed: written over several lines, for instance."""
    probe = part_file(here / _STATION)
    try:
        probe.write_text(text, encoding="utf-8")
        found = read_station_file(probe)
    except OSError as error:
        raise output_error(here, error) from error
    finally:
        probe.unlink(missing_ok=True)
    expected = {str(here / places[path]) for path in _bundle_paths(station)}
    if set(_bundle_paths(found)) != expected:
        raise InputError('a bundle cannot be carried over: write it as  bundle = "PATH"  on one line')


def _read_all(sources: dict[str, Path]) -> Iterator[tuple[str, bytes]]:
    for name, path in sources.items():
        if name.startswith("bundles/"):
            _check_bundle(path)
            files = [path] if path.is_file() else sorted(one for one in path.rglob("*") if one.is_file())
            for one in files:
                inside = "" if one == path else f"/{one.relative_to(path).as_posix()}"
                yield f"{name}{inside}", one.read_bytes()
        elif path.exists():
            yield name, path.read_bytes()


def _check_bundle(path: Path) -> None:
    """Opens a bundle, and compares each of its files with its digest."""
    bundle = Bundle.open(path)
    for name in bundle.manifest.files:
        bundle.check_file(name)
    for variant in bundle.manifest.variants:
        bundle.calibration(variant)


def _unpack(path: Path, target: Path) -> BackupRecord:
    try:
        _check_whole(path)
        with tarfile.open(path, "r:gz") as archive:
            first = archive.next()
            if first is None or first.name != _RECORD:
                raise InputError("this is no backup of a station: expected one written by  edge-ad backup")
            record = msgspec.json.decode(_content(archive, first), type=BackupRecord)
            missing = set(record.files)
            target.mkdir()
            while (member := archive.next()) is not None:
                _unpack_one(archive, member, record, target)
                missing.discard(member.name)
    except (tarfile.TarError, EOFError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"this is no backup of a station, or it is damaged: {error}") from error
    except OSError as error:
        if error.filename in {str(path), None}:
            raise InputError(f"it cannot be read: {error.strerror or error}") from error
        raise
    if missing:
        raise InputError(f"{min(missing)} is missing: the archive is damaged")
    return record


def _check_whole(path: Path) -> None:
    """Reads to the end, where the checksum of the whole stands: the reader of archives stops before it."""
    with gzip.open(path) as file:
        while file.read(_CHUNK_BYTES):
            pass


def _unpack_one(archive: tarfile.TarFile, member: tarfile.TarInfo, record: BackupRecord, target: Path) -> None:
    name = PurePosixPath(member.name)
    if member.name not in record.files or not member.isfile() or name.is_absolute() or ".." in name.parts:
        raise InputError(f"{member.name!r} does not belong into a backup: the archive is damaged")
    data = _content(archive, member)
    if hashlib.sha256(data).hexdigest() != record.files[member.name]:
        raise InputError(f"{member.name} is not what was backed up: the archive is damaged")
    place = target / name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(data)


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    opened = archive.extractfile(member) if member.size <= _MOST_BYTES else None
    if opened is None:
        raise InputError(f"{member.name!r} does not belong into a backup: the archive is damaged")
    return opened.read()
