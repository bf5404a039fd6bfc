"""What this machine's CPU is and can do. Latencies mean nothing without it, and int8 graphs are made for it."""

from __future__ import annotations

import os
import platform
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


@cache
def describe_cpu() -> Cpu:
    """This machine's CPU. The first call takes a second.

    On Linux py-cpuinfo answers with the kernel's own list of flags. Elsewhere it knows no VNNI, AMX or bfloat16.
    """
    from cpuinfo import get_cpu_info

    return Cpu.from_info(get_cpu_info())


def core_count() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0))
