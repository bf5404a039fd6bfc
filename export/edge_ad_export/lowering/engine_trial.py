"""A graph's first run in OpenVINO, in a process of its own where it has operators that are seldom seen.

Such operators may crash the engine, and with it whoever runs them: of OpenVINO 2026.4, held back to AVX2, it is known
for ``SkipLayerNormalization``. All others are run in the process of the export.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from edge_ad_export.files.isolated import run_isolated
from edge_ad_export.graph.embedded import embedded_model, find_embedded
from edge_ad_export.graph.libraries import load_openvino, save_openvino

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["rare_operators", "run_openvino_once", "try_openvino"]

_COMMON_ONNX = """
Abs Add And ArgMax ArgMin AveragePool BatchNormalization Cast Ceil Clip Concat Constant ConstantOfShape Conv
ConvTranspose Cos DepthToSpace DequantizeLinear Div Dropout Einsum Elu Equal Erf Exp Expand Flatten Floor Gather
Gelu Gemm GlobalAveragePool GlobalMaxPool Greater GreaterOrEqual GRU HardSigmoid HardSwish Identity
InstanceNormalization LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax LSTM MatMul Max MaxPool Mean
Min Mul Neg Not Or PRelu Pad Pow QuantizeLinear Range Reciprocal ReduceL1 ReduceL2 ReduceLogSumExp ReduceMax
ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape Resize Round Shape Sigmoid Sign Sin Slice
Softmax Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum Tanh Tile TopK Transpose Unsqueeze Upsample
Where
"""
_COMMON_OPENVINO = """
Abs Add AvgPool BatchNormInference Broadcast Ceiling Clamp Concat Constant Convert Convolution
ConvolutionBackpropData Cos DepthToSpace Divide Einsum Elu Equal Erf Exp FakeQuantize Floor Gather Gelu Greater
GreaterEqual GroupConvolution GroupConvolutionBackpropData GRUSequence HSigmoid HSwish HardSigmoid Interpolate
Less LessEqual Log LogSoftmax LogicalAnd LogicalNot LogicalOr LSTMSequence MVN MatMul MaxPool Maximum Minimum
Multiply Negative NormalizeL2 NotEqual PRelu Pad Parameter Power Range ReduceL1 ReduceL2 ReduceMax ReduceMean
ReduceMin ReduceProd ReduceSum Relu Reshape Result Round Select ShapeOf Sigmoid Sign Sin Slice SoftMax SoftPlus
Softmax SpaceToDepth Split Sqrt SquaredDifference Squeeze StridedSlice Subtract Swish Tanh Tile TopK Transpose
Unsqueeze VariadicSplit
"""


_COMMON_IN_ONNX, _COMMON_IN_OPENVINO = frozenset(_COMMON_ONNX.split()), frozenset(_COMMON_OPENVINO.split())


def rare_operators(model: ir.Model) -> tuple[str, ...]:
    """The operators of a graph, and of an OpenVINO model in it, that are seldom seen, in the order of their names."""
    return tuple(sorted(set(_rare(model))))


def _rare(model: ir.Model) -> Iterator[str]:
    node = find_embedded(model)
    if node is not None:
        kinds = (op.get_type_name() for op in embedded_model(node).get_ordered_ops())
        yield from (kind for kind in kinds if kind not in _COMMON_IN_OPENVINO)
    for one in model.graph.all_nodes():
        is_common = one.domain in ("", "ai.onnx") and one.op_type in _COMMON_IN_ONNX
        if one is not node and not is_common:
            yield one.op_type


def try_openvino(model: ir.Model, converted: Any) -> None:
    """Runs the graph once in a child process if it has a rare operator, and does nothing otherwise.

    Args:
        converted: the same graph as an ``openvino.Model``.

    Raises:
        ModelError: OpenVINO crashed or refused the graph; the message names its rare operators.
        OutputError: there is no room for it in the folder for temporary files.
    """
    rare = rare_operators(model)
    if not rare:
        return
    with TemporaryDirectory(prefix="edge-ad-") as folder:
        path = Path(folder) / "tried.xml"
        save_openvino(converted, path)
        run_isolated(
            f"running the graph in OpenVINO, which has {', '.join(rare)} in it,",
            f"{__name__}:{run_openvino_once.__name__}",
            path=str(path),
        )


def run_openvino_once(path: str) -> None:
    """In the child process: compiles an IR as the device does, and runs it on zeros and on noise."""
    compiled = load_openvino().Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    random = np.random.default_rng(0)
    for largest in (0, 255):
        feeds = []
        for port in compiled.inputs:
            shape = [dim.get_length() if dim.is_static else 1 for dim in port.partial_shape]
            feeds.append((random.random(shape) * largest).astype(port.element_type.to_dtype()))
        compiled(feeds)
