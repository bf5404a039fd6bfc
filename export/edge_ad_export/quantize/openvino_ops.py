"""An OpenVINO graph as :class:`~edge_ad_export.backbone.Op` s."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edge_ad_export.backbone import Op, is_heavy

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["constant_of", "openvino_ops"]

_GROUPED = {"GroupConvolution", "GroupConvolutionBackpropData"}
_TRANSPOSED = {"ConvolutionBackpropData", "GroupConvolutionBackpropData"}
_CONVOLUTIONS = {"Convolution", *_GROUPED, *_TRANSPOSED}
# What may stand between a constant and the operation that takes it as weights.
_WRAPPERS = {"Convert", "Reshape", "Transpose"}


def openvino_ops(model: Any) -> tuple[Op, ...]:
    """The operations of an ``openvino.Model`` but its constants, in the order of execution."""
    return tuple(_op(node) for node in model.get_ordered_ops() if node.get_type_name() != "Constant")


def _op(node: Any) -> Op:
    feeds = tuple(value.get_source_output().get_node().get_friendly_name() for value in node.inputs())
    kind = node.get_type_name()
    weights = constant_of(node.input(1)) if kind in _CONVOLUTIONS | {"MatMul"} else None
    kernel = weights if kind in _CONVOLUTIONS else None
    if kernel is not None and kind in _TRANSPOSED:
        kernel = kernel.swapaxes(-kernel.ndim + (kind in _GROUPED), 1 + (kind in _GROUPED))
    if kernel is not None and kind in _GROUPED:
        kernel = kernel.reshape(-1, *kernel.shape[2:])  # [groups, out, in, ...] -> [groups * out, in, ...]
    factor = weights if kind == "MatMul" else None
    return Op(node.get_friendly_name(), feeds, kernel, factor is not None, factor is not None and is_heavy(factor))


def constant_of(port: Any) -> NDArray[np.floating] | None:
    """What an input is fed with, in its shape, where that is a constant."""
    node = port.get_source_output().get_node()
    shape = list(port.get_partial_shape().to_shape())
    while node.get_type_name() in _WRAPPERS:
        node = node.input(0).get_source_output().get_node()
    if node.get_type_name() != "Constant":
        return None
    data: NDArray[np.floating] = node.data
    return data.reshape(shape)
