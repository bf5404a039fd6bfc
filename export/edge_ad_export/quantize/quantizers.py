"""The two quantizers, ONNX Runtime's and NNCF. They run in a child process, so that a crash stops nothing else."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import onnx_ir as ir

from edge_ad.errors import ModelError, one_line
from edge_ad_export.files.isolated import run_isolated
from edge_ad_export.graph.backbone import find_backbone
from edge_ad_export.graph.libraries import load_nncf, load_onnxruntime, load_openvino, quiet_root, save_openvino
from edge_ad_export.quantize.int8_graph import onnx_ops, openvino_ops
from edge_ad_export.quantize.settings import Settings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge_ad_export.graph.backbone import Op

__all__ = ["quantize_apart", "quantize_file", "quantize_with_nncf", "quantize_with_onnxruntime"]

# The opsets from which on DequantizeLinear takes a scale for each channel, and scales of other types than float32.
_SCALES_BY_CHANNEL, _TYPED_SCALES = 13, 19


def quantize_apart(model: Path, pixels: Path, target: Path, settings: Settings) -> None:
    """:func:`quantize_file` in a child process.

    Raises:
        ModelError: the quantizer refused the graph, or died; ``target`` may be half written then.
        OutputError: there is no room for it.
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
    """Writes the int8 version of ``model`` to ``target``. The ending says whether they are ONNX or OpenVINO files.

    Args:
        pixels: a ``.npy`` file of uint8 ``[n, h, w, c]``.
        settings: the :class:`Settings`, as built-in types.

    Raises:
        ModelError: there is nothing to quantize, or the quantizer does not know the graph.
    """
    chosen = msgspec.convert(settings, Settings)
    frames = [frame[None] for frame in np.load(pixels)]
    if model.endswith(".xml"):
        graph = load_openvino().Core().read_model(model)
        save_openvino(quantize_with_nncf(graph, openvino_ops(graph), frames, chosen), Path(target))
    else:
        _quantize_onnx_file(model, frames, target, chosen)


def _quantize_onnx_file(model: str, frames: Sequence[NDArray[np.uint8]], target: str, settings: Settings) -> None:
    import onnx

    graph = _with_typed_scales(ir.load(model))
    if settings.tool == "onnxruntime":
        quantize_with_onnxruntime(graph, frames, Path(target), settings)
        return
    feeds = [{"frame": frame} for frame in frames]
    onnx.save(quantize_with_nncf(ir.to_proto(graph), onnx_ops(graph.graph), feeds, settings), target)


def _with_typed_scales(graph: ir.Model) -> ir.Model:
    """Converts a graph with 16-bit numbers to an opset in which scales may have 16 bits. Other graphs stay as they are.

    Raises:
        ModelError: ONNX cannot convert it.
    """
    import onnx

    values = [value for node in graph.graph.all_nodes() for value in (*node.inputs, *node.outputs) if value is not None]
    is_half = any(value.dtype in (ir.DataType.FLOAT16, ir.DataType.BFLOAT16) for value in values)
    opset = graph.opset_imports.get("", 0)
    if not is_half or opset >= _TYPED_SCALES:
        return graph
    try:
        return ir.from_proto(onnx.version_converter.convert_version(ir.to_proto(graph), _TYPED_SCALES))
    except RuntimeError as error:
        raise ModelError(
            f"int8 of a float16 model needs ONNX opset {_TYPED_SCALES}, and this one of {opset} cannot be converted: "
            f"{one_line(error)}"
        ) from error


class _Reader:
    """Hands the pixels out one by one, as the quantizer asks for them."""

    def __init__(self, pixels: Sequence[NDArray[np.uint8]]) -> None:
        self._frames: Iterator[NDArray[np.uint8]] = iter(pixels)

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        frame = next(self._frames, None)
        return None if frame is None else {"frame": frame}


def quantize_with_onnxruntime(
    model: ir.Model, pixels: Sequence[NDArray[np.uint8]], target: Path, settings: Settings
) -> None:
    """Writes an int8 version of a graph that follows the contract; only its backbone is quantized.

    Args:
        pixels: uint8 ``[1, h, w, c]`` each, normal images and synthetic defects through the bundle's geometry.

    Raises:
        ModelError: there is nothing to quantize, or the quantizer does not know the graph.
    """
    load_onnxruntime()
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    nodes = sorted(find_backbone(onnx_ops(model.graph), shortlists=settings.shortlists))
    if not nodes:
        raise ModelError("the graph has no convolution with constant weights to quantize")
    try:
        # The quantizer logs a warning that the graph was not prepared; our own passes have prepared it.
        with quiet_root():
            quantize_static(
                ir.to_proto(model),
                target,
                _Reader(pixels),
                quant_format=QuantFormat.QDQ,
                per_channel=model.opset_imports.get("", 0) >= _SCALES_BY_CHANNEL,
                reduce_range=settings.seven_bits,
                activation_type=QuantType.QInt8 if settings.signed else QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=CalibrationMethod.Percentile
                if settings.calibrator == "percentile"
                else CalibrationMethod.MinMax,
                nodes_to_quantize=nodes,
                # If these were removed, the names of their results would go to unclipped values. Loading fuses them.
                extra_options={"QDQKeepRemovableActivations": True},
            )
    except (RuntimeError, ValueError, NotImplementedError) as error:
        raise ModelError(f"ONNX Runtime's quantizer failed: {error}") from error


def quantize_with_nncf(model: Any, ops: Sequence[Op], feeds: Sequence[Any], settings: Settings) -> Any:
    """An int8 version of an ``openvino.Model`` or ``onnx.ModelProto``; only its backbone is quantized.

    Args:
        ops: the operations of the graph.
        feeds: the inputs from which the ranges are taken: images through the bundle's geometry.

    Raises:
        ModelError: there is nothing to quantize, or NNCF does not know the graph.
    """
    nncf = load_nncf()
    backbone = find_backbone(ops, shortlists=settings.shortlists)
    if not backbone:
        raise ModelError("the graph has no convolution with constant weights to quantize")
    ignored = nncf.IgnoredScope(names=[op.name for op in ops if op.name not in backbone], validate=False)
    try:
        # NNCF writes progress bars to standard output, which is reserved for the result.
        with contextlib.redirect_stdout(io.StringIO()):
            return nncf.quantize(
                model,
                nncf.Dataset(list(feeds)),
                preset=nncf.QuantizationPreset(settings.preset),
                subset_size=len(feeds),
                fast_bias_correction=not settings.accurate_bias,
                ignored_scope=ignored,
                advanced_parameters=_advanced(settings),
            )
    except (RuntimeError, ValueError, nncf.ValidationError, nncf.InternalError) as error:
        raise ModelError(f"NNCF failed: {' '.join(str(error).split())}") from error


def _advanced(settings: Settings) -> Any:
    from nncf.quantization.advanced_parameters import AdvancedQuantizationParameters, OverflowFix
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet

    # NNCF's own default is the mean of the images' ranges. It would cut off high values, above all those of defects.
    percentile = settings.calibrator == "percentile"
    return AdvancedQuantizationParameters(
        overflow_fix=OverflowFix.ENABLE if settings.seven_bits else OverflowFix.DISABLE,
        activations_range_estimator_params=RangeEstimatorParametersSet.MEAN_QUANTILE
        if percentile
        else RangeEstimatorParametersSet.MINMAX,
    )
