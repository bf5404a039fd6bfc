"""Clean roots of Debian for the slow tests of packages: made once by debootstrap, copied for each test."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from support.paths import ROOT

__all__ = ["clean_root", "run_in_root"]

_KEPT = Path(os.environ.get("EDGE_AD_DEBIAN_ROOTS", ROOT / "build/debian-roots"))
_MIRROR = os.environ.get("EDGE_AD_DEBIAN_MIRROR", "http://deb.debian.org/debian")
_RELEASES = {"3.11": "bookworm", "3.13": "trixie"}


def clean_root(architecture: str, python: str, folder: Path) -> Path:
    """A copy of a clean root with what the package depends on, a Python and systemd, and nothing else.

    The test is skipped, with the reason, where there can be none.
    """
    needed = ["debootstrap", "unshare", *(["qemu-aarch64-static"] if architecture == "arm64" else [])]
    for program in needed:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not on this machine: apt-get install debootstrap qemu-user-static")
    if os.geteuid() != 0:
        pytest.skip("debootstrap needs root")
    kept = _KEPT / f"{architecture}-{python}"
    if not (kept / ".complete").exists():
        _bootstrap(kept, architecture, python)
    subprocess.run(["cp", "--archive", "--reflink=auto", str(kept), str(folder)], check=True)  # noqa: S607
    return folder


def run_in_root(root: Path, architecture: str, commands: str) -> subprocess.CompletedProcess[str]:
    """Runs shell commands in the root, as root and without a network; stops at the first that fails."""
    script = Path(__file__).with_name("in_debian_root.sh")
    return subprocess.run(
        [str(script), str(root), architecture], input=commands, capture_output=True, text=True, check=False
    )


def _bootstrap(kept: Path, architecture: str, python: str) -> None:
    shutil.rmtree(kept, ignore_errors=True)
    kept.parent.mkdir(parents=True, exist_ok=True)
    foreign = ["--foreign"] if architecture == "arm64" else []
    options = [f"--arch={architecture}", "--variant=minbase", f"--include=python{python},systemd", *foreign]
    command = ["debootstrap", *options, _RELEASES[python], str(kept), _MIRROR]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"debootstrap could not make a root from {_MIRROR}: {done.stdout.strip().splitlines()[-1:]}")
    if foreign:
        # Its devices are there already, and in a user namespace nobody may make any.
        program = kept / "debootstrap/debootstrap"
        program.write_text(program.read_text().replace('check_sane_mount "$TARGET"', "true"))
        second = run_in_root(kept, architecture, "/debootstrap/debootstrap --second-stage")
        assert second.returncode == 0, second.stdout[-2000:] + second.stderr[-2000:]
    (kept / ".complete").touch()
