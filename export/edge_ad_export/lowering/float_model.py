"""A lowered graph in float, as either engine takes it."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import onnx_ir as ir

from edge_ad_export.graph.embedded import to_openvino
from edge_ad_export.graph.libraries import load_openvino

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["FloatModel"]


class FloatModel:
    """A lowered graph, converted to OpenVINO once and only when that is asked for."""

    def __init__(self, model: ir.Model) -> None:
        self.model = model

    @cached_property
    def openvino(self) -> Any:
        """The same graph as an ``openvino.Model``. Not to be changed."""
        return to_openvino(self.model)

    def save(self, engine: Literal["onnxruntime", "openvino"], path: Path) -> None:
        """Writes the graph as it is, in float32; for OpenVINO the weights lie beside ``path``."""
        if engine == "openvino":
            self.save_openvino(path, half=False)
        else:
            ir.save(self.model, path)

    def save_openvino(self, path: Path, *, half: bool) -> None:
        """Writes ``path`` and the ``.bin`` beside it. ``half``: float weights are stored in 16 bits."""
        load_openvino().save_model(self.openvino, path, compress_to_fp16=half)
