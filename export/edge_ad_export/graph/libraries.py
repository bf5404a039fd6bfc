"""Loads the libraries that export drives: their telemetry off, and no line of theirs between those of edge-ad."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from edge_ad.engines.onnxruntime import load_onnxruntime
from edge_ad.engines.openvino import load_openvino, switch_off_telemetry

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["load_nncf", "load_onnxruntime", "load_openvino", "openvino_capabilities", "openvino_reason", "quiet_logs"]


def openvino_capabilities() -> tuple[str, ...]:
    """What OpenVINO says that it can do on this CPU: ``FP32``, ``INT8``, ``BF16`` and the like."""
    return tuple(load_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"))


def openvino_reason(error: Exception) -> str:
    """Why OpenVINO failed, on one line: it says where first, and why last."""
    lines = str(error).strip().splitlines()
    return lines[-1].strip() if lines else type(error).__name__


def load_nncf() -> Any:
    """The module ``nncf``, its telemetry and its notes on standard output off."""
    switch_off_telemetry()
    import nncf

    nncf.set_log_level(logging.ERROR)
    return nncf


@contextmanager
def quiet_logs(*names: str) -> Iterator[None]:
    """Lets nothing below ``CRITICAL`` through from these loggers while the block runs (no name: from the root)."""
    loggers = [logging.getLogger(name) for name in names or (None,)]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
