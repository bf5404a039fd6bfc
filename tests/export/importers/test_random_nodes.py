"""Operators that draw random numbers are named wherever they stand, and Dropout in training mode is taken out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from support.export_imports import write_ir

from edge_ad.errors import ModelError
from edge_ad_export import ModelFile, import_model
from edge_ad_export.reference.sessions import open_session

SHAPE = [1, 3, 8, 8]


def save(path: Path, nodes: list[onnx.NodeProto], *, functions: list[onnx.FunctionProto] | None = None) -> Path:
    graph = helper.make_graph(
        [*nodes, helper.make_node("ReduceMax", ["noisy"], ["score"], keepdims=0)],
        "g",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, SHAPE)],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, [])],
        [
            helper.make_tensor("ratio", TensorProto.FLOAT, [], [0.5]),
            helper.make_tensor("yes", TensorProto.BOOL, [], [True]),
        ],
    )
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("mine", 1)]
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=8, functions=functions or []), path)
    return path


def noise_function(name: str, inner: onnx.NodeProto) -> onnx.FunctionProto:
    return helper.make_function("mine", name, ["x"], ["y"], [inner], [helper.make_opsetid("", 17)])


def test_in_a_function_that_a_function_calls(tmp_path: Path) -> None:
    inner = noise_function("Inner", helper.make_node("RandomNormalLike", ["x"], ["y"], "hidden_noise"))
    call = helper.make_node("Inner", ["x"], ["y"], domain="mine")
    outer = helper.make_function(
        "mine", "Outer", ["x"], ["y"], [call], [helper.make_opsetid("", 17), helper.make_opsetid("mine", 1)]
    )
    model = save(
        tmp_path / "m.onnx", [helper.make_node("Outer", ["image"], ["noisy"], domain="mine")], functions=[inner, outer]
    )
    with pytest.raises(ModelError, match="RandomNormalLike hidden_noise"):
        import_model(ModelFile(model))


def test_a_function_that_nothing_calls_does_not_matter(tmp_path: Path) -> None:
    unused = noise_function("Unused", helper.make_node("RandomNormalLike", ["x"], ["y"]))
    model = save(tmp_path / "m.onnx", [helper.make_node("Abs", ["image"], ["noisy"])], functions=[unused])
    assert import_model(ModelFile(model)).score == "score"


def test_in_a_branch(tmp_path: Path) -> None:
    def branch(op: str) -> onnx.GraphProto:
        out = helper.make_tensor_value_info(f"{op}_out", TensorProto.FLOAT, SHAPE)
        return helper.make_graph([helper.make_node(op, ["image"], [f"{op}_out"], f"n_{op}")], op, [], [out])

    node = helper.make_node(
        "If", ["yes"], ["noisy"], then_branch=branch("RandomUniformLike"), else_branch=branch("Identity")
    )
    with pytest.raises(ModelError, match="RandomUniformLike n_RandomUniformLike"):
        import_model(ModelFile(save(tmp_path / "m.onnx", [node])))


def test_in_an_openvino_model(tmp_path: Path) -> None:
    noise = helper.make_node("RandomNormalLike", ["image"], ["noise"])
    add = helper.make_node("Add", ["image", "noise"], ["noisy"])
    model = write_ir(tmp_path / "ir", save(tmp_path / "m.onnx", [noise, add]))
    with pytest.raises(ModelError, match="RandomUniform"):
        import_model(ModelFile(model))


def test_noise_that_reaches_no_output_does_not_matter(tmp_path: Path) -> None:
    unused = helper.make_node("RandomNormalLike", ["image"], ["noise"])
    model = save(tmp_path / "m.onnx", [unused, helper.make_node("Abs", ["image"], ["noisy"])])
    assert import_model(ModelFile(model)).score == "score"


@pytest.mark.parametrize("in_function", [False, True], ids=["in-the-graph", "in-a-function"])
def test_dropout_in_training_mode_gives_its_input_and_a_line(tmp_path: Path, in_function: bool) -> None:
    true = helper.make_node("Constant", [], ["on"], value=helper.make_tensor("on", TensorProto.BOOL, [], [True]))
    half = helper.make_node("Constant", [], ["r"], value=helper.make_tensor("r", TensorProto.FLOAT, [], [0.5]))
    drop = helper.make_node("Dropout", ["x", "r", "on"], ["y"], "drop")
    function = helper.make_function("mine", "Drop", ["x"], ["y"], [true, half, drop], [helper.make_opsetid("", 17)])
    inline = helper.make_node("Dropout", ["image", "ratio", "yes"], ["noisy"], "drop")
    call = helper.make_node("Drop", ["image"], ["noisy"], domain="mine")
    model = save(tmp_path / "m.onnx", [call if in_function else inline], functions=[function] if in_function else [])
    imported = import_model(ModelFile(model))
    assert any("Dropout drop" in line for line in imported.assumptions)
    image = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    (score,) = open_session(imported.model, ["score"]).run(image)
    assert float(score) == float(image.max())


def test_dropout_at_rest_says_nothing(tmp_path: Path) -> None:
    imported = import_model(
        ModelFile(save(tmp_path / "m.onnx", [helper.make_node("Dropout", ["image", "ratio"], ["noisy"])]))
    )
    assert not any("Dropout" in line for line in imported.assumptions)


def test_dropout_whose_mask_is_read_is_refused(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Dropout", ["image", "ratio", "yes"], ["y", "kept"], "drop"),
        helper.make_node("Cast", ["kept"], ["noisy"], to=TensorProto.FLOAT),
    ]
    path = save(tmp_path / "m.onnx", nodes)
    onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    with pytest.raises(ModelError, match="Dropout drop"):
        import_model(ModelFile(path))
