"""From a staged tree to a Debian package, by nfpm."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sysconfig
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec

from edge_ad.errors import InputError, MissingExtraError
from edge_ad_deploy.package.contents import STATION_FILE
from edge_ad_deploy.package.target import PackageTarget

__all__ = ["DebianFields", "debian_version", "find_nfpm", "set_times", "write_debian_package"]

_SCRIPTS = Path(__file__).with_name("scripts")


@dataclass(frozen=True, slots=True)
class DebianFields:
    """What stands in the package's control file. ``version``: as Debian compares it. ``maintainer``: NAME <MAIL>."""

    target: PackageTarget
    version: str
    maintainer: str
    made: datetime


def debian_version(version: str) -> str:
    """A Python version as Debian writes it: what comes before a release gets a tilde, so that it sorts before."""
    return re.sub(r"\.?(a|b|rc|dev)(\d+)", r"~\1\2", version).replace("+", "+git.") if version else version


def find_nfpm() -> Path:
    """The program nfpm of this environment.

    Raises:
        MissingExtraError: it is not installed.
    """
    beside = Path(sysconfig.get_path("scripts")) / "nfpm"
    found = str(beside) if beside.is_file() else shutil.which("nfpm")
    if found is None:
        raise MissingExtraError("nfpm", "deploy")
    return Path(found)


def set_times(tree: Path, made: datetime) -> None:
    """Gives everything below ``tree`` one time and the usual modes, so that equal input makes an equal package."""
    stamp = made.timestamp()
    for path in sorted(tree.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        os.utime(path, (stamp, stamp), follow_symlinks=False)


def write_debian_package(stage: Path, station_file: Path, fields: DebianFields, output: Path) -> None:
    """Writes the package. ``stage``: the tree from ``/``; ``station_file``: the example, which a user may change.

    Raises:
        InputError: nfpm does not take it.
    """
    python = f"/usr/bin/python{fields.target.python}"
    # Not in the tree: how nfpm reads a link there depends on whether this machine has what it leads to.
    links = {
        "/opt/edge-ad/bin/python": python,
        "/opt/edge-ad/bin/python3": python,
        "/usr/bin/edge-ad": "/opt/edge-ad/bin/edge-ad",
    }
    config = {
        "name": "edge-ad",
        "arch": fields.target.architecture,
        "platform": "linux",
        "version": fields.version,
        "version_schema": "none",
        "section": "science",
        "priority": "optional",
        "maintainer": fields.maintainer,
        "description": "Visual anomaly detection on inspection devices\n"
        "The runtime of edge-ad with all of its libraries, and the service of its stations.",
        "license": "Apache-2.0",
        # systemd makes the user and the folders; what else the libraries need is in Debian's base.
        "depends": [f"python{fields.target.python}", "systemd"],
        "recommends": ["udev", "chrony | systemd-timesyncd | time-daemon"],
        "mtime": fields.made.isoformat(),
        "contents": [
            {"src": str(stage), "dst": "/", "type": "tree"},
            *({"src": to, "dst": link, "type": "symlink"} for link, to in links.items()),
            {"src": str(station_file), "dst": STATION_FILE, "type": "config", "file_info": {"mode": 0o644}},
        ],
        "scripts": {
            "postinstall": str(_SCRIPTS / "postinst"),
            "preremove": str(_SCRIPTS / "prerm"),
            "postremove": str(_SCRIPTS / "postrm"),
        },
        # xz makes it some 6 % smaller and takes ten times as long.
        "deb": {"compression": "zstd"},
    }
    file = output.with_name(f"{output.name}.json")
    file.write_bytes(msgspec.json.encode(config))
    environment = os.environ | {"SOURCE_DATE_EPOCH": str(int(fields.made.timestamp()))}
    command = [str(find_nfpm()), "package", "--config", str(file), "--packager", "deb", "--target", str(output)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines() or ["it said nothing"]
        raise InputError(f"nfpm could not write the package: {said[-1]}")
