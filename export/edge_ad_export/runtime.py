"""Loads the libraries that have to be told first not to phone anybody."""

from __future__ import annotations

import os
from typing import Any

from edge_ad.engines.telemetry import switch_off

__all__ = ["load_nncf", "load_onnxruntime", "load_openvino"]


def load_onnxruntime() -> Any:
    """The module ``onnxruntime``, its telemetry off."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    return onnxruntime


def load_openvino() -> Any:
    """The module ``openvino``, its telemetry off."""
    switch_off()
    import openvino

    return openvino


def load_nncf() -> Any:
    """The module ``nncf``, its telemetry and its notes on standard output off."""
    switch_off()
    import logging

    import nncf

    nncf.set_log_level(logging.ERROR)
    return nncf
