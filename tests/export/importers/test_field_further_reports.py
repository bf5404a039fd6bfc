"""Further faults that users of other tools reported, each rebuilt as a small model. The ids are GitHub's issues.

What a case must give is calculated by ONNX Runtime from a graph that says the same in the way of the standard, or with
NumPy; never from the graph of the case itself.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from support.field_cli import BOTH, check_scores, export, exported
from support.field_models import (
    SIDE,
    Net,
    as_input,
    c2_of,
    picture,
    put,
    small_c2,
    small_features,
    small_model,
    weights,
    write_pictures,
)
from support.onnx_session import open_session

HALF = SIDE // 2
Expected = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "img")


def raw(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.abs(c2_of(pixels))


def to_map(net: Net, value: str, side: int = HALF) -> Net:
    net.op("Abs", value, out="map")
    net.output("map", [1, 1, side, side])
    return net


def by_onnxruntime(net: Net) -> Expected:
    """The one output of another graph, as a map."""

    def expected(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:

        session = open_session(net.proto().SerializeToString())
        (found,) = session.run(None, {"input": as_input(pixels)})
        return np.asarray(found[0, 0], np.float32)

    return expected


def changed(change: Callable[[onnx.ModelProto], None], *, opset: int = 17, ir_version: int = 9) -> onnx.ModelProto:
    """The small model as a tool left it that did not keep to the standard, or to no more than that."""
    model = small_model(opset=opset, ir_version=ir_version).proto()
    change(model)
    return model


def turn_around(model: onnx.ModelProto) -> None:
    nodes = list(model.graph.node)[::-1]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def name_alike(model: onnx.ModelProto) -> None:
    for node in model.graph.node:
        node.name = "node"


def unname(model: onnx.ModelProto) -> None:
    for node in model.graph.node:
        node.name = ""


def first_axes(length: int) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        for value in (*model.graph.input, *model.graph.output):
            value.type.tensor_type.shape.dim[0].dim_value = length

    return change


def weights_among_inputs(model: onnx.ModelProto) -> None:
    for tensor in model.graph.initializer:
        model.graph.input.insert(0, helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(changed(turn_around), id="microsoft/onnxruntime#10941-nodes-not-sorted"),
        pytest.param(changed(name_alike), id="microsoft/onnxruntime#8811-nodes-of-one-name"),
        pytest.param(changed(unname), id="nodes-without-names"),
        pytest.param(changed(first_axes(-1)), id="PaddlePaddle/Paddle-Lite#8495-negative-axes"),
        pytest.param(changed(first_axes(0)), id="a-batch-of-none"),
        pytest.param(changed(weights_among_inputs), id="microsoft/onnxruntime#4033-weights-among-inputs"),
        pytest.param(changed(weights_among_inputs, opset=11, ir_version=3), id="weights-among-inputs-of-ir-3"),
    ],
)
def test_what_tools_leave_in_a_file_is_mended(tmp_path: Path, images: Path, model: onnx.ModelProto) -> None:
    path = put(tmp_path / "m.onnx", model.SerializeToString())
    check_scores(exported(path, images, tmp_path / "out" / "b", variants=BOTH), raw, variants=BOTH)


def test_rows_and_columns_of_no_length_are_asked_for(tmp_path: Path, images: Path) -> None:
    """PaddlePaddle/Paddle-Lite#8495: -1 for each axis that may have any length."""
    model = small_model().proto()
    for value in (*model.graph.input, *model.graph.output):
        for axis in (0, 2, 3):
            value.type.tensor_type.shape.dim[axis].dim_value = -1
    path = put(tmp_path / "m.onnx", model.SerializeToString())
    assert export(path, images, tmp_path / "out" / "a").refused("--size")
    check_scores(exported(path, images, tmp_path / "out" / "b", "--size", "96x96"), raw)


def batch_norm(opset: int, *results: str, **attributes: Any) -> Net:
    net = Net(opset)
    features = small_features(net, net.input("input", [1, 3, SIDE, SIDE]))
    ones, zeros = net.constant(np.ones(8)), net.constant(np.zeros(8))
    statistics = [ones, zeros, zeros, ones]
    net.nodes.append(helper.make_node("BatchNormalization", [features, *statistics], list(results), "bn", **attributes))
    return to_map(net, net.conv("bn", weights(1, 8, 3, 3, seed=1)))


