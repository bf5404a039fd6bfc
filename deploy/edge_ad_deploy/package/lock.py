"""The pinned wheels of a target: a requirements file with one hash for each wheel, made by pip's own resolution."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import requires
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from edge_ad.errors import InputError
from edge_ad.files import read_small
from edge_ad_deploy.package.pip import run_pip
from edge_ad_deploy.package.target import PackageTarget

__all__ = ["EXTRAS", "RUNTIME", "Lock", "Pin", "device_requirements", "make_lock"]

RUNTIME = "edge-ad"
"""What a pin is for that every device needs."""

EXTRAS = (
    "openvino",
    "trust",
    "metrics",
    "gpio",
    "calibration",
    "modbus",
    "s7",
    "ethernet-ip",
    "opcua",
    "mqtt",
    "serve",
    "sftp",
    "s3",
)
"""The extras of edge-ad that a device may want."""

# A device has no screen: the headless OpenCV is smaller and needs no libGL.
_MOST_BYTES = 16 << 20
_INSTEAD = MappingProxyType({"opencv-python": "opencv-python-headless"})

_PIN = re.compile(
    r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s\\]+) \\\n"
    r"    --hash=sha256:(?P<sha256>[0-9a-f]{64})\n"
    r"    # for: (?P<wanted>[^\n]+)\n",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Pin:
    """One wheel. ``sha256``: of the wheel, hexadecimal. ``wanted``: what it is for, ``edge-ad`` or names of extras."""

    name: str
    version: str
    sha256: str
    wanted: tuple[str, ...]

    def requirement(self) -> str:
        """The lines of a requirements file."""
        return f"{self.name}=={self.version} \\\n    --hash=sha256:{self.sha256}\n"


@dataclass(frozen=True, slots=True)
class Lock:
    """All pins of one target."""

    pins: tuple[Pin, ...]

    @classmethod
    def read(cls, path: Path) -> Lock:
        """Reads a lock file.

        Raises:
            InputError: it is not there, or a line of it is not as ``--update-lock`` writes it.
        """
        try:
            text = read_small(path, _MOST_BYTES).decode("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not a text"
            raise InputError(f"the lock {path} cannot be read ({reason}): make it with --update-lock") from None
        pins = tuple(
            Pin(found["name"], found["version"], found["sha256"], tuple(found["wanted"].split(", ")))
            for found in _PIN.finditer(text)
        )
        rest = [line for line in _PIN.sub("", text).splitlines() if line.strip() and not line.startswith("#")]
        if rest or not pins:
            found_text = repr(rest[0]) if rest else "no pin"
            raise InputError(
                f"the lock {path} is damaged: expected NAME==VERSION, its sha256 and what it is for, found "
                f"{found_text}: make it again with --update-lock"
            )
        return cls(pins)

    def text(self, target: PackageTarget) -> str:
        """The lock file."""
        head = (
            f"# What edge-ad package --target {target.architecture} puts on a device with Python {target.python}.\n"
            "# Made by edge-ad package --update-lock, which takes the newest releases that go together.\n"
        )
        return head + "".join(f"{one.requirement()}    # for: {', '.join(one.wanted)}\n" for one in self.pins)

    def chosen(self, extras: Iterable[str]) -> tuple[Pin, ...]:
        """The pins of a device with these extras.

        Raises:
            InputError: the lock has nothing for one of them.
        """
        wanted = {RUNTIME, *extras}
        known = {one for pin in self.pins for one in pin.wanted}
        for missing in sorted(wanted - known):
            raise InputError(
                f"--extra {missing}: the lock has no wheels for it; make the lock again with --update-lock"
            )
        return tuple(pin for pin in self.pins if wanted.intersection(pin.wanted))


def device_requirements(target: PackageTarget, extra: str = "") -> list[str]:
    """What edge-ad needs on this target: for itself, or what one extra adds."""
    found = []
    for line in requires("edge-ad") or ():
        one = Requirement(line)
        wanted = one.marker is None or one.marker.evaluate(target.markers(extra))
        belongs = bool(extra) == ("extra" in str(one.marker or ""))
        if wanted and belongs:
            extras = f"[{','.join(sorted(one.extras))}]" if one.extras else ""
            found.append(f"{_INSTEAD.get(one.name, one.name)}{extras}{one.specifier}")
    return found


def make_lock(target: PackageTarget) -> Lock:
    """Resolves what a device of this target needs, with every extra that it may want, to the newest releases.

    Raises:
        DeviceError: no package registry can be reached.
        InputError: there are no releases for this target that go together.
    """
    roots = {RUNTIME: device_requirements(target), **{one: device_requirements(target, one) for one in EXTRAS}}
    wanted = sorted({line for lines in roots.values() for line in lines})
    with tempfile.TemporaryDirectory() as work:
        report = Path(work) / "report.json"
        # --target is what pip asks for with another platform; --dry-run leaves it empty.
        into = ["--target", str(Path(work) / "none")]
        options = ["--dry-run", "--ignore-installed", "--report", str(report), *into, *target.pip_options()]
        run_pip(["install", *options, *wanted], target)
        items = msgspec.json.decode(report.read_bytes())["install"]
    found: dict[str, Any] = {canonicalize_name(one["metadata"]["name"]): one for one in items}
    reached = {root: _closure(lines, found, target) for root, lines in roots.items()}
    pins = []
    for name, one in sorted(found.items()):
        sha256 = one["download_info"]["archive_info"]["hashes"]["sha256"]
        needed = tuple(root for root, names in reached.items() if name in names)
        if not needed:
            continue  # pip judges conditions by this machine's Python: only an older one needs it
        pins.append(Pin(name, one["metadata"]["version"], sha256, (RUNTIME,) if RUNTIME in needed else needed))
    return Lock(tuple(pins))


def _closure(lines: Sequence[str], found: Mapping[str, Any], target: PackageTarget) -> set[str]:
    """The names of all that these requirements bring along."""
    reached: set[str] = set()
    waiting = [Requirement(line) for line in lines]
    seen: set[tuple[str, str]] = set()
    while waiting:
        wanted = waiting.pop()
        name = canonicalize_name(wanted.name)
        reached.add(name)
        for extra in ("", *sorted(wanted.extras)):
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            if name not in found:
                raise InputError(
                    f"Python {target.python} needs {name}, which pip leaves out on this machine: "
                    f"make the lock with Python {target.python}"
                )
            needs = map(Requirement, found[name]["metadata"].get("requires_dist", ()))
            waiting += [one for one in needs if one.marker is None or one.marker.evaluate(target.markers(extra))]
    return reached
