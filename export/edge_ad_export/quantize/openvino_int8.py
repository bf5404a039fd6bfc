"""OpenVINO int8 with NNCF's post-training quantization."""

from __future__ import annotations

import contextlib
import io
from typing import TYPE_CHECKING, Any

from edge_ad.errors import ModelError
from edge_ad_export.backbone import find_backbone
from edge_ad_export.quantize.openvino_ops import openvino_ops
from edge_ad_export.runtime import load_nncf

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["quantize_openvino"]


def quantize_openvino(model: Any, pixels: Sequence[NDArray[np.uint8]]) -> Any:
    """An int8 version of an ``openvino.Model`` that follows the contract; the model given is not changed.

    Args:
        pixels: uint8 ``[1, h, w, c]`` each, normal images through the bundle's geometry.

    Raises:
        ModelError: there is nothing to quantize, or NNCF does not know the graph.
    """
    nncf = load_nncf()
    ops = openvino_ops(model)
    backbone = find_backbone(ops)
    if not backbone:
        raise ModelError("the graph has no convolution with constant weights to quantize")
    ignored = nncf.IgnoredScope(names=[op.name for op in ops if op.name not in backbone], validate=False)
    try:
        # Its progress bars go to standard output, which belongs to the result.
        with contextlib.redirect_stdout(io.StringIO()):
            return nncf.quantize(
                model,
                nncf.Dataset(list(pixels)),
                preset=nncf.QuantizationPreset.MIXED,
                subset_size=len(pixels),
                ignored_scope=ignored,
            )
    except (RuntimeError, ValueError, nncf.ValidationError, nncf.InternalError) as error:
        raise ModelError(f"NNCF failed: {' '.join(str(error).split())}") from error
