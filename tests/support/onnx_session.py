"""ONNX graphs in plain ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

__all__ = ["open_session"]


def open_session(model: bytes | str | Path) -> Any:
    """A session of a serialized graph or a file, on this CPU. Its threads sleep where they have nothing to do.

    Several tests run at once: threads that wait busily, as they do by default, take the cores from the others.
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
