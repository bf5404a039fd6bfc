"""``edge-ad doctor``: is this machine fit for a station, and is the station in order?"""

from __future__ import annotations

import os
import resource
import shutil
import time
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from edge_ad.errors import EdgeAdError
from edge_ad.station.running import check_station
from edge_ad.station.station_file import StationFile, read_station_file
from edge_ad.upkeep.machine_checks import Check, clock_is_synchronised, machine_checks

__all__ = ["engine_versions", "examine", "station_checks"]

_ENGINES = ("onnxruntime", "openvino")
_PACKAGES = ("edge-ad", *_ENGINES, "numpy", "opencv-python", "opencv-python-headless", "msgspec", "click")
_STATION_MB = 150  # the process that decides, and its cameras
_LEAST_FREE_MB = 200
_LEAST_FILES = 256
_MORE_NORMALS = "calibrate with 22 normal images or more"


def examine(file: Path | None = None, root: Path = Path("/")) -> list[Check]:
    """Everything that can be said without starting the station of ``file``, if one is given."""
    checks = machine_checks(root, now=time.time(), is_synchronised=clock_is_synchronised())
    checks.append(_engines())
    if file is None:
        return [*checks, *_memory(None, root), *_disks({Path.cwd()}, 0)]
    try:
        station = read_station_file(file)
        warnings = check_station(station)
    except EdgeAdError as error:
        return [*checks, Check(name="station", level="FAIL", detail=str(error), advice="edge-ad run --check FILE")]
    said = [Check(name="station", level="WARN", detail=one, advice=_MORE_NORMALS) for one in warnings]
    said = said or [Check(name="station", level="OK", detail=f"{file} is in order")]
    return [*checks, *said, *station_checks(station, root)]


def engine_versions() -> dict[str, str]:
    """The packages that matter, with their versions, where they are installed."""
    return {name: number for name in _PACKAGES if (number := _version(name)) is not None}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def station_checks(station: StationFile, root: Path = Path("/")) -> list[Check]:
    """Memory, disks, cameras and open files for this station."""
    return [*_memory(station, root), *_disks(_folders(station), _evidence_mb(station)), *_devices(station), _files()]


def _engines() -> Check:
    found = engine_versions()
    detail = ", ".join(f"{name} {number}" for name, number in found.items())
    if any(name in found for name in _ENGINES):
        return Check(name="engines", level="OK", detail=detail)
    return Check(name="engines", level="FAIL", detail=f"no engine: {detail}", advice="pip install onnxruntime")


def _memory(station: StationFile | None, root: Path) -> Iterable[Check]:
    limits = {"of the machine": _machine_memory(root), "of the cgroup": _cgroup_memory(root)}
    known = {name: amount for name, amount in limits.items() if amount is not None}
    if not known:
        return
    name, least = min(known.items(), key=lambda one: one[1])
    detail = f"{least >> 20} MiB, the limit {name}"
    if station is None:
        yield Check(name="memory", level="OK", detail=detail)
        return
    wanted = _STATION_MB + sum(one.memory_mb for one in station.inspect.values())
    detail = f"{detail}; the station may take {wanted} MiB"
    if wanted << 20 <= least:
        yield Check(name="memory", level="OK", detail=detail)
        return
    advice = "lower memory_mb of the inspections, or raise MemoryMax of the unit: the kernel ends what is too large"
    yield Check(name="memory", level="WARN", detail=detail, advice=advice)


def _machine_memory(root: Path) -> int | None:
    for line in _lines(root / "proc/meminfo"):
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) << 10
    return None


def _cgroup_memory(root: Path) -> int | None:
    """The smallest limit of the groups that this process is in (version 2)."""
    mine = [line.partition("::")[2] for line in _lines(root / "proc/self/cgroup") if line.startswith("0::")]
    if not mine:
        return None
    top = root / "sys/fs/cgroup"
    place = top / mine[0].lstrip("/")
    found = []
    for folder in (place, *place.parents):
        found += [int(line) for line in _lines(folder / "memory.max") if line.isdigit()]
        if folder == top:
            break
    return min(found, default=None)


def _disks(folders: Iterable[Path], evidence_mb: int) -> Iterable[Check]:
    seen = set()
    for folder in sorted(folders):
        there = next(one for one in (folder, *folder.absolute().parents) if one.exists())
        device = there.stat().st_dev
        if device in seen:
            continue
        seen.add(device)
        free_mb = shutil.disk_usage(there).free // 1_000_000
        detail = f"{free_mb:,} MB free at {there}"
        if os.statvfs(there).f_flag & os.ST_RDONLY:
            advice = "mount it writable, or name another folder"
            yield Check(name="disk", level="FAIL", detail=f"{there} is read-only", advice=advice)
        elif free_mb < _LEAST_FREE_MB:
            yield Check(name="disk", level="FAIL", detail=detail, advice="free some space: outputs will fail soon")
        elif free_mb < evidence_mb:
            advice = f"evidence may still grow by up to {evidence_mb:,} MB: lower limit_mb, or free some space"
            yield Check(name="disk", level="WARN", detail=detail, advice=advice)
        else:
            yield Check(name="disk", level="OK", detail=detail)


def _folders(station: StationFile) -> set[Path]:
    files = [one.path for one in station.output.values() if one.path is not None]
    kept_files = (station.counters, station.metrics, station.log, station.audit)
    files += [one.file for one in kept_files if one is not None and one.file]
    folders = {Path(one).parent for one in files}
    kept = {Path(one.folder) for one in (station.evidence, station.drift) if one is not None}
    return folders | kept or {Path.cwd()}


def _evidence_mb(station: StationFile) -> int:
    """What evidence may still take beside what it takes now."""
    if station.evidence is None:
        return 0
    taken = sum(one.stat().st_size for one in Path(station.evidence.folder).rglob("*") if one.is_file())
    return max(0, station.evidence.limit_mb - taken // 1_000_000)


def _devices(station: StationFile) -> Iterable[Check]:
    for name, camera in station.camera.items():
        source = f"/dev/video{camera.source}" if camera.source.isdigit() else camera.source
        if not source.startswith("/dev/"):
            continue
        if not Path(source).exists():
            advice = "plug it in, or name another source; names that stay: firmware_notes/systemd"
            yield Check(name=f"camera {name}", level="FAIL", detail=f"there is no {source}", advice=advice)
        elif not os.access(source, os.R_OK | os.W_OK):
            advice = "add the user to the group video"
            yield Check(name=f"camera {name}", level="FAIL", detail=f"no permission for {source}", advice=advice)
        else:
            yield Check(name=f"camera {name}", level="OK", detail=source)


def _files() -> Check:
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit >= _LEAST_FILES:
        return Check(name="open files", level="OK", detail=f"up to {limit}")
    advice = f"a station with many clients needs more: LimitNOFILE={_LEAST_FILES} in the unit"
    return Check(name="open files", level="WARN", detail=f"up to {limit}", advice=advice)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
