"""An ONNX graph as :class:`~edge_ad_export.backbone.Op` s."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_ad_export.backbone import Op, is_heavy
from edge_ad_export.passes.constants import read_array

if TYPE_CHECKING:
    import numpy as np
    import onnx_ir as ir
    from numpy.typing import NDArray

__all__ = ["onnx_ops"]

_CONVOLUTIONS = {"Conv", "ConvTranspose"}
_PRODUCTS = {"Gemm", "MatMul"}


def onnx_ops(graph: ir.Graph) -> tuple[Op, ...]:
    """The nodes in the order of execution; requires that every node has its own name."""
    return tuple(_op(node) for node in graph)


def _op(node: ir.Node) -> Op:
    sources = (value.producer() for value in node.inputs if value is not None)
    feeds = tuple(str(source.name) for source in sources if source is not None)
    factor = _weights(node) if node.op_type in _PRODUCTS else None
    return Op(str(node.name), feeds, _kernel(node), factor is not None, factor is not None and is_heavy(factor))


def _kernel(node: ir.Node) -> NDArray[np.floating] | None:
    weights = _weights(node) if node.op_type in _CONVOLUTIONS else None
    # ConvTranspose keeps its input channels first.
    return weights.swapaxes(0, 1) if weights is not None and node.op_type == "ConvTranspose" else weights


def _weights(node: ir.Node) -> NDArray[np.floating] | None:
    return read_array(node.inputs[1]) if len(node.inputs) > 1 else None
