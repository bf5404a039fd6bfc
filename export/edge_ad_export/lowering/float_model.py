"""A lowered graph in float, as either engine takes it."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import onnx_ir as ir

from edge_ad.errors import ModelError
from edge_ad_export.graph.embedded import to_openvino
from edge_ad_export.graph.libraries import load_openvino

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["FloatModel"]


class FloatModel:
    """A lowered graph, converted to OpenVINO once and only when that is asked for."""

    def __init__(self, model: ir.Model) -> None:
        self.model = model

    @property
    def openvino(self) -> Any:
        """The same graph as an ``openvino.Model``. Not to be changed.

        Raises:
            ModelError: OpenVINO cannot convert the graph.
        """
        if isinstance(self._converted, ModelError):
            raise self._converted
        return self._converted

    @cached_property
    def _converted(self) -> Any:
        """The ``openvino.Model``, or why there is none: a graph that cannot be converted is tried once."""
        try:
            return to_openvino(self.model)
        except ModelError as error:
            return error

    def save(self, engine: Literal["onnxruntime", "openvino"], path: Path) -> None:
        """Writes the graph as it is, in float32; for OpenVINO the weights lie beside ``path``."""
        if engine == "openvino":
            self.save_openvino(path, half=False)
        else:
            ir.save(self.model, path)

    def save_openvino(self, path: Path, *, half: bool) -> None:
        """Writes ``path`` and the ``.bin`` beside it. ``half``: float weights are stored in 16 bits.

        Raises:
            ModelError: OpenVINO cannot convert the graph.
        """
        load_openvino().save_model(self.openvino, path, compress_to_fp16=half)