def instance_norm() -> Net:
    net = Net()
    features = small_features(net, net.input("input", [1, 3, SIDE, SIDE]))
    normal = net.op("InstanceNormalization", features, net.constant(np.ones(8)), net.constant(np.zeros(8)))
    return to_map(net, net.conv(normal, weights(1, 8, 3, 3, seed=1)))


@pytest.mark.parametrize(
    "net",
    [
        pytest.param(batch_norm(15, "bn", "mean", "var", training_mode=1), id="pytorch/pytorch#75252"),
        pytest.param(batch_norm(15, "bn", training_mode=1), id="microsoft/onnxscript#1791-one-output"),
        pytest.param(batch_norm(11, "bn", "mean", "var", "saved_mean", "saved_var"), id="before-opset-14"),
    ],
)
def test_normalisation_in_training_mode_runs_in_both_engines_and_is_said(
    tmp_path: Path, images: Path, net: Net
) -> None:
    made = exported(net.save(tmp_path / "m.onnx"), images, tmp_path / "out" / "b", variants=BOTH)
    check_scores(made, by_onnxruntime(instance_norm()), variants=BOTH)
    assert "BatchNormalization bn" in made.stderr
    assert "training mode" in made.stderr


def test_normalisation_in_evaluation_mode_is_no_matter(tmp_path: Path, images: Path) -> None:
    made = exported(batch_norm(15, "bn").save(tmp_path / "m.onnx"), images, tmp_path / "out" / "b", variants=BOTH)
    assert made.shipped == set(BOTH)
    assert "training mode" not in made.stderr


def soft(kind: str, opset: int, axis: int | None) -> Net:
    """An operator of the softmax kind over features; ``axis``: not written for ``None``."""
    net = Net(opset, 8)
    features = small_features(net, net.input("input", [1, 3, SIDE, SIDE]))
    attributes: dict[str, Any] = {} if axis is None else {"axis": axis}
    spread = net.op("Mul", net.op(kind, features, **attributes), net.constant(1000.0))
    return to_map(net, net.conv(spread, weights(1, 8, 3, 3, seed=1)))


def written_out(kind: str, axis: int) -> Net:
    """The same in opset 13, over two axes into which the others were folded."""
    net = Net(13, 8)
    features = small_features(net, net.input("input", [1, 3, SIDE, SIDE]))
    rows = int(np.prod((1, 8, HALF, HALF)[:axis]))
    made = net.op(kind, net.op("Reshape", features, net.whole(rows, -1)), axis=1)
    back = net.op("Reshape", made, net.whole(1, 8, HALF, HALF))
    return to_map(net, net.conv(net.op("Mul", back, net.constant(1000.0)), weights(1, 8, 3, 3, seed=1)))


@pytest.mark.parametrize(
    ("kind", "opset", "axis", "meant"),
    [
        pytest.param("Softmax", 11, 1, 1, id="openvinotoolkit/openvino#37823"),
        pytest.param("Softmax", 11, None, 1, id="onnx/onnx-mlir#832-axis-not-written"),
        pytest.param("Softmax", 12, 2, 2, id="apache/tvm#20183"),
        pytest.param("LogSoftmax", 11, -3, 1, id="its-logarithm"),
        pytest.param("Softmax", 12, 3, 3, id="the-last-axis"),
    ],
)
def test_softmax_before_opset_13_takes_all_axes_behind_it(
    tmp_path: Path, images: Path, kind: str, opset: int, axis: int | None, meant: int
) -> None:
    model = soft(kind, opset, axis).save(tmp_path / "m.onnx")
    made = exported(model, images, tmp_path / "out" / "b", variants=BOTH)
    check_scores(made, by_onnxruntime(written_out(kind, meant)), variants=BOTH)


def half_resize(*, scales: type[np.floating]) -> Net:
    """As float16 converters write it, which change the factors too, though these have to be float32."""
    net = Net(13, 8, TensorProto.FLOAT16)
    c2 = small_c2(net, net.input("input", [1, 3, SIDE, SIDE]))
    factors = net.constant([1, 1, 2, 2], scales)
    return to_map(net, net.op("Resize", c2, net.constant([]), factors, mode="linear"), SIDE)


def float_resize() -> Net:
    net = Net(13, 8)
    c2 = small_c2(net, net.input("input", [1, 3, SIDE, SIDE]))
    factors = net.constant([1, 1, 2, 2], np.float32)
    return to_map(net, net.op("Resize", c2, net.constant([]), factors, mode="linear"), SIDE)


