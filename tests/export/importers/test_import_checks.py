"""Models that can be read and must not be used: what is wrong is named before anything is made of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from support import export_models, tiny
from support.export_imports import graph, write_ir, write_onnx
from support.export_models import SIDE, Tiny

from edge_ad.errors import ModelError
from edge_ad_export import ExportRequest, ImportOptions, ModelFile, export_bundle, import_model
from edge_ad_export.lowering.contract import lower

IMAGE = "float[1, 3, 8, 8] image"


def scored(nodes: str, *, outputs: str = "float[1] score", constants: str = "", opset: int = 18) -> ir.Model:
    return graph(nodes, inputs=IMAGE, outputs=outputs, constants=constants, opset=opset)


def with_nan(folder: Path, name: str) -> Path:
    path = export_models.write(folder, Tiny(tail="clip"))
    model = onnx.load(path)
    weights = next(w for w in model.graph.initializer if w.name == name)
    array = onnx.numpy_helper.to_array(weights).copy()
    array.reshape(-1)[:2] = np.nan
    weights.CopyFrom(onnx.numpy_helper.from_array(array, name))
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("form", ["onnx", "openvino"])
def test_nan_in_weights_is_named(tmp_path: Path, form: str) -> None:
    path = with_nan(tmp_path, "teacher.0")
    path = path if form == "onnx" else write_ir(tmp_path / "ir", path)

    with pytest.raises(ModelError, match=r"the weights \S+ of .* hold 2 values that are no numbers \(NaN\) among 216"):
        import_model(ModelFile(path))


def test_statistics_without_numbers_are_no_fault_of_the_model(tmp_path: Path) -> None:
    """anomalib's post-processor has NaN for thresholds that were never set; they are taken away."""
    path = export_models.write(tmp_path, Tiny(tail="clip"))
    model = onnx.load(path)
    threshold = next(w for w in model.graph.initializer if w.name == "pred_score_t")
    threshold.CopyFrom(onnx.numpy_helper.from_array(np.float32(np.nan), "pred_score_t"))
    onnx.save(model, path)

    assert import_model(ModelFile(path)).provenance["baked_image_threshold"] is None


def test_custom_operators_are_named(tmp_path: Path) -> None:
    model = scored("s = ReduceMean<keepdims=0>(image) score = Identity(s)")
    model.graph[1].domain, model.graph[1].op_type = "my.company", "Secret"
    model.graph.opset_imports["my.company"] = 1

    with pytest.raises(ModelError, match=r"custom operators.*my.company::Secret; export the model"):
        import_model(ModelFile(write_onnx(tmp_path, model)))


def test_custom_operators_behind_the_outputs_do_not_matter(tmp_path: Path) -> None:
    model = scored(
        "s = ReduceMean<keepdims=0>(image) form = Shape(s) score = Identity(s) other = Identity(s)",
        outputs="float[1] score, float[1] other",
    )
    model.graph[3].domain, model.graph[3].op_type = "my.company", "Secret"
    model.graph.opset_imports["my.company"] = 1

    imported = import_model(ModelFile(write_onnx(tmp_path, model)), ImportOptions(score_output="score"))

    assert imported.score == "score"


def test_a_newer_opset_is_named(tmp_path: Path) -> None:
    newest = onnx.defs.onnx_opset_version()
    path = write_onnx(tmp_path, scored("score = ReduceMean<keepdims=0>(image)"))
    model = onnx.load(path)
    model.opset_import[0].version = newest + 1
    onnx.save(model, path)

    with pytest.raises(ModelError, match=rf"uses ONNX opset {newest + 1}, and opset {newest} is the newest"):
        import_model(ModelFile(path))


@pytest.mark.parametrize(
    ("nodes", "output", "kind"),
    [
        pytest.param("score = ArgMax<axis=0, keepdims=0>(flat)", "int64[1] score", "int64", id="label"),
        pytest.param("half = Cast<to=1>(flat) score = Greater(half, image_mean)", "bool[1] score", "bool", id="mask"),
    ],
)
def test_whole_numbers_are_no_score(tmp_path: Path, nodes: str, output: str, kind: str) -> None:
    model = scored(f"flat = Flatten(image) image_mean = ReduceMean<keepdims=0>(image) {nodes}", outputs=output)
    path = write_onnx(tmp_path, model)

    with pytest.raises(ModelError, match=rf"score of .* holds {kind}, expected floating-point numbers"):
        import_model(ModelFile(path), ImportOptions(score_output="score"))


