"""Runs the programs that images are made with, and says in one line what is missing or went wrong."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from edge_ad.errors import DeviceError, InputError

__all__ = ["epoch", "need_tools", "run_tool"]

# The Debian package of each program.
_PACKAGES = MappingProxyType(
    {
        "dd": "coreutils",
        "grub-mkstandalone": "grub-common grub-efi-amd64-bin",
        "mcopy": "mtools",
        "mkfs.ext4": "e2fsprogs",
        "mkfs.vfat": "dosfstools",
        "mksquashfs": "squashfs-tools",
        "mmd": "mtools",
        "mmdebstrap": "mmdebstrap",
        "rauc": "rauc",
        "sgdisk": "gdisk",
        "unsquashfs": "squashfs-tools",
        "zstd": "zstd",
    }
)


def need_tools(names: Iterable[str]) -> None:
    """Looks for all programs before anything begins.

    Raises:
        InputError: some are missing; it names their packages.
    """
    missing = [name for name in names if _find(name) is None]
    if missing:
        packages = " ".join(dict.fromkeys(_PACKAGES[name] for name in missing))
        raise InputError(f"{', '.join(missing)} not found on this machine: apt-get install {packages}")


def run_tool(command: Sequence[str | Path], *, environment: Mapping[str, str] | None = None) -> str:
    """Runs one of the programs and returns what it printed.

    Raises:
        DeviceError: it failed; the message holds the last line that it said.
    """
    name = str(command[0])
    program = _find(name) or name
    done = subprocess.run(
        [program, *map(str, command[1:])],
        capture_output=True,
        text=True,
        check=False,
        errors="replace",
        env=dict(os.environ) | {"LC_ALL": "C.UTF-8", **(environment or {})},
    )
    if done.returncode:
        said = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        telling = [line for line in said if "error" in line.lower() or line.startswith("E:")] or said
        raise DeviceError(f"{name} failed with exit code {done.returncode}: {telling[-1] if telling else 'no message'}")
    return done.stdout


def epoch() -> int | None:
    """``SOURCE_DATE_EPOCH``, or nothing.

    Raises:
        InputError: it is no number.
    """
    text = os.environ.get("SOURCE_DATE_EPOCH")
    if text is None:
        return None
    if not text.isdecimal() or len(text) > 10:
        raise InputError(f"SOURCE_DATE_EPOCH={text}: expected the seconds since 1970, or nothing")
    return int(text)


def _find(name: str) -> str | None:
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