@pytest.mark.parametrize("scales", [np.float32, np.float16], ids=["control", "microsoft/onnxruntime#14827"])
def test_factors_of_a_resize_that_a_converter_narrowed(tmp_path: Path, images: Path, scales: type[np.floating]) -> None:
    model = half_resize(scales=scales).save(tmp_path / "m.onnx")
    made = exported(model, images, tmp_path / "out" / "b", variants=BOTH)
    check_scores(made, by_onnxruntime(float_resize()), variants=BOTH, tolerance=5e-3)


def not_finite(kind: str) -> Net:
    net = Net()
    c2 = small_c2(net, net.input("input", [1, 3, SIDE, SIDE]))
    return to_map(net, net.op("Sqrt", c2) if kind == "nan" else net.op("Div", c2, net.op("Sub", c2, c2)))


@pytest.mark.parametrize("kind", ["nan", "inf"])
def test_numbers_that_are_none_are_said_at_once(tmp_path: Path, images: Path, kind: str) -> None:
    """onnx/tensorflow-onnx#1532. Nothing is said of forms of the graph that were tried in between."""
    done = export(not_finite(kind).save(tmp_path / "m.onnx"), images, tmp_path / "out" / "b", variants=BOTH)
    assert done.refused("not a finite number", "--scale")
    assert "cheaper form" not in done.stderr


def test_an_invalid_node_is_named_without_a_word_of_forms_of_the_graph(tmp_path: Path, images: Path) -> None:
    """onnx/tensorflow-onnx#1763: the axis of a softmax lies outside of the value."""
    net = Net(11, 6)
    flat = net.op("Flatten", small_features(net, net.input("input", ["n", 3, SIDE, SIDE])))
    classes = net.op("MatMul", flat, net.constant(weights(8 * HALF * HALF, 2)))
    net.op("Softmax", classes, axis=2, out="prob")
    net.output("prob", ["n", 2])
    options = ("--family", "score", "--anomalous-class", "1")
    done = export(net.save(tmp_path / "m.onnx"), images, tmp_path / "out" / "b", *options)
    assert done.refused("Softmax", "axis")
    assert "cheaper form" not in done.stderr


def with_threshold(*, as_node: bool) -> Net:
    net = Net()
    net.op("Abs", small_c2(net, net.input("input", [1, 3, SIDE, SIDE])), out="anomaly_map")
    net.op("ReduceMax", "anomaly_map", axes=[1, 2, 3], keepdims=0, out="peak")
    if as_node:
        net.op("Constant", value=numpy_helper.from_array(np.array([0.5], np.float32)), out="threshold")
    else:
        net.named("threshold", np.array([0.5], np.float32))
    for name, dims in (("anomaly_map", [1, 1, HALF, HALF]), ("threshold", [1]), ("peak", [1])):
        net.output(name, dims)
    return net


@pytest.mark.parametrize("as_node", [False, True], ids=["microsoft/onnxruntime#2907-initializer", "constant-node"])
def test_a_constant_among_the_outputs_is_no_score(tmp_path: Path, images: Path, as_node: bool) -> None:
    model = with_threshold(as_node=as_node).save(tmp_path / "m.onnx")
    check_scores(exported(model, images, tmp_path / "out" / "b", variants=BOTH), raw, variants=BOTH)


def old_clip() -> Net:
    """Opset 7 and IR 3: bounds are attributes."""
    net = Net(7, 3)
    features = net.conv(small_features(net, net.input("input", [1, 3, SIDE, SIDE])), weights(8, 8, 3, 3, seed=5))
    return to_map(net, net.conv(net.op("Clip", features, min=0.0, max=6.0), weights(1, 8, 3, 3, seed=1)))


def new_clips() -> Net:
    """Bounds are inputs: both, the upper one, none."""
    net = Net(13)
    value = small_features(net, net.input("input", [1, 3, SIDE, SIDE]))
    for index, bounds in enumerate(((net.constant(0.0), net.constant(6.0)), ("", net.constant(6.0)), ())):
        value = net.op("Clip", net.conv(value, weights(8, 8, 3, 3, seed=5 + index)), *bounds)
    return to_map(net, net.conv(value, weights(1, 8, 3, 3, seed=1)))


