"""What this machine's CPU is and can do. Latencies mean nothing without it, and int8 graphs are made for it."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Cpu", "core_count", "describe_cpu"]

# What the engines choose their kernels by.
_TELLING = (
    *("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8"),
    *("asimd", "asimddp", "i8mm", "sve"),
)


@dataclass(frozen=True)
class Cpu:
    """``instructions``: the instruction sets that engines choose by, as Linux spells them."""

    model: str
    instructions: tuple[str, ...]

    @classmethod
    def from_info(cls, info: Mapping[str, Any]) -> Cpu:
        """From what py-cpuinfo answers; the model is the architecture where the system does not name it."""
        flags = set(info.get("flags", ()))
        return cls(info.get("brand_raw") or platform.machine(), tuple(name for name in _TELLING if name in flags))


# The answer takes a second; a machine under load takes longer.
_ANSWER_S = 60
# Without the working directory, in which the user may have a file of any name.
_QUESTION = "import sys; sys.path[:] = filter(None, sys.path); import cpuinfo; cpuinfo.main()"
_KERNELS_ANSWER = Path("/proc/cpuinfo")


@cache
def describe_cpu() -> Cpu:
    """This machine's CPU. The first call takes a second.

    On Linux py-cpuinfo answers with the kernel's own list of flags, which is read directly where py-cpuinfo fails.
    Elsewhere it knows no VNNI, AMX or bfloat16.
    """
    try:
        return Cpu.from_info(_ask_cpuinfo())
    except (OSError, subprocess.SubprocessError, ValueError):
        return Cpu.from_info(_ask_kernel())


def _ask_cpuinfo() -> Mapping[str, Any]:
    """What py-cpuinfo answers in a process of its own.

    It forks and waits for the child without a limit, and a fork beside the threads of an engine may never end. After
    the timeout the whole group of processes is killed.

    Raises:
        OSError, subprocess.SubprocessError, ValueError: no answer.
    """
    command = [sys.executable, "-c", _QUESTION, "--json"]
    null, pipe = subprocess.DEVNULL, subprocess.PIPE
    with subprocess.Popen(command, stdin=null, stdout=pipe, stderr=null, start_new_session=True) as process:
        try:
            answer, _ = process.communicate(timeout=_ANSWER_S)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return dict(json.loads(answer))


def _ask_kernel() -> Mapping[str, Any]:
    """The same facts from Linux; none on other systems."""
    try:
        lines = _KERNELS_ANSWER.read_text(errors="replace").splitlines()
    except OSError:
        return {}
    facts = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in reversed(lines))}
    return {
        "brand_raw": facts.get("model name"),
        "flags": facts.get("flags", facts.get("Features", "")).split(),
    }


def core_count() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0))
