"""The fitted model as a plain ONNX file, as any training framework might have exported it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edge_ad_demo.trained.features import POOL, POOL_STRIDE, RADIUS
from edge_ad_demo.trained.gaussian_model import INPUT_HEIGHT, INPUT_WIDTH, SMOOTHING, DemoModel

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["to_onnx"]

_OPSET, _IR_VERSION = 17, 8


def to_onnx(model: DemoModel) -> bytes:
    """Serialise: ``image`` float32 [1, 3, 240, 320] RGB 0..1 -> ``score`` [1] and ``map`` [1, 1, 60, 80].

    The statistics are a matrix product and not a 1x1 convolution, so that quantising the convolutions leaves them
    in float.
    """
    rows, columns = model.mean.shape[1:]
    graph = helper.make_graph(
        [*_feature_nodes(), *_distance_nodes()],
        "edge_ad_demo",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, INPUT_HEIGHT, INPUT_WIDTH])],
        [
            helper.make_tensor_value_info("score", TensorProto.FLOAT, [1]),
            helper.make_tensor_value_info("map", TensorProto.FLOAT, [1, 1, rows, columns]),
        ],
        [numpy_helper.from_array(value, name) for name, value in _constants(model).items()],
    )
    proto = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION, producer_name="edge-ad demo"
    )
    onnx.checker.check_model(proto, full_check=True)
    return bytes(proto.SerializeToString())


def _feature_nodes() -> list[onnx.NodeProto]:
    before = (POOL - POOL_STRIDE) // 2
    pooling: dict[str, Any] = {
        "kernel_shape": [POOL] * 2,
        "strides": [POOL_STRIDE] * 2,
        "pads": [before] * 4,
        "count_include_pad": 0,
    }
    return [
        helper.make_node("AveragePool", ["image"], ["colour"], **pooling),
        helper.make_node("Conv", ["image", "filters"], ["filtered"], pads=[RADIUS] * 4),
        helper.make_node("Abs", ["filtered"], ["rectified"]),
        helper.make_node("AveragePool", ["rectified"], ["energy"], **pooling),
        helper.make_node("Concat", ["colour", "energy"], ["pooled"], axis=1),
        helper.make_node("Add", ["pooled", "one"], ["lifted"]),
        helper.make_node("Log", ["lifted"], ["features"]),
    ]


def _distance_nodes() -> list[onnx.NodeProto]:
    return [
        helper.make_node("Sub", ["features", "mean"], ["deviation"]),
        helper.make_node("Transpose", ["deviation"], ["by_place"], perm=[2, 3, 1, 0]),
        helper.make_node("MatMul", ["whitening", "by_place"], ["white"]),
        helper.make_node("Mul", ["white", "white"], ["squared"]),
        helper.make_node("ReduceMean", ["squared"], ["variance"], axes=[2, 3], keepdims=0),
        helper.make_node("Sqrt", ["variance"], ["distance"]),
        helper.make_node("Unsqueeze", ["distance", "batch_and_channel"], ["distance_map"]),
        helper.make_node(
            "AveragePool",
            ["distance_map"],
            ["map"],
            kernel_shape=[SMOOTHING] * 2,
            pads=[SMOOTHING // 2] * 4,
            count_include_pad=0,
        ),
        helper.make_node("ReduceMax", ["map"], ["score"], axes=[1, 2, 3], keepdims=0),
    ]


def _constants(model: DemoModel) -> dict[str, NDArray[np.generic]]:
    return {
        "filters": model.bank.weights,
        "one": np.array(1, np.float32),
        "mean": model.mean[None],
        "whitening": model.whitening,
        "batch_and_channel": np.array([0, 1], np.int64),
    }