@pytest.mark.parametrize(
    "net",
    [
        pytest.param(old_clip(), id="onnx/onnx#2873-opset-7"),
        pytest.param(new_clips(), id="microsoft/onnxruntime#5586-clips"),
    ],
)
def test_int8_of_clips_old_and_new_is_made_and_measured(tmp_path: Path, images: Path, net: Net) -> None:
    """A graph declared in IR 3 would need its weights among its inputs: converting it for int8 failed on that."""
    model = net.save(tmp_path / "m.onnx")
    made = exported(model, images, tmp_path / "out" / "b", variants=("onnx-fp32", "onnx-int8"))
    assert made.trials["onnx-int8"]["fidelity"] is not None, made.trials["onnx-int8"]["rejected"]
    written = onnx.load(made.model("onnx-fp32"))
    assert written.ir_version >= 4
    onnx.checker.check_model(written)


def squeezed() -> Net:
    """``Tensor.squeeze(1)`` of an exporter that does not know the axis: a branch that looks at its length."""
    net = Net(13)
    c2 = small_c2(net, net.input("input", ["b", 3, "h", "w"]))
    length = net.op("Gather", net.op("Shape", c2), net.constant(1, np.int64), axis=0)
    is_one = net.op("Equal", length, net.constant(1, np.int64))
    axes = numpy_helper.from_array(np.array([1]), "squeezed_axes")
    outs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("then_out", "else_out")]
    then = helper.make_graph([helper.make_node("Squeeze", [c2, axes.name], ["then_out"])], "then", [], outs[:1], [axes])
    other = helper.make_graph([helper.make_node("Identity", [c2], ["else_out"])], "else", [], outs[1:])
    net.nodes.append(helper.make_node("If", [is_one], ["squeezed"], "if", then_branch=then, else_branch=other))
    net.op("Abs", "squeezed", out="map")
    net.output("map", ["b", "rows", "columns"])
    return net


def test_a_branch_that_asks_for_the_length_of_an_axis(tmp_path: Path, images: Path) -> None:
    """pytorch/pytorch#53922, #109292."""
    made = exported(
        squeezed().save(tmp_path / "m.onnx"), images, tmp_path / "out" / "b", "--size", "96x96", variants=BOTH
    )
    check_scores(made, raw, variants=BOTH)


@pytest.mark.parametrize("form", ["onnx", "openvino"])
def test_paths_in_any_script(tmp_path: Path, images: Path, form: str) -> None:
    """openvinotoolkit/openvino#11717, #24520, onnx/onnx#5761."""
    folder = tmp_path / "模型 ü"
    model = small_model(batch=1).save(folder / "модель.onnx")
    variants: tuple[str, ...] = BOTH
    if form == "openvino":
        import openvino

        openvino.save_model(openvino.convert_model(model), folder / "ir" / "модель.xml", compress_to_fp16=False)
        model, variants = folder / "ir" / "модель.xml", ("openvino-fp32",)
    check_scores(exported(model, images, folder / "out" / "b", variants=variants), raw, variants=variants)


def quantized(path: Path, form: str) -> Path:
    """The small model as ONNX Runtime's quantizer writes it."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.images = iter([as_input(picture(index)) for index in range(8)])

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            image = next(self.images, None)
            return None if image is None else {"input": image}

    source = small_model(batch=1).save(path.with_name("float.onnx"))
    quantize_static(source, path, Reader(), quant_format=QuantFormat[form])
    return path


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", ["QDQ", "QOperator"])
def test_a_model_that_is_quantized_already(tmp_path: Path, images: Path, form: str) -> None:
    """microsoft/onnxruntime#25259, #32132: off by steps of the quantization where engines fuse."""
    model = quantized(tmp_path / "m.onnx", form)
    variants = (*BOTH, "onnx-int8")
    made = exported(model, images, tmp_path / "out" / "b", variants=variants)
    # OpenVINO calculates such a model in 8 bits, too, and these overflow on CPUs without VNNI: then it says so.
    assert {"onnx-fp32"} <= made.shipped <= set(BOTH)
    refused = set(BOTH) - made.shipped
    assert all("score" in str(made.trials[one]["rejected"]) for one in refused)
    assert "already" in str(made.trials["onnx-int8"]["rejected"])
    check_scores(made, raw, variants=tuple(sorted(made.shipped)), tolerance=0.1)
