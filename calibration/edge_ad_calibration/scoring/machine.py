"""This machine, as far as scores and their speed depend on it."""

from __future__ import annotations

import os
import platform
from pathlib import Path

__all__ = ["core_count", "cpu_model"]


def core_count() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0))


def cpu_model() -> str:
    """What the system calls its CPU; where it does not say, the architecture."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = {line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "CPU part"))}
    return ", ".join(sorted(models)) or platform.machine()
