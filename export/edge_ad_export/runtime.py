"""Loads the libraries that have to be told first not to phone anybody."""

from __future__ import annotations

from typing import Any

from edge_ad.engines.onnxruntime import load_onnxruntime
from edge_ad.engines.openvino import load_openvino
from edge_ad.engines.telemetry import switch_off

__all__ = ["load_nncf", "load_onnxruntime", "load_openvino", "openvino_capabilities"]


def openvino_capabilities() -> tuple[str, ...]:
    """What OpenVINO says that it can do on this CPU: ``FP32``, ``INT8``, ``BF16`` and the like."""
    return tuple(load_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"))


def load_nncf() -> Any:
    """The module ``nncf``, its telemetry and its notes on standard output off."""
    switch_off()
    import logging

    import nncf

    nncf.set_log_level(logging.ERROR)
    return nncf
