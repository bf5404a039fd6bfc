"""Every pass on a tiny graph, with the numbers before and after."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray
from support import export_models
from support.export_models import SIDE, Tiny

from edge_ad.errors import ModelError
from edge_ad_export.graph.static_shape import static_shape
from edge_ad_export.model.input_spec import Color, InputSpec, Layout, Size
from edge_ad_export.passes import (
    ContractPass,
    PreprocessingPass,
    RebatchPass,
    RepeatPass,
    SelectOutputsPass,
    SimplifyPass,
    StaticShapePass,
)
from edge_ad_export.passes.contract import Role
from edge_ad_export.reference.engine import model_input


def noise(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(1).random(shape, np.float32)


def text(nodes: str, *, inputs: str, outputs: str, constants: str = "") -> ir.Model:
    return ir.from_onnx_text(
        f'<ir_version: 8, opset_import: ["" : 18]> tiny ({inputs}) => ({outputs}) <{constants}> {{ {nodes} }}'
    )


def operators(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph]


def test_select_keeps_what_the_chosen_values_need() -> None:
    model = export_models.build(Tiny(tail="dynamo", batch=1))
    raw = model.clone()
    expected = export_models.run(export_models.build(Tiny(batch=1)), noise(1, 3, SIDE, SIDE))

    result = SelectOutputsPass(["val_12", "val_11"])(raw)

    assert result.modified
    assert "Where" not in operators(raw)
    assert "Clip" not in operators(raw)
    for found, wanted in zip(export_models.run(raw, noise(1, 3, SIDE, SIDE)), expected, strict=True):
        assert_array_equal(found, wanted)


def test_select_of_the_outputs_as_they_are_changes_nothing() -> None:
    model = export_models.build(Tiny())

    assert not SelectOutputsPass(["pred_score", "anomaly_map"])(model).modified


def test_select_refuses_names_that_are_not_there() -> None:
    with pytest.raises(ir.passes.PreconditionError, match="nowhere"):
        SelectOutputsPass(["nowhere"])(export_models.build(Tiny()))


def test_static_shape_reaches_the_outputs() -> None:
    model = export_models.build(Tiny(size=None))

    result = StaticShapePass((1, 3, 24, 40))(model)

    assert result.modified
    assert [static_shape(value) for value in model.graph.outputs] == [(1, 1), (1, 1, 12, 20)]
    assert export_models.run(model, noise(1, 3, 24, 40))[1].shape == (1, 1, 12, 20)


def test_simplify_folds_shapes_of_the_input_away() -> None:
    model = text(
        "s = Shape(x) first = Gather(s, zero) target = Concat<axis=0>(first, rest) y = Reshape(x, target)",
        inputs="float[n, 2, 3] x",
        outputs="float[n, 6] y",
        constants="int64[1] zero = {0}, int64[1] rest = {6}",
    )
    StaticShapePass((1, 2, 3))(model)
    before = export_models.run(model, noise(1, 2, 3))

    result = SimplifyPass()(model)

    assert result.modified
    assert operators(model) == ["Reshape"]
    assert_array_equal(export_models.run(model, noise(1, 2, 3))[0], before[0])


def bank_model() -> ir.Model:
    """Distances to a memory bank, as PatchCore has them: the bank is used as it is, squared and transposed."""
    model = text(
        "square = Mul(bank, bank) norms = ReduceSum<keepdims=0>(square, last) turned = Transpose<perm=[1, 0]>(bank) "
        "product = MatMul(x, turned) near = ArgMax<axis=1, keepdims=0>(product) found = Gather(bank, near) "
        "rows = Add(product, norms) y = Concat<axis=1>(rows, found)",
        inputs="float[1, 64] x",
        outputs="float[1, 576] y",
        constants="int64[1] last = {-1}",
    )
    bank = ir.val("bank", const_value=ir.tensor(noise(512, 64), name="bank"))
    for node in model.graph:
        for index, value in enumerate(node.inputs):
            if value is not None and value.name == "bank":
                node.replace_input_with(index, bank)
    model.graph.register_initializer(bank)
    return model


def test_simplify_stores_norms_of_a_bank_but_no_second_bank() -> None:
    model = bank_model()
    StaticShapePass((1, 64))(model)
    before = export_models.run(model, noise(1, 64))

    SimplifyPass()(model)

    assert "ReduceSum" not in operators(model)
    assert "Transpose" in operators(model)
    stored = sum(value.const_value.size for value in model.graph.initializers.values() if value.const_value)
    assert stored < 512 * 64 + 512 + 16
    assert_allclose(export_models.run(model, noise(1, 64))[0], before[0], rtol=1e-6)


def batch_of_two() -> ir.Model:
    """What dynamo makes of PatchCore with two images: chunks of rows, row numbers, a resize, reshapes."""
    return text(
        "rows = Reshape(x, flat) low = Slice(rows, p0, p4, a0) high = Slice(rows, p4, p8, a0) "
        "m0 = ReduceMax<keepdims=0>(low, a1) m1 = ReduceMax<keepdims=0>(high, a1) all = Concat<axis=0>(m0, m1) "
        "map = Reshape(all, back) best = ArgMax<axis=1, keepdims=1>(map) at = Concat<axis=1>(image, best) "
        'score = GatherND(map, at) plane = Reshape(map, planes) anomaly_map = Resize<mode="nearest">(plane, , , sizes)',
        inputs="float[2, 4, 3] x",
        outputs="float[2] score, float[2, 1, 4, 4] anomaly_map",
        constants="int64[2] flat = {8, 3}, int64[1] p0 = {0}, int64[1] p4 = {4}, int64[1] p8 = {8}, int64[1] a0 = {0}, "
        "int64[1] a1 = {1}, int64[2] back = {2, -1}, int64[2, 1] image = {0, 1}, int64[4] planes = {2, 1, 2, 2}, "
        "int64[4] sizes = {2, 1, 4, 4}",
    )


@pytest.mark.parametrize(
    "one_image", [pytest.param(RebatchPass(), id="rebatch"), pytest.param(RepeatPass(), id="repeat")]
)
def test_a_batch_of_two_becomes_one_image(one_image: ir.passes.InPlacePass) -> None:
    image = noise(1, 4, 3)
    expected = export_models.run(batch_of_two(), np.repeat(image, 2, axis=0))
    model = batch_of_two()
    StaticShapePass((2, 4, 3))(model)

    result = one_image(model)
    SimplifyPass()(model)

    assert result.modified
    for found, wanted in zip(export_models.run(model, image), expected, strict=True):
        assert_array_equal(found, wanted[:1])


def test_rebatch_drops_the_second_image_altogether() -> None:
    model = batch_of_two()
    StaticShapePass((2, 4, 3))(model)

    RebatchPass()(model)
    SimplifyPass()(model)

    assert operators(model).count("ReduceMax") == 1


def test_of_a_loop_over_the_images_the_first_turn_is_left() -> None:
    """As dynamo writes out the kernel density of Dfkde: each turn scatters its score into a row of zeros."""
    model = text(
        "a = Gather<axis=0>(x, first) one = ReduceSum<keepdims=1>(a) at0 = ScatterElements<axis=0>(zeros, row0, one) "
        "b = Gather<axis=0>(x, second) two = ReduceSum<keepdims=1>(b) both = ScatterElements<axis=0>(at0, row1, two) "
        "score = Abs(both)",
        inputs="float[2, 3] x",
        outputs="float[2] score",
        constants="int64 first = {0}, int64 second = {1}, int64[1] row0 = {0}, int64[1] row1 = {1}, "
        "float[2] zeros = {0, 0}",
    )
    StaticShapePass((2, 3))(model)
    image = noise(1, 3)

    RebatchPass()(model)
    SimplifyPass()(model)

    assert operators(model).count("ReduceSum") == 1
    assert_allclose(export_models.run(model, image)[0], np.abs(image.sum(axis=1)), rtol=1e-6)


@pytest.mark.parametrize(
    "one_image", [pytest.param(RebatchPass(), id="rebatch"), pytest.param(RepeatPass(), id="repeat")]
)
def test_one_image_is_left_alone(one_image: ir.passes.InPlacePass) -> None:
    model = export_models.build(Tiny(batch=1))

    assert not one_image(model).modified


@pytest.mark.parametrize(
    ("color", "layout", "scale", "mean", "std"),
    [
        pytest.param("rgb", "nchw", 255.0, (0.0,), (1.0,), id="torch"),
        pytest.param("rgb", "nchw", 255.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), id="imagenet"),
        pytest.param("bgr", "nchw", 1.0, (104.0, 117.0, 123.0), (1.0,), id="caffe"),
        pytest.param("rgb", "nhwc", 127.5, (1.0,), (1.0,), id="tensorflow"),
        pytest.param("gray", "nchw", 255.0, (0.5,), (0.25,), id="gray"),
        pytest.param("gray", "nhwc", 1.0, (0.0,), (1.0,), id="gray-as-it-is"),
    ],
)
def test_front_gives_what_numpy_gives(
    color: Color, layout: Layout, scale: float, mean: tuple[float, ...], std: tuple[float, ...]
) -> None:
    spec = InputSpec("x", Size(5, 4), color, layout, scale, mean, std)
    shape = ",".join(map(str, spec.shape(1)))
    model = text("y = Identity(x)", inputs=f"float[{shape}] x", outputs=f"float[{shape}] y")
    pixels = np.random.default_rng(2).integers(0, 256, (1, 4, 5, spec.channels), np.uint8)

    result = PreprocessingPass(spec)(model)

    assert result.modified
    assert (model.graph.inputs[0].name, static_shape(model.graph.inputs[0])) == ("frame", pixels.shape)
    assert_allclose(export_models.run(model, pixels)[0], model_input(pixels, spec), rtol=1e-6)


def test_front_of_a_model_of_pixels_only_moves_them() -> None:
    spec = InputSpec("frame", Size(5, 4), "rgb", "nchw", scale=1.0)
    model = text("y = Cast<to=1>(frame)", inputs="uint8[1, 3, 4, 5] frame", outputs="float[1, 3, 4, 5] y")

    PreprocessingPass(spec)(model)

    assert operators(model) == ["Transpose", "Gather", "Cast"]


@pytest.mark.parametrize(
    ("shapes", "roles"),
    [
        pytest.param(("1", "1, 1, 4, 4"), ("score", "map"), id="score-and-map"),
        pytest.param(("1, 1", "1, 4, 4"), ("score", "map"), id="other-ranks"),
        pytest.param(("1, 1, 1, 1",), ("score",), id="score-alone"),
        pytest.param(("1, 1, 4, 4",), ("map",), id="map-alone"),
    ],
)
def test_contract_names_and_shapes_outputs(shapes: tuple[str, ...], roles: tuple[Role, ...]) -> None:
    names = ["first", "second"][: len(shapes)]
    model = text(
        " ".join(f"{name} = Identity(x{name})" for name in names),
        inputs=", ".join(f"float[{shape}] x{name}" for name, shape in zip(names, shapes, strict=True)),
        outputs=", ".join(f"float[{shape}] {name}" for name, shape in zip(names, shapes, strict=True)),
    )
    given = [noise(*map(int, shape.split(","))) for shape in shapes]

    ContractPass(roles)(model)

    found = export_models.run(model, *given)
    expected_score = given[0].reshape(1) if "score" in roles else given[0].max().reshape(1)
    assert [value.name for value in model.graph.outputs] == ["score", "map"][: 1 + ("map" in roles)]
    assert_array_equal(found[0], expected_score)
    assert [part.shape for part in found[1:]] == [(1, 4, 4)] * ("map" in roles)


def test_contract_takes_names_that_the_model_uses_itself() -> None:
    model = text("map = Relu(score) y = Neg(map)", inputs="float[1] score", outputs="float[1] y")

    ContractPass(("score",))(model)

    assert_array_equal(export_models.run(model, np.array([3], np.float32))[0], [-3])


@pytest.mark.parametrize(
    ("shape", "role", "message"),
    [
        pytest.param("1, 2", "score", "one number per image.*y with shape.*--score-output", id="two-scores"),
        pytest.param("1, 3, 4, 4", "map", "height, width.*y with.*--map-output", id="three-planes"),
        pytest.param("1, 1, n, 4", "map", "height, width.*y with.*--map-output", id="unknown-height"),
    ],
)
def test_contract_refuses_outputs_of_another_shape(shape: str, role: Role, message: str) -> None:
    model = text("y = Identity(x)", inputs=f"float[{shape}] x", outputs=f"float[{shape}] y")

    with pytest.raises(ModelError, match=message):
        ContractPass((role,))(model)
