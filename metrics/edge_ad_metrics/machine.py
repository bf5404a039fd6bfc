"""What this machine's CPU is and can do. Latencies mean nothing without it, and int8 graphs are made for it."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
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


@cache
def describe_cpu() -> Cpu:
    """This machine's CPU. The first call takes a second.

    On Linux py-cpuinfo answers with the kernel's own list of flags. Elsewhere it knows no VNNI, AMX or bfloat16. It
    runs in a process of its own, because it forks and waits for the child without a limit: a fork beside the threads
    of an engine may never end.
    """
    try:
        command = [sys.executable, "-m", "cpuinfo", "--json"]
        answer = subprocess.run(command, capture_output=True, check=True, timeout=_ANSWER_S, stdin=subprocess.DEVNULL)
        return Cpu.from_info(json.loads(answer.stdout))
    except (OSError, subprocess.SubprocessError, ValueError):
        return Cpu.from_info({})


def core_count() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0))
