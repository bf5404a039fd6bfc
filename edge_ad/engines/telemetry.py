"""The device phones nobody.

ONNX Runtime and OpenVINO both carry telemetry that is on unless somebody switches it off. The switches are
thrown here, before an engine's first use.
"""

from __future__ import annotations

import sys
from types import ModuleType

__all__ = ["switch_off"]

_SENDERS = ("openvino_telemetry", "openvino_telemetry.backend")


def switch_off() -> None:
    """Switches telemetry off for this process. Safe to call more than once; imports no engine by itself.

    OpenVINO's tools and NNCF send through the package ``openvino_telemetry`` and carry on silently without it:
    an entry of ``None`` in ``sys.modules`` makes its import fail. ONNX Runtime's switch is a function of its own,
    which :mod:`edge_ad.engines.onnxruntime` calls right after the import.
    """
    modules: dict[str, ModuleType | None] = sys.modules  # type: ignore[assignment]
    for name in _SENDERS:
        modules[name] = None
