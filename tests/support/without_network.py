"""Runs commands where there is no network but loopback, and writes down whatever tried to reach another.

Two witnesses: a library that is preloaded names the program, the call and the address, and the kernel counts packets
for which a namespace without routes has no way, whoever sent them and however.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Watched", "run_without_network"]

_SOURCE = Path(__file__).with_name("connections.c")
_SET_FLAGS, _UP_AND_RUNNING = 0x8914, 0x41


@dataclass(frozen=True, slots=True)
class Watched:
    """What a command ended with. ``unrouted``: packets that had no way; ``attempts``: PROGRAM CALL ADDRESS."""

    code: int
    output: str
    unrouted: int
    attempts: tuple[str, ...]


def run_without_network(folder: Path, command: Sequence[str | Path]) -> Watched:
    """Runs a command and all that it starts; the test is skipped where the kernel or a compiler does not let us."""
    library = _preloaded(folder / "connections.so")
    enter = _enter_namespace()
    attempts, counted = folder / "attempts.txt", folder / "counted.txt"
    attempts.touch()
    given = [*enter, sys.executable, __file__, str(counted), *map(str, command)]
    environment = {**os.environ, "LD_PRELOAD": str(library), "CONNECTIONS": str(attempts)}
    done = subprocess.run(
        given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, env=environment
    )
    assert counted.is_file(), done.stdout
    return Watched(done.returncode, done.stdout, int(counted.read_text()), tuple(attempts.read_text().splitlines()))


def _enter_namespace() -> list[str]:
    """What begins a command that runs in a new network namespace."""
    import pytest  # not needed in the namespace

    unshare = shutil.which("unshare")
    ways = [[unshare, *options] for options in (["--net"], ["--map-root-user", "--net"])] if unshare else []
    for enter in ways:
        if subprocess.run([*enter, "true"], capture_output=True, check=False).returncode == 0:
            return enter
    raise pytest.skip.Exception("no network namespace without root or user namespaces on this machine")


def _preloaded(target: Path) -> Path:
    import pytest

    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler on this machine")
    flags = ["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O1", "-shared", "-fPIC"]
    command = [compiler, *flags, "-o", str(target), str(_SOURCE), "-ldl"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return target


def _bring_up_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        fcntl.ioctl(one, _SET_FLAGS, struct.pack("16sh14x", b"lo", _UP_AND_RUNNING))


def _unrouted() -> int:
    """The packets of this namespace that had no way, of IPv4 and IPv6."""
    names, values = (line.split() for line in Path("/proc/net/snmp").read_text().splitlines()[:2])
    counted = int(dict(zip(names, values, strict=True))["OutNoRoutes"])
    six = Path("/proc/net/snmp6")
    lines = six.read_text().splitlines() if six.is_file() else []
    return counted + sum(int(line.split()[1]) for line in lines if line.startswith("Ip6OutNoRoutes"))


if __name__ == "__main__":
    _bring_up_loopback()
    before = _unrouted()
    code = subprocess.run(sys.argv[2:], check=False).returncode
    Path(sys.argv[1]).write_text(json.dumps(_unrouted() - before))
    sys.exit(code)
