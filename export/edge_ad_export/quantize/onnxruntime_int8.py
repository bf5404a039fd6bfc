"""ONNX int8 with ONNX Runtime's quantizer, in the QDQ form that other engines read too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import onnx_ir as ir

from edge_ad.errors import ModelError
from edge_ad_export.graph.backbone import find_backbone
from edge_ad_export.graph.libraries import load_onnxruntime, quiet_logs
from edge_ad_export.quantize.onnx_layers import onnx_ops

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from edge_ad_export.quantize.settings import Settings

__all__ = ["quantize_onnx"]


class _Reader:
    """Hands the pixels out one by one, as the quantizer asks for them."""

    def __init__(self, pixels: Sequence[NDArray[np.uint8]]) -> None:
        self._frames: Iterator[NDArray[np.uint8]] = iter(pixels)

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        frame = next(self._frames, None)
        return None if frame is None else {"frame": frame}


def quantize_onnx(model: ir.Model, pixels: Sequence[NDArray[np.uint8]], target: Path, settings: Settings) -> None:
    """Writes an int8 version of a graph that follows the contract; only its backbone is quantized.

    Args:
        pixels: uint8 ``[1, h, w, c]`` each, normal images and synthetic defects through the bundle's geometry.

    Raises:
        ModelError: there is nothing to quantize, or the quantizer does not know the graph.
    """
    load_onnxruntime()
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    nodes = sorted(find_backbone(onnx_ops(model.graph)))
    if not nodes:
        raise ModelError("the graph has no convolution with constant weights to quantize")
    try:
        # It warns of a preparation through the root logger; the graph went through our own passes.
        with quiet_logs():
            quantize_static(
                ir.to_proto(model),
                target,
                _Reader(pixels),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                reduce_range=settings.seven_bits,
                activation_type=QuantType.QInt8 if settings.signed else QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=CalibrationMethod.Percentile
                if settings.calibrator == "percentile"
                else CalibrationMethod.MinMax,
                nodes_to_quantize=nodes,
                # Taken out, their results' names would go to what was not yet clipped; loading fuses them anyway.
                extra_options={"QDQKeepRemovableActivations": True},
            )
    except (RuntimeError, ValueError, NotImplementedError) as error:
        raise ModelError(f"ONNX Runtime's quantizer failed: {error}") from error
