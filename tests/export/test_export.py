"""The whole way on tiny models: a bundle that the runtime takes, or nothing at all."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import onnx_ir as ir
import pytest
from support import export_models, tiny
from support.export_models import SIDE, Tiny
from support.full_disk import limit_child

from edge_ad import Detector
from edge_ad.bundle import Bundle
from edge_ad.bundle.records import Roi
from edge_ad.errors import FrameError, GateError, InputError, ModelError
from edge_ad.scoring.verification import verify_bundle
from edge_ad.sources import list_images, read_image
from edge_ad_export import (
    ExportRequest,
    Gate,
    GeometryOptions,
    ImportOptions,
    ModelFile,
    Size,
    export_bundle,
    import_model,
)
from edge_ad_export.golden import pick_golden
from edge_ad_export.lowering.contract import lower
from edge_ad_export.lowering.recipes import calculates_bf16_here, chosen_recipes
from edge_ad_export.reference.engine import ReferenceEngine
from edge_ad_export.samples.images import select_images

LENIENT = Gate(0.5, 0.5, max_roc_auc_lost=1, max_more_false_rejects=1, max_aupimo_lost=1)
FLOAT = ("onnx-fp32", "openvino-fp32")


@pytest.fixture
def request_for(tmp_path: Path) -> ExportRequest:
    """An export of a tiny anomalib model over a dozen images; tests replace what they are about."""
    return ExportRequest(
        model=export_models.write(tmp_path, Tiny(tail="dynamo")),
        images=tiny.write_images(tmp_path / "normals", export_models.parts(12)),
        target=tmp_path / "out" / "part",
        gate=LENIENT,
        variants=FLOAT,
        threads=1,
    )


def leftovers(request: ExportRequest) -> list[str]:
    return sorted(path.name for path in request.target.parent.glob("*"))


@pytest.mark.usefixtures("new_interpreters")
def test_every_variant_is_made_measured_and_shipped(request_for: ExportRequest) -> None:
    request = dataclasses.replace(request_for, variants=())

    manifest = export_bundle(request).bundle.manifest

    bf16 = calculates_bf16_here()
    assert [trial.id for trial in manifest.trials] == [recipe.id for recipe in chosen_recipes((), bf16=bf16)]
    rejected = [trial.rejected for trial in manifest.trials if trial.rejected]
    assert [reason for reason in rejected if not reason.endswith("which is more precise")] == []
    shipped = [trial.id for trial in manifest.trials if not trial.rejected]
    assert [variant.id for variant in manifest.variants] == shipped
    fidelities = [variant.fidelity for variant in manifest.variants]
    assert {fidelity.images for fidelity in fidelities} == {7}  # the quantizer was shown the other five
    assert all(fidelity.latency_ms > 0 for fidelity in fidelities)
    assert (
        max(f.score_max_rel for f, v in zip(fidelities, manifest.variants, strict=True) if v.precision == "fp32") < 1e-5
    )
    latencies = {variant.id: variant.fidelity.latency_ms for variant in manifest.variants}
    assert latencies[manifest.default_variant] <= 1.05 * min(latencies.values())
    assert (manifest.name, manifest.family, manifest.input.width, manifest.input.channels) == (
        "part",
        "anomalib",
        SIDE,
        3,
    )


def test_the_bundle_verifies_and_scores_as_the_model_does(request_for: ExportRequest) -> None:
    result = export_bundle(request_for)

    imported = import_model(ModelFile(request_for.model))
    reference = ReferenceEngine(imported)
    verify_bundle(request_for.target)
    for variant in FLOAT:
        with Detector.open(result.bundle, variant) as detector:
            for path in list_images(request_for.images):
                score = detector.score(read_image(path)).score
                reference.input[:] = detector.scorer.engine.input
                assert score == pytest.approx(reference.run().score, rel=1e-3)


def test_golden_frames_are_images_of_the_set_without_loss(request_for: ExportRequest) -> None:
    result = export_bundle(request_for)

    names = result.bundle.manifest.golden.frames
    originals = [read_image(path).tobytes() for path in list_images(request_for.images)]
    assert names == ("golden/lowest.png", "golden/median.png", "golden/highest.png")
    for name in names:
        stored = cv2.imdecode(np.frombuffer(result.bundle.read(name), np.uint8), cv2.IMREAD_UNCHANGED)
        assert np.asarray(stored).tobytes() in originals


def test_golden_frames_are_lowest_median_and_highest(request_for: ExportRequest) -> None:
    images = select_images(request_for.images, 5)

    frames = pick_golden(images, np.array([3.0, 1.0, 2.0, 5.0, 4.0]))

    assert [frame.source for frame in frames] == [images.paths[i] for i in (1, 0, 3)]


def test_what_the_gate_refuses_is_reported_but_not_shipped(request_for: ExportRequest) -> None:
    gate = Gate(0.5, 1.0 - 1e-7)
    request = dataclasses.replace(request_for, variants=(*FLOAT, "onnx-int8"), gate=gate, effort="low")

    manifest = export_bundle(request).bundle.manifest

    rejected = {trial.id: trial.rejected for trial in manifest.trials}
    assert "onnx-int8" not in [variant.id for variant in manifest.variants]
    assert "map correlation" in str(rejected["onnx-int8"])
    assert rejected["onnx-fp32"] is None
    assert not [name for name in manifest.files if "int8" in name]


def test_no_variant_passes(request_for: ExportRequest) -> None:
    gate = Gate(0.5, 0.999999)
    request = dataclasses.replace(request_for, variants=("onnx-int8",), gate=gate, effort="low")

    with pytest.raises(GateError, match=r"no variant passes the gate.*onnx-int8: map correlation"):
        export_bundle(request)

    assert leftovers(request) == []


def test_what_maps_are_not_judged_by_is_said(request_for: ExportRequest) -> None:
    said: list[str] = []
    export_bundle(request_for, notify=said.append)
    assert [line for line in said if "AUPIMO takes about 333,333 different pixels of normal images" in line] != []


def test_only_what_was_asked_for_is_in_the_bundle(request_for: ExportRequest) -> None:
    bundle = export_bundle(dataclasses.replace(request_for, variants=("openvino-fp32",))).bundle

    assert [trial.id for trial in bundle.manifest.trials] == ["openvino-fp32"]
    assert not [name for name in bundle.manifest.files if "onnx-fp32" in name]


def test_a_model_without_a_convolution_has_no_int8(tmp_path: Path, request_for: ExportRequest) -> None:
    model = ir.from_onnx_text(
        '<ir_version: 8, opset_import: ["" : 18]> g (float[1, 3, 32, 32] image) => (float score) '
        "{ score = ReduceMean<keepdims=0>(image) }"
    )
    ir.save(model, tmp_path / "mean.onnx")
    request = dataclasses.replace(
        request_for, model=tmp_path / "mean.onnx", variants=("onnx-fp32", "onnx-int8", "openvino-int8")
    )

    trials = export_bundle(request).bundle.manifest.trials

    assert [trial.rejected for trial in trials] == [
        None,
        "the graph has no convolution with constant weights to quantize",
        "the graph has no convolution with constant weights to quantize",
    ]


@pytest.mark.parametrize(
    ("given", "map_size"),
    [
        pytest.param(Tiny(batch=2, tail="dynamo"), 16, id="batch-of-two"),
        pytest.param(Tiny(tail="clip", opset=14), 16, id="legacy"),
        pytest.param(Tiny(with_map=False), None, id="no-map"),
        pytest.param(Tiny(channels=1, input_name="image"), 16, id="gray-model"),
        pytest.param(Tiny(with_score=False, input_name="image"), 16, id="map-alone"),
    ],
)
def test_other_models(tmp_path: Path, request_for: ExportRequest, given: Tiny, map_size: int | None) -> None:
    request = dataclasses.replace(request_for, model=export_models.write(tmp_path, given))

    manifest = export_bundle(request).bundle.manifest

    sizes = {None if variant.map is None else variant.map.width for variant in manifest.variants}
    assert sizes == {map_size}
    assert [variant.id for variant in manifest.variants] == list(FLOAT)


@pytest.mark.parametrize(
    "geometry",
    [
        pytest.param(GeometryOptions(roi=Roi(x=0, y=0, width=32, height=32)), id="roi"),
        pytest.param(GeometryOptions(mode="letterbox"), id="letterbox"),
        pytest.param(GeometryOptions(tiles=True, canvas=Size(48, 40), tile_overlap=8), id="tiles"),
    ],
)
def test_geometry_goes_into_the_bundle(request_for: ExportRequest, geometry: GeometryOptions) -> None:
    result = export_bundle(dataclasses.replace(request_for, geometry=geometry))

    assert {trial.rejected for trial in result.bundle.manifest.trials} == {None}
    verify_bundle(request_for.target)


def test_an_ignore_mask_travels_in_the_bundle(tmp_path: Path, request_for: ExportRequest) -> None:
    mask = np.zeros((48, 64), np.uint8)
    mask[:, 40:] = 255
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    request = dataclasses.replace(request_for, geometry=GeometryOptions(ignore_mask=tmp_path / "mask.png"))

    bundle = export_bundle(request).bundle

    stored = cv2.imdecode(np.frombuffer(bundle.read("geometry/ignore.png"), np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(stored, mask)
    verify_bundle(request_for.target)


def test_images_of_several_sizes_make_a_bundle_for_any(tmp_path: Path, request_for: ExportRequest) -> None:
    mixed = [
        *export_models.parts(4),
        *export_models.parts(4, shape=(40, 40, 3)),
        *export_models.parts(4, shape=(30, 50)),
    ]
    request = dataclasses.replace(request_for, images=tiny.write_images(tmp_path / "mixed", mixed))
    said: list[str] = []

    manifest = export_bundle(request, said.append).bundle.manifest

    assert manifest.geometry.frame is None
    assert [line for line in said if "frames of any size" in line]


def test_provenance(request_for: ExportRequest) -> None:
    provenance = export_bundle(request_for).bundle.manifest.provenance

    assert provenance["source"] == "model.onnx"
    assert provenance["source_sha256"] == ModelFile(request_for.model).sha256
    assert (provenance["baked_image_threshold"], provenance["baked_pixel_range"]) == (0.75, 1.5)
    assert (provenance["images"], provenance["importer"], provenance["source_opset"]) == (12, "anomalib2", 18)
    assert not [value for value in provenance.values() if str(request_for.model.parent) in str(value)]


def test_a_rewrite_that_does_not_agree_falls_back_to_feeding_the_image_twice(tmp_path: Path) -> None:
    imported = import_model(ModelFile(export_models.write(tmp_path, Tiny(batch=2))))

    assert lower(imported, lambda candidate: True).batch == "rebatched"
    assert lower(imported, lambda candidate: False).batch == "repeated"


def batch_norm_over_the_batch() -> ir.Model:
    """Looks at both images at once: no rewrite to one image can score the same."""
    return ir.from_onnx_text(
        '<ir_version: 8, opset_import: ["" : 18]> g (float[2, 3, 32, 32] image) => (float[2] score) '
        "<int64[1] first = {0}, int64[3] rest = {1, 2, 3}, float[2] weights = {1.0, 3.0}> "
        "{ means = ReduceMean<keepdims=0>(image, rest) mixed = Mul(means, weights) "
        "total = ReduceSum<keepdims=1>(mixed, first) score = Add(means, total) }"
    )


def test_images_that_a_model_looks_at_together_are_fed_together(tmp_path: Path, request_for: ExportRequest) -> None:
    ir.save(batch_norm_over_the_batch(), tmp_path / "together.onnx")
    said: list[str] = []

    bundle = export_bundle(dataclasses.replace(request_for, model=tmp_path / "together.onnx"), said.append).bundle

    assert bundle.manifest.provenance["batch"] == "repeated"
    assert [line for line in said if "every image is fed 2 times" in line]
    assert max(v.fidelity.score_max_rel for v in bundle.manifest.variants) < 1e-5


def test_a_graph_that_does_not_score_as_the_model_is_not_shipped(
    request_for: ExportRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "edge_ad_export.reference.engine.model_input", lambda pixels, spec: np.zeros((1, 3, SIDE, SIDE)) + pixels.mean()
    )

    with pytest.raises(GateError, match=r"does not score as the imported model does.*no bundle was written"):
        export_bundle(request_for)

    assert leftovers(request_for) == []


def test_a_model_that_scores_everything_the_same(tmp_path: Path, request_for: ExportRequest) -> None:
    images = tiny.write_images(tmp_path / "alike", [export_models.parts(1)[0]] * 4)
    for number, file in enumerate(images.iterdir()):  # of the same pixels, but no copies of one file
        file.write_bytes(file.read_bytes() + bytes([number]))

    with pytest.raises(ModelError, match=r"scores all 4 images .*tells nothing apart"):
        export_bundle(dataclasses.replace(request_for, images=images))


def test_a_damaged_image_is_named(request_for: ExportRequest) -> None:
    (Path(request_for.images) / "0005.png").write_bytes(b"")

    with pytest.raises(FrameError, match=r"0005\.png"):
        export_bundle(request_for)

    assert leftovers(request_for) == []


def test_an_existing_bundle_is_kept_unless_told(request_for: ExportRequest) -> None:
    first = export_bundle(request_for).bundle

    with pytest.raises(InputError, match="--force"):
        export_bundle(request_for)
    assert Bundle.open(request_for.target).manifest == first.manifest

    replaced = export_bundle(dataclasses.replace(request_for, replace=True, version="2")).bundle
    assert (replaced.manifest.version, leftovers(request_for)) == ("2", ["part"])


@pytest.mark.parametrize(
    "moment",
    [
        "making onnx-fp32",
        "making openvino-fp32",
        "scoring 12 images",
    ],
)
def test_interrupted_export_leaves_nothing(request_for: ExportRequest, moment: str) -> None:
    def interrupt(line: str) -> None:
        if line.startswith(moment):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_bundle(request_for, interrupt)

    assert leftovers(request_for) == []


def test_interrupted_replacement_keeps_the_old_bundle(request_for: ExportRequest) -> None:
    first = export_bundle(request_for).bundle

    def interrupt(line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_bundle(dataclasses.replace(request_for, replace=True), interrupt)

    assert Bundle.open(request_for.target).manifest == first.manifest
    assert leftovers(request_for) == ["part"]


def test_full_disk_leaves_nothing(request_for: ExportRequest) -> None:
    command = [
        sys.executable,
        "-c",
        "from edge_ad.cli import main; main()",
        "export",
        str(request_for.model),
        "--images",
        str(request_for.images),
    ]
    done = subprocess.run(
        [*command, "-o", str(request_for.target)],
        preexec_fn=partial(limit_child, 4096),
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 4
    assert done.stderr.splitlines()[-1].startswith("edge-ad: ")
    assert "cannot be written" in done.stderr
    assert leftovers(request_for) == []


def test_options_of_the_model_reach_the_graph(tmp_path: Path, request_for: ExportRequest) -> None:
    importing = ImportOptions(importer="onnx", color="bgr", scale=127.5, mean=(1.0,))
    request = dataclasses.replace(request_for, importing=importing, model=export_models.write(tmp_path, Tiny()))
    said: list[str] = []

    manifest = export_bundle(request, said.append).bundle.manifest

    assert (manifest.provenance["color"], manifest.provenance["pixel_scale"]) == ("bgr", 127.5)
    assert "assumed: higher is more anomalous in pred_score" in said
