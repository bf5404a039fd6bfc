"""Quantizes a file. Runs in a process of its own: a quantizer that runs out of memory or crashes takes only itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from edge_ad_export.files.isolated import run_isolated
from edge_ad_export.graph.libraries import load_openvino
from edge_ad_export.quantize.nncf_int8 import quantize_with_nncf
from edge_ad_export.quantize.onnx_layers import onnx_ops
from edge_ad_export.quantize.onnxruntime_int8 import quantize_onnx
from edge_ad_export.quantize.openvino_layers import openvino_ops
from edge_ad_export.quantize.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["quantize_apart", "quantize_file"]


def quantize_apart(model: Path, pixels: Path, target: Path, settings: Settings) -> None:
    """:func:`quantize_file` in a child process.

    Raises:
        ModelError: the quantizer refused the graph, or died; ``target`` may be half written then.
    """
    run_isolated(
        f"quantizing with {settings.label}",
        f"{__name__}:quantize_file",
        model=str(model),
        pixels=str(pixels),
        target=str(target),
        settings=msgspec.to_builtins(settings),
    )


def quantize_file(model: str, pixels: str, target: str, settings: object) -> None:
    """Writes ``target``, the int8 version of ``model``: an ONNX file or an OpenVINO IR, as its ending says.

    Args:
        pixels: a ``.npy`` file of uint8 ``[n, h, w, c]``.
        settings: :class:`Settings` as built-in types.

    Raises:
        ModelError: there is nothing to quantize, or the quantizer does not know the graph.
    """
    chosen = msgspec.convert(settings, Settings)
    frames = [frame[None] for frame in np.load(pixels)]
    if model.endswith(".xml"):
        ov = load_openvino()
        graph = ov.Core().read_model(model)
        ov.save_model(quantize_with_nncf(graph, openvino_ops(graph), frames, chosen), target, compress_to_fp16=False)
    else:
        _quantize_onnx_file(model, frames, target, chosen)


def _quantize_onnx_file(model: str, frames: Sequence[NDArray[np.uint8]], target: str, settings: Settings) -> None:
    import onnx
    import onnx_ir as ir

    graph = ir.load(model)
    if settings.tool == "onnxruntime":
        quantize_onnx(graph, frames, Path(target), settings)
        return
    feeds = [{"frame": frame} for frame in frames]
    onnx.save(quantize_with_nncf(ir.to_proto(graph), onnx_ops(graph.graph), feeds, settings), target)
