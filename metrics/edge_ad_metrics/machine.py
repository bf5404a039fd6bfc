"""What this machine's CPU is and can do: latencies mean nothing without it."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Cpu", "describe_cpu"]

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


def describe_cpu(cpuinfo: Path = Path("/proc/cpuinfo")) -> Cpu:
    """Read from Linux; elsewhere the model is what Python knows and no instruction set is named."""
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in reversed(lines))}
    flags = set((fields.get("flags") or fields.get("Features") or "").split())
    model = fields.get("model name") or platform.processor() or platform.machine()
    return Cpu(model, tuple(name for name in _TELLING if name in flags))
