"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version

from edge_ad_metrics.machine import describe_cpu

PACKAGES = ("numpy", "opencv-python", "onnxruntime", "openvino", "nncf")


def describe() -> str:
    """CPU, instruction sets that matter here, cores, versions."""
    cpu = describe_cpu()
    sets = " ".join(cpu.instructions)
    return (
        f"{cpu.model}, {os.cpu_count()} cores, {sets or 'no known instruction sets'}\n"
        f"Python {platform.python_version()}, {', '.join(f'{name} {_version(name)}' for name in PACKAGES)}"
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"
