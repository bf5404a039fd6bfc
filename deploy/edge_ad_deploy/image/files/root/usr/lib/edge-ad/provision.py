"""Takes stations from a folder that came with the device or on a stick, once, and starts the stations of this device.

It runs on the device with Debian's own Python, before anything of edge-ad. The folder holds

    stations/NAME/station.toml   and all that it names, such as bundles, certificates and tokens
    root.json                    the root of the keys that the stations trust, where there is none yet
    hostname, ntp                one line; the addresses of time servers, one a line

A station that is on the device already is never touched.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import tomllib  # type: ignore[import-not-found,unused-ignore]

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
TAKEN = {"trust", "metrics"}
PROGRAM = "/opt/edge-ad/bin/edge-ad"

Run = Callable[[Sequence[str], Path], "subprocess.CompletedProcess[str]"]


def run(command: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs a program in a folder, and keeps what it says."""
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@dataclass(frozen=True)
class ProvisionedDevice:
    """Where things lie on the device. ``user``: whom stations belong to; ``run``: how programs are run."""

    stations: Path = Path("/var/lib/edge-ad")
    settings: Path = Path("/etc/edge-ad")
    kept: Path = Path("/data/etc")
    user: str = "edge-ad"
    run: Run = run

    def as_user(self, arguments: Sequence[str], folder: Path) -> str | None:
        """Runs edge-ad as the stations' user. Returns what is wrong, or nothing."""
        done = self.run(["runuser", "-u", self.user, "--", PROGRAM, *arguments], folder)
        if done.returncode == 0:
            return None
        said = (done.stderr or done.stdout).strip().splitlines()
        return said[-1].removeprefix("edge-ad: ") if said else f"edge-ad ended with {done.returncode}"

    def names(self) -> list[str]:
        """The stations of this device."""
        return sorted(file.parent.name for file in self.stations.glob("[!.]*/station.toml"))


def take(folder: Path, device: ProvisionedDevice) -> Iterator[str]:
    """Takes what ``folder`` has and the device has not. Yields a line when something was taken or refused.

    Before a station is copied and checked, which can take minutes, a line says so.
    """
    if not folder.is_dir():
        return
    yield from _take_settings(folder, device)
    yield from _take_root(folder, device)
    for file in sorted((folder / "stations").glob("*/station.toml")):
        name = file.parent.name
        if NAME.fullmatch(name) is None or name in TAKEN:
            yield f"stations/{name}: refused: expected a name of letters, digits, _ and -"
        elif not (device.stations / name).exists():
            yield f"station {name}: is copied and checked"
            yield f"station {name}: {_take_station(file.parent, device)}"


def _take_settings(folder: Path, device: ProvisionedDevice) -> list[str]:
    lines = []
    hostname, kept = folder / "hostname", device.kept / "hostname"
    if hostname.is_file() and not kept.exists():
        name = hostname.read_text(encoding="utf-8").strip()
        if NAME.fullmatch(name):
            _write(kept, f"{name}\n")
            device.run(["hostname", name], Path("/"))
            lines.append(f"hostname {name}: taken")
        else:
            lines.append(f"hostname {name}: refused: expected letters, digits and -")
    servers, sources = folder / "ntp", device.settings / "chrony/ntp.conf"
    if servers.is_file() and not sources.exists():
        given = [line.strip() for line in servers.read_text(encoding="utf-8").splitlines() if line.strip()]
        wrong = [line for line in given if re.fullmatch(r"[A-Za-z0-9.:-]+", line) is None]
        if wrong:
            lines.append(f"ntp: refused: expected an address on each line, found {wrong[0]!r}")
        else:
            _write(sources, "".join(f"server {line} iburst\n" for line in given))
            device.run(["systemctl", "--no-block", "try-restart", "chrony"], Path("/"))
            lines.append(f"ntp {' '.join(given)}: taken")
    return lines


def _take_root(folder: Path, device: ProvisionedDevice) -> list[str]:
    root, store = folder / "root.json", device.stations / "trust"
    if not root.is_file() or (store / "root.json").exists():
        return []
    copy = device.stations / ".root.json"
    shutil.copyfile(root, copy)
    _give_to_user(copy, device.user)
    wrong = device.as_user(["trust", str(store), str(copy)], device.stations)
    copy.unlink()
    os.sync()
    return [f"root.json: refused: {wrong}" if wrong else "root.json: taken"]


def _take_station(source: Path, device: ProvisionedDevice) -> str:
    """Copies the whole folder, checks it as the station will, and only then gives it its name, in one step."""
    stage, place = device.stations / f".new-{source.name}", device.stations / source.name
    shutil.rmtree(stage, ignore_errors=True)
    try:
        shutil.copytree(source, stage, copy_function=shutil.copyfile)
        _give_to_user(stage, device.user)
        wrong = device.as_user(["run", "--check", "station.toml"], stage)
        if wrong:
            return f"refused: {wrong}"
        os.sync()
        stage.rename(place)
        os.sync()
    except shutil.Error as errors:  # What copytree raises: source, copy and reason of each file that failed.
        file, _, reason = errors.args[0][0]
        return f"refused: {Path(file).relative_to(source)} could not be copied: {reason}"
    except OSError as error:
        return f"refused: it could not be copied: {error.strerror}"
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    return "taken"


def _give_to_user(path: Path, user: str) -> None:
    """Nobody else may read keys and tokens, which FAT cannot say."""
    for one in (path, *path.rglob("*")):
        one.chmod(0o700 if one.is_dir() else 0o600)
        shutil.chown(one, user, user)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.new")
    part.write_text(text, encoding="utf-8")
    os.sync()
    part.rename(path)
    os.sync()


def start(device: ProvisionedDevice) -> list[str]:
    """Starts every station, and the controllers of those whose file names some."""
    lines = []
    for name in device.names():
        units = [f"edge-ad@{name}.service"]
        try:
            tables = tomllib.loads((device.stations / name / "station.toml").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            tables = {}  # The station itself says what is wrong with its file.
        if "controller" in tables:
            units.append(f"edge-ad-connect@{name}.service")
        device.run(["systemctl", "--no-block", "start", *units], Path("/"))
        lines.append(f"station {name} starts")
    return lines or ["no station: put the folder edge-ad/stations on the boot partition or on a USB stick"]


if __name__ == "__main__":
    given = sys.argv[1]
    for line in start(ProvisionedDevice()) if given == "--start" else take(Path(given), ProvisionedDevice()):
        print(f"edge-ad: {line}", flush=True)  # noqa: T201
