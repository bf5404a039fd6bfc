"""What this device's CPU is, and for which kinds of CPU variants are made.

In int8 the kind decides: without VNNI (or its like) x86 adds 8-bit products in 16 bits, where they saturate, unless
the weights have only 7 bits. A graph with 8-bit weights gives other scores there.
"""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "ARM64",
    "BF16_INSTRUCTIONS",
    "X86_AVX2",
    "X86_VNNI",
    "Processor",
    "describe_processor",
    "this_processor",
]

X86_VNNI, X86_AVX2, ARM64 = "x86-vnni", "x86-avx2", "arm64"
# With any of them OpenVINO calculates in bfloat16 without emulation.
BF16_INSTRUCTIONS = ("amx_bf16", "avx512_bf16")

_X86 = frozenset({"x86_64", "amd64", "i686", "i386"})
_ARM = frozenset({"aarch64", "arm64"})
_VNNI = frozenset({"avx_vnni", "avx512_vnni"})
# Values of ONEDNN_MAX_CPU_ISA that limit nothing, and parts of the names of those that allow bfloat16 and VNNI.
_ISA_UNLIMITED = frozenset({"", "ALL", "DEFAULT"})
_ISA_WITH_BF16 = ("BF16", "FP16", "AMX", "AVX10")
_ISA_WITH_VNNI = ("VNNI", *_ISA_WITH_BF16)


@dataclass(frozen=True)
class Processor:
    """A CPU as the system describes it.

    ``machine``: the architecture, as ``platform.machine()`` has it. ``instructions``: the instruction sets, as Linux
    spells them; empty where the system does not tell. ``max_isa``: the environment variable ``ONEDNN_MAX_CPU_ISA``,
    with which OpenVINO calculates as an older CPU does.
    """

    machine: str
    instructions: frozenset[str] = frozenset()
    max_isa: str = ""

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of CPU whose variants this one calculates exactly, its own kind first; empty where it is of none.

        A CPU with VNNI gives the same scores with 7-bit weights as one without. An x86 CPU of which nothing else is
        known counts as one without.
        """
        if self.machine.lower() in _ARM:
            return (ARM64,)
        if self.machine.lower() not in _X86:
            return ()
        return (X86_VNNI, X86_AVX2) if self._has_vnni else (X86_AVX2,)

    @property
    def calculates_bf16(self) -> bool:
        """Whether OpenVINO calculates in bfloat16 here with instructions made for it.

        Its ``OPTIMIZATION_CAPABILITIES`` name ``BF16`` also where it is emulated with AVX-512, which is slow, and where
        ``max_isa`` forbids it, which may even crash the process.
        """
        return self._allows(_ISA_WITH_BF16) and not self.instructions.isdisjoint(BF16_INSTRUCTIONS)

    @property
    def _has_vnni(self) -> bool:
        """VNNI of 256 bits is an instruction set of its own, which not every CPU with VNNI of 512 bits has."""
        if self.max_isa.upper() == "AVX2_VNNI":
            return "avx_vnni" in self.instructions
        return self._allows(_ISA_WITH_VNNI) and not _VNNI.isdisjoint(self.instructions)

    def _allows(self, names: Iterable[str]) -> bool:
        """Whether ``max_isa`` limits nothing, or is a value with one of these names in it."""
        asked = self.max_isa.upper()
        return asked in _ISA_UNLIMITED or any(name in asked for name in names)


def this_processor(environment: Mapping[str, str] = os.environ) -> Processor:
    """The CPU that this process runs on. Only on Linux are its instructions known."""
    flags = {word for line in _lines(("flags", "Features")) for word in line.partition(":")[2].split()}
    return Processor(platform.machine(), frozenset(flags), environment.get("ONEDNN_MAX_CPU_ISA", ""))


def describe_processor() -> str:
    """The model and the instructions of this processor, as far as the system tells."""
    words = [platform.machine(), *(f"{name}={value}" for name, value in os.environ.items() if "MAX_CPU_ISA" in name)]
    return " ".join([*words, *_lines(("model", "stepping", "flags", "CPU ", "Features"))])


def _lines(starts: Iterable[str]) -> list[str]:
    """What Linux says of the first core, of lines that begin so; nothing elsewhere."""
    with contextlib.suppress(OSError):
        first_core = Path("/proc/cpuinfo").read_text(errors="replace").partition("\n\n")[0]
        return [line for line in first_core.splitlines() if line.startswith(tuple(starts))]
    return []
