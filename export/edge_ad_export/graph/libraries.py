"""Loads the libraries that export drives: their telemetry off, and no line of theirs between those of edge-ad."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from edge_ad.engines.onnxruntime import load_onnxruntime
from edge_ad.engines.openvino import load_openvino, switch_off_telemetry
from edge_ad.errors import ModelError
from edge_ad.files import output_error

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = [
    "load_nncf",
    "load_onnxruntime",
    "load_openvino",
    "openvino_capabilities",
    "openvino_reason",
    "quiet_logs",
    "quiet_root",
    "save_openvino",
]

# The disk is full if so little cannot be added to a file that OpenVINO could not write.
_PROBE = bytes(1 << 20)


def openvino_capabilities() -> tuple[str, ...]:
    """What OpenVINO says that it can do on this CPU: ``FP32``, ``INT8``, ``BF16`` and the like."""
    return tuple(load_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"))


def openvino_reason(error: Exception) -> str:
    """Why OpenVINO failed, on one line: it says where first, and why last."""
    lines = str(error).strip().splitlines()
    return lines[-1].strip() if lines else type(error).__name__


def save_openvino(model: Any, path: Path, *, half: bool = False) -> None:
    """Writes an ``openvino.Model`` to ``path``, and the weights beside it. ``half``: float weights are stored in 16
    bits.

    Raises:
        ModelError: OpenVINO has no way to write this graph.
        OutputError: there is no room for it, say. OpenVINO itself only says that its stream failed.
    """
    weights = path.with_suffix(".bin")
    try:
        load_openvino().save_model(model, path, compress_to_fp16=half)
    except RuntimeError as error:
        try:
            with weights.open("ab") as file:
                file.write(_PROBE)
        except OSError as why:
            raise output_error(path, why) from error
        weights.unlink()
        raise ModelError(f"OpenVINO cannot write the graph: {openvino_reason(error)}") from error


def load_nncf() -> Any:
    """The module ``nncf``, its telemetry and its notes on standard output off."""
    switch_off_telemetry()
    import nncf

    nncf.set_log_level(logging.ERROR)
    return nncf


@contextmanager
def quiet_logs(*names: str) -> Iterator[None]:
    """Lets nothing below ``CRITICAL`` through from these loggers, and those below them, while the block runs."""
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def quiet_root() -> Iterator[None]:
    """Drops what is logged to the root itself while the block runs; loggers of a name, ours too, go on."""

    def drop(record: logging.LogRecord) -> bool:
        return record.levelno >= logging.CRITICAL

    logging.root.addFilter(drop)
    try:
        yield
    finally:
        logging.root.removeFilter(drop)
