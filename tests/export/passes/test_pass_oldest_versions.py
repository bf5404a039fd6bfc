"""What an older runtime can open is declared so; what only a newer one has keeps its version."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper
from support.onnx_session import open_session

from edge_ad_export.graph.static_shape import infer_shapes
from edge_ad_export.passes import OldestVersionsPass

SHAPE = [1, 3, 9, 9]


def model(*nodes: onnx.NodeProto, opset: int, ir_version: int) -> ir.Model:
    graph = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, SHAPE)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [helper.make_tensor("shape", TensorProto.INT64, [2], [1, -1])],
    )
    made = ir.from_proto(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version)
    )
    infer_shapes(made)
    return made


def run(found: ir.Model) -> np.ndarray:
    session = open_session(ir.to_proto(found).SerializeToString())
    (y,) = session.run(None, {"x": np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)})
    return np.asarray(y)


@pytest.mark.parametrize(
    ("nodes", "opset", "expected"),
    [
        pytest.param([helper.make_node("Abs", ["x"], ["y"])], 28, (21, 10), id="unchanged-since-13"),
        pytest.param(
            [
                helper.make_node("Transpose", ["x"], ["t"], perm=[0, 2, 3, 1]),
                helper.make_node("Reshape", ["t", "shape"], ["r"]),
                helper.make_node("Cast", ["r"], ["c"], to=TensorProto.FLOAT16, round_mode="up"),
                helper.make_node("Cast", ["c"], ["y"], to=TensorProto.FLOAT),
            ],
            25,
            (21, 10),
            id="only-types-were-added",
        ),
        pytest.param(
            [helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[2, 2], strides=[2, 2])], 23, (21, 10), id="pool"
        ),
        pytest.param(
            [helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)],
            25,
            (22, 10),
            id="pool-over-the-edge",
        ),
        pytest.param(
            [helper.make_node("Swish", ["x"], ["s"]), helper.make_node("Identity", ["s"], ["y"])],
            25,
            (24, 12),
            id="an-operator-of-24",
        ),
        pytest.param(
            [helper.make_node("SpaceToDepth", ["x"], ["y"], blocksize=3, mode="DCR")], 28, (21, 10), id="a-default"
        ),
        pytest.param(
            [helper.make_node("SpaceToDepth", ["x"], ["y"], blocksize=3, mode="CRD")], 28, (28, 14), id="no-default"
        ),
    ],
)
def test_the_oldest_that_means_the_same(nodes: list[onnx.NodeProto], opset: int, expected: tuple[int, int]) -> None:
    found = model(*nodes, opset=opset, ir_version=14)
    OldestVersionsPass()(found)
    assert (found.opset_imports[""], found.ir_version) == expected
    onnx.checker.check_model(ir.to_proto(found), full_check=True)


def test_it_still_runs_and_gives_the_same() -> None:
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[0, 2, 3, 1]),
        helper.make_node("Reshape", ["t", "shape"], ["r"]),
        helper.make_node("Softplus", ["r"], ["y"]),
    ]
    found = model(*nodes, opset=25, ir_version=13)
    expected = run(found)
    OldestVersionsPass()(found)
    np.testing.assert_array_equal(run(found), expected)


def test_an_old_graph_is_left_alone() -> None:
    found = model(helper.make_node("Abs", ["x"], ["y"]), opset=13, ir_version=7)
    assert not OldestVersionsPass()(found).modified
    assert (found.opset_imports[""], found.ir_version) == (13, 7)