def test_double_precision_is_cast(tmp_path: Path) -> None:
    model = scored(
        "wide = Cast<to=11>(image) score = ReduceMean<keepdims=0>(wide)",
        outputs="double[1] score",
    )
    images = tiny.write_images(tmp_path / "images", tiny.frames(6))

    result = export_bundle(
        ExportRequest(write_onnx(tmp_path, model), images, tmp_path / "bundle", variants=("onnx-fp32",))
    )

    assert result.bundle.manifest.variants[0].fidelity.score_max_rel < 1e-6


def branching(condition: str) -> ir.Model:
    return scored(
        f"mean = ReduceMean<keepdims=0>(image) {condition} score = If (yes) <"
        "then_branch = g1 () => (float[1] a) { a = Neg(mean) }, else_branch = g2 () => (float[1] b) { b = Abs(mean) }>",
        constants="float limit = {0.5}",
    )


@pytest.mark.parametrize("form", ["onnx", "openvino"])
def test_branches_that_depend_on_the_image_are_named(tmp_path: Path, form: str) -> None:
    path = write_onnx(tmp_path, branching("yes = Greater(mean, limit)"))
    imported = import_model(ModelFile(path if form == "onnx" else write_ir(tmp_path / "ir", path)))

    with pytest.raises(ModelError, match=r"dynamic control flow \(If .*\): export the model for a fixed input size"):
        lower(imported, lambda _candidate: True)


def test_branches_decided_at_export_are_folded(tmp_path: Path) -> None:
    imported = import_model(ModelFile(write_onnx(tmp_path, branching("yes = Greater(limit, limit)"))))

    assert "If" not in {node.op_type for node in lower(imported, lambda _candidate: True).model.graph}


def test_weights_above_two_gibibytes_are_named(tmp_path: Path) -> None:
    """The weights are a file with a hole: no memory is taken for them."""
    path = export_models.write(tmp_path, Tiny(), external=True)
    model = onnx.load(path, load_external_data=False)
    huge = onnx.TensorProto(name="huge", data_type=onnx.TensorProto.FLOAT, dims=[2**29])
    huge.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", "huge.data"), ("offset", "0"), ("length", str(2**31))):
        huge.external_data.add(key=key, value=value)
    model.graph.initializer.append(huge)
    onnx.save(model, path)
    with (tmp_path / "huge.data").open("wb") as file:
        file.truncate(2**31)

    with pytest.raises(ModelError, match=r"holds 2\.0 GiB of weights, an ONNX file of a bundle less than 2 GiB"):
        import_model(ModelFile(path))


def test_a_constant_score_is_named_and_leaves_no_bundle(tmp_path: Path) -> None:
    model = scored("wide = ReduceMean<keepdims=0>(image) zero = Sub(wide, wide) score = Add(zero, five)",
                   constants="float five = {5}")  # fmt: skip
    images = tiny.write_images(tmp_path / "images", tiny.frames(4))

    with pytest.raises(ModelError, match="scores all 4 images 5: it tells nothing apart"):
        export_bundle(ExportRequest(write_onnx(tmp_path, model), images, tmp_path / "bundle", variants=("onnx-fp32",)))

    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize(
    "shape",
    [
        pytest.param("1, 2, 8, 3, 8, 8", id="six-dimensions"),
        pytest.param("1, 512", id="vector"),
    ],
)
def test_inputs_that_no_contract_covers_are_listed(tmp_path: Path, shape: str) -> None:
    model = graph(
        "score = ReduceMean<keepdims=0>(signal)", inputs=f"float[{shape}] signal", outputs="float[1] score", opset=18
    )

    with pytest.raises(ModelError, match=r"takes signal float.*expected one image"):
        import_model(ModelFile(write_onnx(tmp_path, model)))


def test_images_of_another_modality_are_named(tmp_path: Path) -> None:
    """Depth or X-ray in 16 bits: nothing says how they become what the model was trained on."""
    import cv2

    path = export_models.write(tmp_path, Tiny(batch=1))
    (tmp_path / "images").mkdir()
    for index in range(3):
        depth = np.full((SIDE, SIDE), 1000 * index, np.uint16)
        assert cv2.imwrite(str(tmp_path / "images" / f"{index}.png"), depth)

    with pytest.raises(ValueError, match="expected 8 bits per channel, found uint16"):
        export_bundle(ExportRequest(path, tmp_path / "images", tmp_path / "bundle"))

    assert not (tmp_path / "bundle").exists()
