"""int8 with NNCF's post-training quantization, for OpenVINO and for ONNX graphs alike."""

from __future__ import annotations

import contextlib
import io
from typing import TYPE_CHECKING, Any

from edge_ad.errors import ModelError
from edge_ad_export.graph.backbone import find_backbone
from edge_ad_export.graph.libraries import load_nncf

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge_ad_export.graph.backbone import Op
    from edge_ad_export.quantize.settings import Settings

__all__ = ["quantize_with_nncf"]


def quantize_with_nncf(model: Any, ops: Sequence[Op], feeds: Sequence[Any], settings: Settings) -> Any:
    """An int8 version of an ``openvino.Model`` or ``onnx.ModelProto``; only its backbone is quantized.

    Args:
        ops: the operations of the graph.
        feeds: what the graph is fed with to see its ranges: images through the bundle's geometry.

    Raises:
        ModelError: there is nothing to quantize, or NNCF does not know the graph.
    """
    nncf = load_nncf()
    backbone = find_backbone(ops)
    if not backbone:
        raise ModelError("the graph has no convolution with constant weights to quantize")
    ignored = nncf.IgnoredScope(names=[op.name for op in ops if op.name not in backbone], validate=False)
    try:
        # Its progress bars go to standard output, which belongs to the result.
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

    # NNCF's own default is the mean of the images' ranges, which cuts off what stands out: defects, above all.
    percentile = settings.calibrator == "percentile"
    return AdvancedQuantizationParameters(
        overflow_fix=OverflowFix.ENABLE if settings.seven_bits else OverflowFix.DISABLE,
        activations_range_estimator_params=RangeEstimatorParametersSet.MEAN_QUANTILE
        if percentile
        else RangeEstimatorParametersSet.MINMAX,
    )
