"""``edge-ad support``: one archive for whoever helps, without secrets and of bounded size."""

from __future__ import annotations

import io
import platform
import re
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import msgspec

from edge_ad.bundle import Bundle
from edge_ad.errors import EdgeAdError
from edge_ad.files import check_output, output_error, part_file, sync_folder
from edge_ad.station.evidence import find_evidence
from edge_ad.station.station_file import StationFile, read_station_file
from edge_ad.upkeep.doctor import engine_versions, examine

__all__ = ["SupportArchive", "without_secrets", "write_support"]

_LOGIN = re.compile(r"(?<=://)[^/\s\"'@]*:[^/\s\"']*@|(?<=://)[^/\s\"'@:]+@")
_SECRET = re.compile(
    r"(?i)\b(password|passwd|passphrase|pwd|pass|secret|token|api_?key|auth|user(?:name)?)"
    r"(\s*[=:]\s*)(\"[^\"\n]*\"|'[^'\n]*'|[^\s&,;\"']+)"
)
_RESULT_LINES_BYTES = 2_000_000


@dataclass(frozen=True, slots=True)
class SupportArchive:
    """What was written. ``left_out``: what did not fit, or could not be read."""

    path: Path
    members: tuple[str, ...]
    left_out: tuple[str, ...]


def without_secrets(text: str) -> str:
    """``text`` without user and password in addresses, and without the values of keys such as ``password``."""
    return _SECRET.sub(r"\1\2***", _LOGIN.sub("***@", text))


def write_support(file: Path, target: Path, limit_mb: float = 50.0) -> SupportArchive:
    """Writes the archive of the station of ``file``, of at most ``limit_mb`` 10**6 bytes before compression.

    A station file that is not in order is what somebody may need help with: it is archived all the same.

    Raises:
        OutputError: it cannot be written.
    """
    check_output(target, "--output")
    room, members, left_out = int(limit_mb * 1e6), [], []
    part = part_file(target)
    try:
        with tarfile.open(part, "w:gz") as archive:
            for name, data in _members(file):
                if data is None or len(data) > room:
                    left_out.append(name)
                    continue
                room -= len(data)
                info = tarfile.TarInfo(name)
                info.size, info.mode = len(data), 0o644
                archive.addfile(info, io.BytesIO(data))
                members.append(name)
        part.replace(target)
        sync_folder(target.parent)
    except OSError as error:
        raise output_error(target, error) from error
    finally:
        part.unlink(missing_ok=True)
    return SupportArchive(target, tuple(members), tuple(left_out))


def _members(file: Path) -> Iterator[tuple[str, bytes | None]]:
    """Name and content, the most important first; ``None``: it cannot be read."""
    yield "station.toml", _text(file)
    yield "doctor.json", _clean(msgspec.json.format(msgspec.json.encode(examine(file)), indent=1).decode())
    yield "versions.json", msgspec.json.format(msgspec.json.encode(_versions()), indent=1)
    try:
        station = read_station_file(file)
    except EdgeAdError as error:
        yield "station-error.txt", _clean(f"{error}\n")
        return
    for log in _logs(station):
        yield f"logs/{log.name}", _text(log)
    for table in (station.counters, station.metrics):
        if table is not None:
            yield Path(table.file).name, _text(Path(table.file))
    for name, output in station.output.items():
        if output.path is not None:
            yield f"outputs/{name}-end{Path(output.path).suffix}", _text(Path(output.path), _RESULT_LINES_BYTES)
    yield from _bundles(station)
    yield from _evidence(station)


def _versions() -> dict[str, object]:
    return {
        "written": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "packages": engine_versions(),
        "python": sys.version,
        "system": " ".join(platform.uname()),
        "libc": " ".join(platform.libc_ver()),
    }


def _logs(station: StationFile) -> list[Path]:
    """The file of the log and the older ones, newest first."""
    if station.log is None or station.log.file is None:
        return []
    path = Path(station.log.file)
    numbered = [path.with_name(f"{path.name}.{number}") for number in range(1, station.log.keep + 1)]
    return [one for one in (path, *numbered) if one.exists()]


def _bundles(station: StationFile) -> Iterator[tuple[str, bytes | None]]:
    """Manifests and calibrations, without the models."""
    paths = {one.bundle for recipe in station.recipes for one in station.inspections(recipe).values()}
    for number, path in enumerate(sorted(paths), 1):
        folder = f"bundles/{number}-{Path(path).name}"
        try:
            bundle = Bundle.open(path)
            record = {
                "path": path,
                "manifest": bundle.manifest,
                "calibrations": {one.id: bundle.calibration(one) for one in bundle.manifest.variants},
            }
        except EdgeAdError as error:
            yield f"{folder}.error.txt", _clean(f"{error}\n")
            continue
        yield f"{folder}.json", msgspec.json.encode(record)


def _evidence(station: StationFile) -> Iterator[tuple[str, bytes | None]]:
    """The last frames that were kept, newest first, with record and map."""
    if station.evidence is None:
        return
    try:
        found = list(find_evidence(Path(station.evidence.folder)))
    except EdgeAdError as error:
        yield "evidence-error.txt", _clean(f"{error}\n")
        return
    for record, place in reversed(found[-50:]):
        for path in sorted(place.glob(f"{Path(record.frame).stem}.*")):
            yield f"evidence/{record.inspection}/{path.name}", _bytes(path)


def _text(path: Path, most: int | None = None) -> bytes | None:
    data = _bytes(path)
    if data is None:
        return None
    cut = data if most is None else data[-most:]
    return _clean(cut.decode(errors="replace"))


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _clean(text: str) -> bytes:
    return without_secrets(text).encode()
