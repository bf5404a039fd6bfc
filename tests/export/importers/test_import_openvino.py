"""Models that exist only as OpenVINO graphs: their raw values, their place in the contract, their variants."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from numpy.testing import assert_allclose
from support import export_models, tiny
from support.export_imports import graph, open_exported, picture, rgb, run_exported, run_plainly, write_ir, write_onnx
from support.export_models import RANGE, SIDE, THRESHOLD, Tail, Tiny
from support.real_models import RealModels

from edge_ad.errors import InputError, ModelError
from edge_ad.sources import list_images
from edge_ad_export import ExportRequest, ImportOptions, ModelFile, export_bundle, import_model
from edge_ad_export.graph.embedded import embed, find_embedded, to_openvino
from edge_ad_export.graph.libraries import load_openvino
from edge_ad_export.graph.static_shape import static_shape
from edge_ad_export.passes import SelectOutputsPass, SimplifyPass, StaticShapePass


def ir_file(folder: Path, tiny_model: Tiny) -> Path:
    return write_ir(folder / "ir", export_models.write(folder, tiny_model))


@pytest.mark.parametrize("tail", ["raw", "clip", "min-max", "dynamo"])
@pytest.mark.parametrize("with_map", [pytest.param(True, id="map"), pytest.param(False, id="score-alone")])
def test_raw_values_of_anomalib2_come_out_of_the_ir(tmp_path: Path, tail: Tail, with_map: bool) -> None:
    pixels = picture(SIDE, SIDE, 3)
    raw = export_models.run(export_models.build(Tiny(with_map=with_map)), rgb(pixels))

    imported = import_model(ModelFile(ir_file(tmp_path, Tiny(tail=tail, with_map=with_map))))
    found = run_exported(imported, pixels, tmp_path / "exported")

    assert (imported.importer, imported.assumptions) == ("anomalib2", ())
    assert found.score == pytest.approx(raw[0].item(), rel=1e-5)
    assert [part.tolist() for part in (found.anomaly_map,) if part is not None] == [
        pytest.approx(part[0, 0], rel=1e-4) for part in raw[1:]
    ]


@pytest.mark.parametrize("tail", ["clip", "dynamo"])
def test_constants_that_the_converter_folded_are_recovered(tmp_path: Path, tail: Tail) -> None:
    imported = import_model(ModelFile(ir_file(tmp_path, Tiny(tail=tail))))

    assert dict(imported.provenance) == pytest.approx(
        {
            "baked_image_threshold": THRESHOLD,
            "baked_image_range": RANGE,
            "baked_pixel_threshold": THRESHOLD,
            "baked_pixel_range": RANGE,
        },
        rel=1e-5,
    )


def blurred() -> ir.Model:
    """The map is a blur that nothing else uses: the converter multiplies its kernel by 1 / range."""
    kernel = ", ".join(["0.0625", "0.125", "0.0625", "0.125", "0.25", "0.125", "0.0625", "0.125", "0.0625"])
    tail = "{0}_a = Sub({1}, t) {0}_b = Div({0}_a, r) {0}_c = Add({0}_b, half) {0} = Clip({0}_c, zero, one) "
    return graph(
        "plane = ReduceSum<keepdims=1>(input, channels) k = Reshape(kernel, form) blur = Conv(plane, k) "
        "top = ReduceMax<axes=[1, 2, 3], keepdims=0>(plane) "
        + tail.format("pred_score", "top")
        + tail.format("anomaly_map", "blur"),
        inputs="float[1, 3, 10, 10] input",
        outputs="float[1] pred_score, float[1, 1, 8, 8] anomaly_map",
        constants=f"float[9] kernel = {{{kernel}}}, int64[4] form = {{1, 1, 3, 3}}, int64[1] channels = {{1}}, "
        "float t = {1.3}, float r = {1.7}, float zero = {0}, float half = {0.5}, float one = {1}",
    )


def test_a_range_that_went_into_the_blurs_kernel_is_recovered(tmp_path: Path) -> None:
    path = write_onnx(tmp_path, blurred())
    pixels = picture(10, 10, 3)
    raw = import_model(ModelFile(path))
    expected = run_exported(raw, pixels, tmp_path / "onnx")

    imported = import_model(ModelFile(write_ir(tmp_path, path)))
    found = run_exported(imported, pixels, tmp_path / "openvino")

    assert raw.map == "blur"
    assert found.score == pytest.approx(expected.score, rel=1e-5)
    assert expected.map.max() > 1
    assert_allclose(found.map, expected.map, rtol=1e-5)
    assert imported.provenance == pytest.approx(raw.provenance, rel=1e-5)


@pytest.mark.parametrize(
    "nodes",
    [
        pytest.param("pred_score = Clip(raw, zero, two)", id="other-bounds"),
        pytest.param("a = Mul(raw, minus) b = Add(a, half) pred_score = Clip(b, zero, one)", id="falling"),
        pytest.param("pred_score = Clip(raw, zero, one)", id="no-scale"),
        pytest.param("pred_score = Sigmoid(raw)", id="no-clamp"),
    ],
)
def test_the_models_own_arithmetic_stays(tmp_path: Path, nodes: str) -> None:
    constants = "float zero = {0}, float one = {1}, float two = {2}, float half = {0.5}, float minus = {-1}"
    model = graph(
        f"raw = ReduceMean<axes=[1, 2, 3], keepdims=0>(input) {nodes}",
        inputs="float[1, 3, 8, 8] input",
        outputs="float[1] pred_score",
        constants=constants,
    )
    path = write_onnx(tmp_path, model)
    pixels = picture(8, 8, 3)

    imported = import_model(ModelFile(write_ir(tmp_path, path)))

    assert imported.score == "pred_score"
    expected = run_plainly(path, rgb(pixels))["pred_score"].item()
    assert run_exported(imported, pixels, tmp_path / "out").score == pytest.approx(expected, rel=1e-5)


def test_plain_ir_takes_options_as_plain_onnx_does(tmp_path: Path) -> None:
    plain = Tiny(input_name="image", score_name="badness", map_name="where", batch=1)
    path = ir_file(tmp_path, plain)
    options = ImportOptions(color="bgr", scale=1.0, mean=(104.0, 117.0, 123.0), std=(2.0,))
    pixels = picture(SIDE, SIDE, 3)

    imported = import_model(ModelFile(path), options)

    values = (pixels.astype(np.float32) - np.array([104, 117, 123], np.float32)) / 2
    expected = export_models.run(export_models.build(plain), values.transpose(2, 0, 1)[None])
    assert (imported.score, imported.map) == ("badness", "where")
    assert run_exported(imported, pixels, tmp_path / "out").score == pytest.approx(expected[0].item(), rel=1e-5)


def test_a_folder_with_one_model_is_that_model(tmp_path: Path) -> None:
    path = ir_file(tmp_path, Tiny())

    assert ModelFile(path.parent).path == path
    assert ModelFile(path.with_suffix(".bin")).path == path


def test_ir_without_its_weights_is_named(tmp_path: Path) -> None:
    path = ir_file(tmp_path, Tiny())
    path.with_suffix(".bin").unlink()

    with pytest.raises(ModelError, match=r"weights in model\.bin, which is not beside it"):
        import_model(ModelFile(path))


@pytest.mark.parametrize("keep", [pytest.param(0.3, id="third"), pytest.param(0.9, id="most")])
def test_truncated_ir_is_named(tmp_path: Path, keep: float) -> None:
    path = ir_file(tmp_path, Tiny())
    text = path.read_text()
    path.write_text(text[: int(len(text) * keep)])

    with pytest.raises(ModelError, match="no readable OpenVINO IR"):
        import_model(ModelFile(path))


def test_the_hash_covers_the_weights(tmp_path: Path) -> None:
    path = ir_file(tmp_path, Tiny())
    before = ModelFile(path).sha256
    weights = path.with_suffix(".bin")
    weights.write_bytes(weights.read_bytes() + b"\0")

    assert ModelFile(path).sha256 != before


def test_export_of_an_ir_makes_openvino_variants_only(tmp_path: Path) -> None:
    path = ir_file(tmp_path, Tiny(tail="clip"))
    images = tiny.write_images(tmp_path / "images", export_models.parts(12))

    result = export_bundle(ExportRequest(path, images, tmp_path / "bundle", variants=("onnx-fp32", "openvino-fp32")))

    manifest = result.bundle.manifest
    assert [trial.id for trial in manifest.trials] == ["openvino-fp32"]
    assert manifest.variants[0].fidelity.score_max_rel < 1e-4
    assert (manifest.provenance["source_format"], manifest.provenance["source_opset"]) == ("openvino", None)


def test_an_ir_cannot_be_had_as_onnx(tmp_path: Path) -> None:
    path = ir_file(tmp_path, Tiny())
    images = tiny.write_images(tmp_path / "images", export_models.parts(3))

    with pytest.raises(InputError, match=r"only as an OpenVINO graph.*ask for an openvino variant"):
        export_bundle(ExportRequest(path, images, tmp_path / "bundle", variants=("onnx-int8",)))

    assert not (tmp_path / "bundle").exists()


def test_a_batch_fixed_in_an_ir_is_repeated(tmp_path: Path) -> None:
    """A reshape to two images inside of the graph: OpenVINO cannot take it back."""
    model = graph(
        "rows = Reshape(input, form) mean = ReduceMean<axes=[1], keepdims=0>(rows) top = ReduceMax<axes=[1, 2, 3], "
        "keepdims=0>(input) score = Add(mean, top)",
        inputs="float[2, 3, 8, 8] input",
        outputs="float[2] score",
        constants="int64[2] form = {2, 192}",
    )
    path = write_onnx(tmp_path, model)
    images = tiny.write_images(tmp_path / "images", tiny.frames(6))
    notes: list[str] = []

    result = export_bundle(
        ExportRequest(write_ir(tmp_path, path), images, tmp_path / "bundle", variants=("openvino-fp32",)), notes.append
    )

    assert result.bundle.manifest.provenance["batch"] == "repeated"
    assert any("fed 2 times" in note for note in notes)


def openvino_model() -> Any:
    """``image`` ``[1, 3, h, w]`` -> ``score`` its mean, ``copy`` its half; sizes are dynamic."""
    ov = load_openvino()
    image = ov.opset15.parameter([1, 3, -1, -1], np.float32, name="image")
    image.output(0).get_tensor().set_names({"image"})
    mean = ov.opset15.reduce_mean(image, np.array([1, 2, 3]), keep_dims=False)
    half = ov.opset15.multiply(image, np.float32(0.5))
    for node, name in ((mean, "score"), (half, "copy")):
        node.output(0).get_tensor().set_names({name})
    return ov.Model([ov.opset15.result(mean), ov.opset15.result(half)], [image], "tiny")


def test_an_embedded_model_is_one_node_with_the_models_values() -> None:
    model = embed(openvino_model())

    node = find_embedded(model)
    assert node is not None
    assert [value.name for value in (*model.graph.inputs, *node.outputs)] == ["image", "score", "copy"]
    assert [static_shape(value) for value in node.outputs] == [(1,), None]


def test_shapes_reach_through_an_embedded_model() -> None:
    model = embed(openvino_model())

    StaticShapePass((1, 3, 4, 6))(model)

    assert [static_shape(value) for value in model.graph.outputs] == [(1,), (1, 3, 4, 6)]


def test_an_input_that_an_embedded_model_cannot_take_is_named() -> None:
    with pytest.raises(ModelError, match="the model cannot take image of shape"):
        StaticShapePass((1, 3, 4))(embed(openvino_model()))


def test_passes_leave_an_embedded_model_alone() -> None:
    model = embed(openvino_model())
    before = find_embedded(model)

    SimplifyPass()(model)
    SelectOutputsPass(["copy"])(model)

    assert find_embedded(model) is before
    assert [value.name for value in model.graph.outputs] == ["copy"]


@pytest.mark.parametrize("outputs", [("score",), ("copy", "score"), ("copy",)], ids="-".join)
def test_a_joined_model_gives_what_it_did_alone(outputs: tuple[str, ...]) -> None:
    ov = load_openvino()
    model = embed(openvino_model())
    SelectOutputsPass(outputs)(model)
    image = np.random.default_rng(0).random((1, 3, 4, 4), np.float32)
    expected = {"score": image.mean(), "copy": image / 2}

    compiled = ov.Core().compile_model(to_openvino(model), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = compiled([image])

    assert [port.any_name for port in compiled.outputs] == list(outputs)
    for name in outputs:
        assert_allclose(np.squeeze(found[name]), np.squeeze(expected[name]), rtol=1e-6)


def test_a_pixel_model_without_arithmetic_keeps_its_input_name(tmp_path: Path) -> None:
    """Nothing lies between the frame and the model: its input must be called frame all the same."""
    model = graph(
        "real = Cast<to=1>(image) score = ReduceMean<axes=[1, 2, 3], keepdims=0>(real)",
        inputs="uint8[1, 8, 8, 3] image",
        outputs="float[1] score",
    )
    imported = import_model(ModelFile(write_ir(tmp_path, write_onnx(tmp_path, model))), ImportOptions(color="bgr"))

    engine = open_exported(imported, tmp_path / "out")

    assert engine.input.shape == (1, 8, 8, 3)


@pytest.mark.shared
@pytest.mark.parametrize("name", ["patchcore", "stfpm"])
def test_real_irs_score_as_the_onnx_they_were_made_of(shared: Path, real_models: RealModels, name: str) -> None:
    images = list_images(shared / "data/cookies/train/good")[:3]
    import cv2

    engines = [real_models.engine(f"cookies/{form}") for form in (f"{name}.onnx", f"{name}_openvino")]
    for path in images:
        pixels = cv2.resize(cv2.imread(str(path)), (256, 256), interpolation=cv2.INTER_AREA)
        for engine in engines:
            engine.input[0] = pixels
        expected, found = (engine.run() for engine in engines)
        assert found.score == pytest.approx(expected.score, rel=1e-3)
        assert expected.map is not None
        assert found.map is not None
        assert_allclose(found.map, expected.map, rtol=1e-3, atol=1e-3 * float(expected.map.max()))
