"""Runs pip for a target, and says in one line why it did not get what it was asked for."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from edge_ad.errors import DeviceError, EdgeAdError, InputError
from edge_ad_deploy.package.target import PackageTarget

__all__ = ["run_pip"]

_DIFFERS = re.compile(r"^\s*(\S+)(?: from ([^\s:]+://\S+|\S+))?.*:\n\s+Expected sha256 (\w+)\n\s+Got\s+(\w+)", re.M)
_UNREACHABLE = re.compile(r"NewConnectionError|Failed to establish|NameResolutionError|Max retries|ConnectTimeout")
_MISSING = re.compile(r"No matching distribution found for (\S+)")


def run_pip(arguments: Sequence[str], target: PackageTarget, wheels: Path | None = None) -> None:
    """Runs pip of this environment. ``wheels``: a folder of wheels to take instead of those of a registry.

    Raises:
        DeviceError: no package registry can be reached.
        InputError: a wheel differs from its pin, or there is none for this target.
    """
    source = [] if wheels is None else ["--no-index", "--find-links", str(wheels)]
    options = ["--quiet", "--no-input", "--disable-pip-version-check", "--retries", "2"]
    done = subprocess.run(
        [sys.executable, "-m", "pip", *arguments, *options, *source], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise _refusal(done.stderr, target, wheels)


def _refusal(said: str, target: PackageTarget, wheels: Path | None) -> EdgeAdError:
    differs = _DIFFERS.search(said)
    if differs:
        name, place, expected, found = differs.groups()
        wheel = (place or name).rpartition("/")[2]
        return InputError(
            f"{wheel} is another wheel than the lock names: expected sha256 {expected}, found {found}; take the right "
            "wheel, or make the lock again with --update-lock"
        )
    missing = _MISSING.search(said)
    if _UNREACHABLE.search(said):
        return DeviceError(
            "no package registry can be reached: connect to one, or give a folder of wheels with --wheels"
        )
    if missing:
        place = "the package registry has" if wheels is None else f"--wheels {wheels} holds"
        return InputError(
            f"{place} no wheel of {missing[1]} for {target.architecture} with Python {target.python}; another lock is "
            "made with --update-lock"
        )
    errors = [line.removeprefix("ERROR: ") for line in said.splitlines() if line.startswith("ERROR: ")]
    return InputError(f"pip failed: {(errors or said.splitlines() or ['it said nothing'])[-1]}")
